"""The node process of this machine, as its controller holds it: from spawn to the end."""

import asyncio
import contextlib
import os
import socket
from dataclasses import dataclass

from stackdsl.node import client, spawning

END_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class NodeProcess:
    """A node that was started by this process; connected at most once."""

    pid: int
    stream: socket.socket

    @staticmethod
    def spawn() -> "NodeProcess":
        """Start a node: the controller's first act, so that both come up together."""
        pid, stream = spawning.spawn()
        return NodeProcess(pid, stream)

    async def connect(self) -> client.RemoteNode:
        """Speak to it."""
        return await client.connect(self.stream)

    def discard(self) -> None:
        """End a node that nothing was asked of, and wait for its end."""
        self.stream.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    async def wait(self) -> None:
        """Wait for its end and take its exit status, so that no zombie stays."""
        try:
            watched = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(watched, ended.set)
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                await ended.wait()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)
        except TimeoutError:
            return
        finally:
            loop.remove_reader(watched)
            os.close(watched)
