"""Running a command to its end and keeping what it says: hooks, checks, commands of people."""

import asyncio
import contextlib
import os
import signal
from dataclasses import replace
from functools import partial

from stackdsl.model.data import dataclass
from stackdsl.node import launches, processes, proctable

LIMIT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a command ended. ``exit_code`` is None when it was killed at its deadline."""

    exit_code: int | None
    stdout: bytes = b""
    stderr: bytes = b""
    is_cut: bool = False

    @property
    def last_line(self) -> str:
        """The last line that it wrote, errors first."""
        for text in (self.stderr, self.stdout):
            lines = text.decode(errors="replace").strip().splitlines()
            if lines:
                return lines[-1][:200]
        return ""


def settle(future: "asyncio.Future[None]") -> None:
    """Let whoever waits go on; once is enough."""
    if not future.done():
        future.set_result(None)


class _Reader:
    """Reads one pipe to its end; keeps the first ``limit`` bytes."""

    def __init__(self, fd: int, limit: int) -> None:
        self.data = bytearray()
        self.is_cut = False
        self.ended = asyncio.get_running_loop().create_future()
        self._fd = fd
        self._limit = limit
        os.set_blocking(fd, False)
        asyncio.get_running_loop().add_reader(fd, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 262144)
        except BlockingIOError:
            return
        room = self._limit - len(self.data)
        self.data += data[:room]
        self.is_cut = self.is_cut or len(data) > room
        if not data:
            self.close()

    def close(self) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
            settle(self.ended)


async def run(
    spawner: processes.Spawner,
    launch: launches.Launch,
    timeout_s: float | None,
    limit_bytes: int = LIMIT_BYTES,
) -> Outcome:
    """Start a command, wait for its end, return its output; at ``timeout_s`` it is killed with all
    that it started.

    Raises:
        ServiceError: it cannot be started.
    """
    pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(2)]
    readers = [_Reader(read, limit_bytes) for read, _ in pipes]
    ended = asyncio.get_running_loop().create_future()
    try:
        try:
            process = spawner.spawn(
                replace(launch, stdout=pipes[0][1], stderr=pipes[1][1]),
                partial(settle, ended),
            )
        finally:
            for _, write in pipes:
                os.close(write)
        code = await _finish(process, ended, timeout_s)
        # What it left in the background may hold the pipes open: that is not waited for.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await readers[0].ended
                await readers[1].ended
        return Outcome(
            exit_code=code,
            stdout=bytes(readers[0].data),
            stderr=bytes(readers[1].data),
            is_cut=readers[0].is_cut or readers[1].is_cut,
        )
    finally:
        for reader in readers:
            reader.close()


async def run_into(
    spawner: processes.Spawner, launch: launches.Launch, timeout_s: float | None
) -> int | None:
    """Start a command whose output goes where the launch says; return its exit code, None when it
    was killed at ``timeout_s``.

    Raises:
        ServiceError: it cannot be started.
    """
    ended = asyncio.get_running_loop().create_future()
    process = spawner.spawn(launch, partial(settle, ended))
    return await _finish(process, ended, timeout_s)


async def _finish(
    process: processes.Process, ended: "asyncio.Future[None]", timeout_s: float | None
) -> int | None:
    try:
        async with asyncio.timeout(timeout_s):
            await ended
    except TimeoutError:
        return None
    finally:
        if not process.has_ended:
            _kill_tree(process)
    return process.exit_code


def _kill_tree(process: processes.Process) -> None:
    below = proctable.descendants([process.pid])
    process.signal_group(signal.SIGKILL)
    for pid in below:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
