"""Channels of an SSH connection: streams to Unix sockets there, and commands."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncssh

from stackdsl.model import errors
from stackdsl.model.data import dataclass
from stackdsl.reach import refusals

OPEN_TIMEOUT_S = 10.0
_STDERR_LINES = 20
_OUTPUT_LIMIT_BYTES = 1024 * 1024

Feed = Callable[[bytes], bytes | None]


class ChannelRefused(Exception):  # noqa: N818 - it is told apart by whoever dials
    """Nobody listens at a socket there, or sshd forwards nothing; ``is_forbidden`` tells which."""

    def __init__(self, reason: str, *, is_forbidden: bool) -> None:
        super().__init__(reason)
        self.is_forbidden = is_forbidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A command that has ended; ``exit_code`` is None when it was cut off."""

    exit_code: int | None
    stdout: bytes
    stderr: bytes

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines of its standard error."""
        return tuple(self.stderr.decode(errors="replace").splitlines()[-_STDERR_LINES:])


def lost(target: refusals.Target, why: str = "") -> errors.HostError:
    """Return the error for a connection that has ended under way."""
    return errors.HostError(
        "host.connection-lost",
        f'cannot reach host "{target.name}": the connection ended',
        why=why,
        do=f"look whether it is switched on and on the network: {target.command}",
    )


class _Transport(asyncio.Transport):
    """A channel as asyncio's protocols know it."""

    def __init__(
        self, channel: "asyncssh.SSHUNIXChannel[bytes] | asyncssh.SSHTCPChannel[bytes]"
    ) -> None:
        super().__init__()
        self._channel = channel
        self.is_paused = False
        self.on_resumed: Callable[[], None] = lambda: None

    def write(self, data: Any) -> None:
        """See `asyncio.WriteTransport`."""
        if not self._channel.is_closing():
            self._channel.write(bytes(data))

    def write_eof(self) -> None:
        """See `asyncio.WriteTransport`."""
        if not self._channel.is_closing():
            self._channel.write_eof()

    def can_write_eof(self) -> bool:
        """See `asyncio.WriteTransport`."""
        return True

    def is_closing(self) -> bool:
        """See `asyncio.BaseTransport`."""
        return self._channel.is_closing()

    def close(self) -> None:
        """See `asyncio.BaseTransport`."""
        self._channel.close()

    def abort(self) -> None:
        """See `asyncio.WriteTransport`."""
        self._channel.abort()

    def pause_reading(self) -> None:
        """See `asyncio.ReadTransport`."""
        self.is_paused = True
        self._channel.pause_reading()

    def resume_reading(self) -> None:
        """See `asyncio.ReadTransport`."""
        self.is_paused = False
        self._channel.resume_reading()
        self.on_resumed()


class _Session(asyncssh.SSHUNIXSession[bytes], asyncssh.SSHTCPSession[bytes]):
    """Hands a channel's events on to a protocol of asyncio. What comes while reading is paused is
    held: a channel that begins forgets that it was."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        self._transport: _Transport | None = None
        self._held: list[bytes] = []
        self._has_ended = False

    def connection_made(self, chan: Any) -> None:
        """See `asyncssh.SSHUNIXSession`."""
        self._transport = _Transport(chan)
        self._transport.on_resumed = self._hand_on
        self._protocol.connection_made(self._transport)

    def data_received(self, data: bytes, datatype: int | None) -> None:  # noqa: ARG002 - asyncssh's
        """See `asyncssh.SSHUNIXSession`."""
        self._held.append(data)
        self._hand_on()

    def _hand_on(self) -> None:
        while self._held and self._transport is not None and not self._transport.is_paused:
            self._protocol.data_received(self._held.pop(0))
        if self._has_ended and not self._held and self._transport is not None:
            self._has_ended = False
            if not self._protocol.eof_received():
                self._transport.close()

    def eof_received(self) -> bool:
        """See `asyncssh.SSHUNIXSession`; the protocol decides, once it has read what came."""
        self._has_ended = True
        self._hand_on()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncssh.SSHUNIXSession`."""
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """See `asyncssh.SSHUNIXSession`."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncssh.SSHUNIXSession`."""
        self._protocol.resume_writing()


async def open_unix(
    raw: asyncssh.SSHClientConnection,
    target: refusals.Target,
    path: str,
    protocol: asyncio.Protocol,
    window_bytes: int,
) -> None:
    """Connect a protocol to a Unix socket at the other end; see `connecting.Connection`."""
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            await raw.create_unix_connection(
                lambda: _Session(protocol), path, encoding=None, window=window_bytes
            )
    except asyncssh.ChannelOpenError as error:
        if raw.is_closed():
            raise lost(target) from error
        is_forbidden = error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
        raise ChannelRefused(str(error.reason), is_forbidden=is_forbidden) from error
    except (asyncssh.Error, OSError) as error:  # TimeoutError is one
        raise lost(target, str(error)) from error


async def open_tcp(
    raw: asyncssh.SSHClientConnection,
    target: refusals.Target,
    address: tuple[str, int],
    protocol: asyncio.Protocol,
) -> None:
    """Connect a protocol to a socket as the other end reaches it.

    Raises:
        OSError: it does not answer, or sshd forwards nothing.
    """
    try:
        await raw.create_connection(lambda: _Session(protocol), *address, encoding=None)
    except asyncssh.ChannelOpenError as error:
        raise ConnectionRefusedError(f"{target.name}: {error.reason}") from error
    except asyncssh.Error as error:
        raise ConnectionResetError(f"{target.name}: {error.reason}") from error


async def listen_unix(
    raw: asyncssh.SSHClientConnection,
    target: refusals.Target,
    path: str,
    accept: Callable[[], asyncio.Protocol],
) -> None:
    """Let the other end listen at a path, for as long as the connection lasts.

    Raises:
        HostError: the connection has ended, or sshd forwards nothing.
    """
    try:
        await raw.create_unix_server(lambda: _Session(accept()), path, encoding=None)
    except asyncssh.ChannelListenError as error:
        raise errors.HostError(
            "host.no-forwarding",
            f'cannot lead connections away from host "{target.name}": its sshd refuses',
            why=str(error),
            do="let sshd forward Unix sockets: AllowStreamLocalForwarding yes (the default)",
        ) from error
    except (asyncssh.Error, OSError) as error:
        raise lost(target, str(error)) from error


async def run(
    raw: asyncssh.SSHClientConnection, target: refusals.Target, command: str, feed: Feed | None
) -> Ran:
    """Run a command at the other end; see `connecting.Connection`."""
    try:
        async with raw.create_process(command, encoding=None) as process:
            first = b""
            if feed is not None:
                first = await process.stdout.readline()
                answer = feed(first)
                if answer is not None:
                    process.stdin.write(answer)
            process.stdin.write_eof()
            stdout = await process.stdout.read(_OUTPUT_LIMIT_BYTES)
            stderr = await process.stderr.read(_OUTPUT_LIMIT_BYTES)
            await process.wait_closed()
            return Ran(exit_code=process.returncode, stdout=first + stdout, stderr=stderr)
    except (asyncssh.Error, OSError) as error:
        if isinstance(error, asyncssh.ChannelOpenError) and not raw.is_closed():
            raise errors.HostError(
                "host.no-session",
                f'cannot work on host "{target.name}": its sshd opens no session',
                why=str(error.reason),
                do="let the account run commands there (ForceCommand, MaxSessions, its shell)",
            ) from error
        raise lost(target, str(error)) from error
