"""The node process of this machine, as its controller holds it: from spawn to the end."""

import asyncio
import contextlib
import os
import signal
import socket
from dataclasses import dataclass

from stackdsl.model import errors
from stackdsl.node import client, spawning

END_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class NodeProcess:
    """A node that was started by this process; connected at most once."""

    pid: int
    stream: socket.socket

    @staticmethod
    def spawn() -> "NodeProcess":
        """Start a node: the controller's first act, so that both come up together.

        Raises:
            HostError: the machine refuses another process.
        """
        try:
            pid, stream = spawning.spawn()
        except OSError as error:
            raise errors.HostError(
                "host.no-node",
                f"cannot start a node on this machine: {error.strerror}",
                do="look for a limit on processes or open files (ulimit -u, ulimit -n)",
            ) from error
        return NodeProcess(pid, stream)

    async def connect(self) -> client.RemoteNode:
        """Speak to it."""
        return await client.connect(self.stream)

    def discard(self) -> None:
        """End a node that nothing was asked of, and wait for its end."""
        self.stream.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            # no longer our child: the pid may be another process's by now
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            os.kill(self.pid, signal.SIGKILL)

    async def wait(self) -> None:
        """Wait for its end and take its exit status, so that no zombie stays; one that does not
        end is killed."""
        try:
            watched = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(watched, ended.set)
        try:
            try:
                async with asyncio.timeout(END_TIMEOUT_S):
                    await ended.wait()
            except TimeoutError:
                self.kill()
                await ended.wait()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)
        finally:
            loop.remove_reader(watched)
            os.close(watched)
