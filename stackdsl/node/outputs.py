"""Where a start's output goes: straight into the logs, or through a pipe or terminal into them.

A pipe is a named one that the program holds open for reading too: so it neither breaks when a node
dies, nor loses what was written until the next one carries on.
"""

import asyncio
import contextlib
import os
import pty
from collections.abc import Iterator
from dataclasses import replace

from stackdsl.model import errors, specs
from stackdsl.node import accounts, launches, logs, pumping

_DRAIN_S = 1.0


class Output:
    """The output of one start. ``offsets`` are where it begins in the logs."""

    def __init__(self, offsets: tuple[int, int]) -> None:
        self.offsets = offsets
        self._in: int | None = None
        self._out = self._err = -1
        self._tty: str | None = None
        self._pumps: list[pumping.Pump] = []
        self._temporary: list[int] = []
        self._ended = asyncio.Event()

    def dress(self, launch: launches.Launch) -> launches.Launch:
        """Return the launch with its output going where it should."""
        return replace(launch, stdin=self._in, stdout=self._out, stderr=self._err, tty=self._tty)

    def release(self) -> None:
        """Close what the program has by now."""
        for fd in self._temporary:
            os.close(fd)
        self._temporary.clear()

    async def drain(self) -> None:
        """Wait until what was written has come to the logs; what is left in the background may
        write on."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while any(not pump.is_ended for pump in self._pumps):
                    self._ended.clear()
                    await self._ended.wait()

    def close(self) -> None:
        """Give everything back; what stands in a pipe is carried first."""
        self.release()
        for pump in self._pumps:
            pump.close()

    def use_files(self, out_fd: int, err_fd: int) -> None:
        """Let the program write straight into the logs."""
        self._out, self._err = out_fd, err_fd
        self._temporary += [out_fd, err_fd]

    def use_input(self, path: str) -> None:
        """Let the program read from there; and show itself there, if a person sits at it."""
        # not to wait for who writes into a pipe, and not to be controlled by a terminal
        flags = os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK
        self._in = os.open(path, os.O_RDONLY | flags)
        self._temporary.append(self._in)
        os.set_blocking(self._in, True)
        if os.isatty(self._in):
            self._out = self._err = os.open(path, os.O_WRONLY | flags)
            self._temporary.append(self._out)
            os.set_blocking(self._out, True)

    def use_pipes(self, paths: tuple[str, str], logs_fds: tuple[int, int]) -> None:
        """Carry what is written into named pipes."""
        ends = []
        for path, log_fd in zip(paths, logs_fds, strict=True):
            reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            ends.append(os.open(path, os.O_RDWR | os.O_CLOEXEC))
            self._pumps.append(pumping.Pump(reading, log_fd, on_end=self._ended.set))
        self._out, self._err = ends
        self._temporary += ends

    def resume_pipes(self, paths: tuple[str, str], logs_fds: tuple[int, int]) -> None:
        """Carry on where an earlier node was cut off."""
        for path, log_fd in zip(paths, logs_fds, strict=True):
            reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._pumps.append(pumping.Pump(reading, log_fd, on_end=self._ended.set))

    def use_terminal(self, logs_fds: tuple[int, int], owner: accounts.Account | None) -> None:
        """Give the program a terminal; all that it shows goes to its standard output's log."""
        ours, theirs = pty.openpty()
        os.set_inheritable(ours, False)
        os.set_inheritable(theirs, False)
        os.close(logs_fds[1])
        self._tty = os.ttyname(theirs)
        if owner is not None and not owner.is_us:
            os.chown(theirs, owner.uid, owner.gid)
        self._pumps.append(pumping.Pump(ours, logs_fds[0], on_end=self._ended.set))
        self._out = self._err = theirs
        self._temporary.append(theirs)


def open_output(keeper: logs.LogKeeper, spec: specs.ServiceSpec, folder: str) -> Output:
    """Open a replica's logs for the start that follows.

    Raises:
        ServiceError: they cannot be opened.
    """
    try:
        fds = keeper.open(spec.name, spec.log_limit_bytes)
        output = Output(keeper.mark_start(spec.name))
        account = accounts.find(spec.user) if spec.user else None
        if spec.tty:
            output.use_terminal(fds, account)
        elif spec.log == "pipe":
            output.use_pipes(_make_pipes(folder, spec.name, account), fds)
        else:
            _give(fds, account)
            output.use_files(*fds)
        if spec.stdin is not None:
            output.use_input(spec.stdin)
    except OSError as error:
        raise errors.ServiceError(
            "start.logs",
            f"its logs cannot be opened: {error}",
            do="make room, or make the state folder writable",
        ) from error
    return output


def _give(fds: tuple[int, int], account: accounts.Account | None) -> None:
    """Let a service that is another user reopen its own output (/dev/stdout)."""
    if account is not None and not account.is_us and os.geteuid() == 0:
        for fd in fds:
            os.fchown(fd, account.uid, account.gid)


def resume_output(keeper: logs.LogKeeper, spec: specs.ServiceSpec, folder: str) -> Output:
    """Take up the output of a start that an earlier node made."""
    output = Output(keeper.start_offsets(spec.name))
    if spec.log == "pipe" and not spec.tty:
        with contextlib.suppress(FileNotFoundError):
            output.resume_pipes(_pipe_paths(folder, spec.name), keeper.open(spec.name))
    return output


def _pipe_paths(folder: str, name: str) -> tuple[str, str]:
    return f"{folder}/logs/.{name}.out.pipe", f"{folder}/logs/.{name}.err.pipe"


def _make_pipes(folder: str, name: str, account: accounts.Account | None) -> tuple[str, str]:
    paths = _pipe_paths(folder, name)
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.mkfifo(path, 0o600)
        if account is not None and not account.is_us:
            os.chown(path, account.uid, account.gid)
    return paths


@contextlib.contextmanager
def appending(keeper: logs.LogKeeper, name: str) -> Iterator[tuple[int, int]]:
    """Open a replica's logs for a command beside it: a hook."""
    fds = keeper.open(name)
    try:
        yield fds
    finally:
        for fd in fds:
            os.close(fd)
