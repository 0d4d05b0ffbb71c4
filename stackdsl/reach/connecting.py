"""SSH connections: one a host whatever is done there, jump hosts shared, keys of hosts verified.

Laws: nobody is ever asked anything; a host that fails does so by itself, while others go on.
"""

import asyncio
import contextlib
import logging
import os
import random
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, NamedTuple, Self

import asyncssh

from stackdsl.model import errors, places
from stackdsl.reach import channels, refusals, sockets

CONNECT_TIMEOUT_S = 10.0
LOGIN_TIMEOUT_S = 20.0
# A connection that is cut is noticed after three intervals: well within a node's lease.
KEEPALIVE_S = 4.0
_KEEPALIVES = 2
# sshd turns some of many at once away (MaxStartups): those come again.
_TRIES = 6
_PAUSE_S = 0.15
_CLOSE_TIMEOUT_S = 2.0

logging.getLogger("asyncssh").addHandler(logging.NullHandler())


class _Settings(NamedTuple):
    """What ssh's settings come to for one hop."""

    options: asyncssh.SSHClientConnectionOptions
    known_hosts: bytes
    target: refusals.Target
    jumps: tuple[places.Ssh, ...]


class Connection:
    """A living connection to a host. ``lost`` is set when it has ended."""

    def __init__(self, target: refusals.Target, raw: asyncssh.SSHClientConnection) -> None:
        self.target = target
        self.raw = raw
        self.lost = asyncio.Event()

    @property
    def name(self) -> str:
        """The host's name."""
        return self.target.name

    async def open_channel(
        self, path: str, protocol: asyncio.Protocol, *, window_bytes: int = 2 * 1024 * 1024
    ) -> None:
        """Connect ``protocol`` to a Unix socket there; ``window_bytes`` may be under way to us.

        Raises:
            ChannelRefused: nobody listens there, or sshd does not forward.
            HostError: the connection has ended.
        """
        await channels.open_unix(self.raw, self.target, path, protocol, window_bytes)

    async def open_tcp(self, address: tuple[str, int], protocol: asyncio.Protocol) -> None:
        """Connect ``protocol`` to a socket as the host reaches it.

        Raises:
            OSError: it does not answer.
        """
        await channels.open_tcp(self.raw, self.target, address, protocol)

    async def listen_unix(self, path: str, accept: Callable[[], asyncio.Protocol]) -> None:
        """Let the host listen at a path for as long as we are connected.

        Raises:
            HostError: the connection has ended, or sshd forwards nothing.
        """
        await channels.listen_unix(self.raw, self.target, path, accept)

    async def run(self, command: str, feed: channels.Feed | None = None) -> channels.Ran:
        """Run a command and wait for its end; ``feed`` answers its first line with its input.

        Raises:
            HostError: the connection has ended, or sshd refuses.
        """
        return await channels.run(self.raw, self.target, command, feed)

    def close(self) -> None:
        """End it."""
        self.raw.close()

    async def wait_closed(self) -> None:
        """Wait until it has ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self.raw.wait_closed()
                return
        self.raw.abort()


class Connector:
    """Opens connections and shares them. Used as ``async with``: leaving it ends them all.

    ``login_timeout_s`` bounds what follows once sshd's machine has answered.
    """

    def __init__(self, *, login_timeout_s: float = LOGIN_TIMEOUT_S) -> None:
        self.login_timeout_s = login_timeout_s
        self._open: dict[places.Ssh, Connection] = {}
        self._locks: dict[places.Ssh, asyncio.Lock] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End every connection, those through others first."""
        opened = list(reversed(self._open.values()))
        self._open.clear()
        for one in opened:
            one.close()
        for one in opened:
            await one.wait_closed()

    async def connect(self, place: places.Ssh) -> Connection:
        """Return the connection to a host, opened if there is none.

        Raises:
            HostError: it cannot be opened; the error names the hop.
        """
        place = _without_work(place)
        async with self._locks.setdefault(place, asyncio.Lock()):
            known = self._open.get(place)
            if known is not None and not known.lost.is_set():
                return known
            settings = await _read_settings(place)
            through: Connection | None = None
            for hop in settings.jumps:
                through = await self.connect(hop)
            opened = await self._try(settings, through)
            self._open.pop(place, None)
            self._open[place] = opened
            return opened

    async def _try(self, settings: _Settings, through: Connection | None) -> Connection:
        target = settings.target
        for number in range(_TRIES):
            try:
                return await _open(settings, through, self.login_timeout_s)
            except (asyncssh.ConnectionLost, ConnectionResetError) as error:
                if number == _TRIES - 1:
                    raise refusals.explain(target, error) from error
                spread = random.uniform(0.5, 1.5)  # noqa: S311  # many come at once; no secret
                await asyncio.sleep(_PAUSE_S * 2**number * spread)
            except (asyncssh.Error, OSError, ValueError, asyncssh.KeyImportError) as error:
                raise refusals.explain(target, error) from error
        raise AssertionError("unreachable")


def _without_work(place: places.Ssh) -> places.Ssh:
    """Return what matters for the connection only: two places of one host share it."""
    via = None if place.via is None else _without_work(place.via)
    return places.Ssh(host=place.host, user=place.user, port=place.port, key=place.key, via=via)


async def _read_settings(place: places.Ssh) -> _Settings:
    """Read ~/.ssh/config for a hop.

    Raises:
        HostError: it cannot be used.
    """
    given: dict[str, Any] = {}
    if place.user is not None:
        given["username"] = place.user
    if place.port is not None:
        given["port"] = place.port
    if place.key is not None:
        given["client_keys"] = [os.path.expanduser(place.key)]
    try:
        options = await asyncssh.SSHClientConnectionOptions.construct(
            host=place.host, config=(), **given
        )
    except (OSError, ValueError, asyncssh.KeyImportError) as error:
        target = refusals.Target(
            name=place.host, host=place.host, port=place.port or 22, user=place.user or "you"
        )
        if isinstance(error, asyncssh.KeyImportError | asyncssh.KeyEncryptionError):
            raise refusals.explain(target, error) from error
        raise refusals.bad_config(place.host, str(error)) from error
    jumps = _list_jumps(place, options.tunnel)
    known = _read_known_hosts(options.known_hosts)
    target = refusals.Target(
        name=place.host,
        host=options.host,
        port=options.port,
        user=options.username,
        jump=jumps[-1].host if jumps else "",
        known_keys=_find_keys(known, options.host_key_alias or options.host, options.port),
    )
    return _Settings(options, known, target, jumps)


def _list_jumps(place: places.Ssh, proxy_jump: object) -> tuple[places.Ssh, ...]:
    """Return the hops to a host: the author's, else those of ProxyJump, each through the one
    before. Source: ssh_config(5), ProxyJump."""
    if place.via is not None:
        return (place.via,)
    if not isinstance(proxy_jump, str) or proxy_jump.lower() == "none":
        return ()
    before: places.Ssh | None = None
    for text in proxy_jump.split(","):
        user, at, rest = text.strip().removeprefix("ssh://").rpartition("@")
        host, colon, port = rest.rpartition(":")
        if not (colon and port.isdecimal()):
            host, port = rest, ""
        before = places.Ssh(
            host=host, user=user if at else None, port=int(port) if port else None, via=before
        )
    return () if before is None else (before,)


def _read_known_hosts(wanted: object) -> bytes:
    """Return the entries of the files that hold; files that are missing hold none."""
    files: Iterable[object] = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")
    if isinstance(wanted, list | tuple) and wanted:
        files = wanted
    found = []
    for file in files:
        with contextlib.suppress(OSError), open(os.path.expanduser(str(file)), "rb") as stream:
            found.append(stream.read())
    return b"\n".join(found)


def _find_keys(known: bytes, host: str, port: int) -> tuple[str, ...]:
    """Return the kinds of keys that known_hosts has for a host."""
    try:
        entries = asyncssh.import_known_hosts(known.decode(errors="replace"))
        number = None if port == asyncssh.DEFAULT_PORT else port
        keys, authorities, *_ = entries.match(host, "", number)
    except ValueError:
        return ()
    return tuple(sorted({key.get_algorithm() for key in (*keys, *authorities)}))


async def _open(
    settings: _Settings, through: Connection | None, login_timeout_s: float
) -> Connection:
    target, options = settings.target, settings.options
    made: list[Connection] = []

    class Client(asyncssh.SSHClient):
        """Notes the end of the connection."""

        def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh's
            """See `asyncssh.SSHClient`."""
            for one in made:
                one.lost.set()

    timeout_s = options.connect_timeout or CONNECT_TIMEOUT_S
    stream = None
    if through is None and not options.proxy_command:
        async with asyncio.timeout(timeout_s):
            stream = await sockets.connect(options.host, options.port, options.family)
    try:
        async with asyncio.timeout(timeout_s + login_timeout_s):
            raw = await asyncssh.connect(
                target.name,
                options=options,
                config=(),
                tunnel=None if through is None else through.raw,
                sock=stream,
                known_hosts=settings.known_hosts,
                client_factory=Client,
                connect_timeout=timeout_s + login_timeout_s,
                login_timeout=login_timeout_s,
                keepalive_interval=KEEPALIVE_S,
                keepalive_count_max=_KEEPALIVES,
            )
    except BaseException:
        if stream is not None:
            stream.close()
        raise
    opened = Connection(target, raw)
    made.append(opened)
    if raw.is_closed():
        raise asyncssh.ConnectionLost("it ended at once")
    return opened


def lost(target: refusals.Target, why: str = "") -> errors.HostError:
    """Return the error for a connection that has ended under way."""
    return channels.lost(target, why)
