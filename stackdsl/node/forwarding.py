"""Forwards: listening addresses of a machine that pass connections and datagrams on to targets.

Laws: a forward listens on exactly the address asked for; its targets may change while connections
live; those that live go on until their ends close them.
"""

import asyncio
import errno
import itertools
import os
import socket
import struct
from collections.abc import Sequence
from typing import Protocol

from stackdsl.model import errors, specs

CONNECT_TIMEOUT_S = 5.0
UDP_IDLE_S = 60.0
_BACKLOG = 1024
_MOST_ASSOCIATIONS = 1024
_DATAGRAM_BYTES = 65536
# l_onoff, l_linger: closing sends RST. Source: socket(7), SO_LINGER.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Target = tuple[str, int]


class _Targets:
    """Where a forward goes, in turn; the set may change in place."""

    def __init__(self, targets: tuple[Target, ...]) -> None:
        self.all = targets
        self._next = 0

    def in_turn(self) -> list[Target]:
        """Return all targets, the next one in turn first."""
        if not self.all:
            return []
        start = self._next % len(self.all)
        self._next = start + 1
        return [*self.all[start:], *self.all[:start]]


class _Forwarder(Protocol):
    """What stands behind one listening address."""

    wanted: specs.Forward

    async def open(self) -> None:
        """Listen."""

    def retarget(self, wanted: specs.Forward) -> None:
        """Pass what comes from now on to other targets."""

    async def close(self) -> None:
        """Listen no longer and end what lives."""


class Forwards:
    """The forwards of one machine, as one value that is set."""

    def __init__(self) -> None:
        self._standing: dict[str, _Forwarder] = {}
        self._turn = asyncio.Lock()

    @property
    def standing(self) -> tuple[specs.Forward, ...]:
        """The forwards that listen now."""
        return tuple(forwarder.wanted for forwarder in self._standing.values())

    async def set(self, wanted: Sequence[specs.Forward]) -> None:
        """Make the forwards exactly these; living connections of those kept go on.

        Raises:
            HostError: a listening address is taken; all the others stand.
        """
        async with self._turn:
            by_id = {forward.id: forward for forward in wanted}
            for gone in [key for key in self._standing if key not in by_id]:
                await self._standing.pop(gone).close()
            failed: list[errors.StackError] = []
            for key, forward in by_id.items():
                standing = self._standing.get(key)
                if standing is not None:
                    standing.retarget(forward)
                    continue
                made = _Datagrams(forward) if forward.protocol == "udp" else _Streams(forward)
                try:
                    await made.open()
                except OSError as error:
                    failed.append(_explain(forward, error))
                else:
                    self._standing[key] = made
            errors.raise_all(failed)

    async def close(self) -> None:
        """Listen nowhere."""
        await self.set(())


def _explain(forward: specs.Forward, error: OSError) -> errors.HostError:
    """Say in the user's words why an address cannot be listened on."""
    address = f"{forward.listen_host}:{forward.listen_port}"
    what = f'cannot listen on "{address}" for "{forward.subject}"'
    cause = f"the forward is needed: {forward.cause}" if forward.cause else ""
    if error.errno == errno.EADDRINUSE:
        # It scans /proc: only when somebody must be named.
        from stackdsl.node import holders

        holder = holders.find_holder(forward.listen_host, forward.listen_port, forward.protocol)
        return errors.HostError(
            "host.port-taken",
            f"{what}: the address is taken",
            why="\n".join(
                row for row in (f"it is held by {holder}" if holder else "", cause) if row
            ),
            do=f"end what listens there (`ss -lntup 'sport = :{forward.listen_port}'` shows it), "
            "or declare another port",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return errors.HostError(
            "host.address-missing",
            f'{what}: this machine has no address "{forward.listen_host}"',
            why=cause,
            do="plan again: the machine's addresses have changed",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return errors.HostError(
            "host.port-denied",
            f"{what}: this user may not listen on port {forward.listen_port}",
            why=cause,
            do="declare a port of 1024 or more, or run as a user who may",
        )
    return errors.HostError(
        "host.listen", f"{what}: {os.strerror(error.errno or 0)}", why=cause, do="see the cause"
    )


def _bind(forward: specs.Forward) -> socket.socket:
    is_tcp = forward.protocol == "tcp"
    kind = socket.SOCK_STREAM if is_tcp else socket.SOCK_DGRAM
    sock = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
    try:
        if is_tcp:
            # Connections in TIME_WAIT do not keep the address; a listener still does.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((forward.listen_host, forward.listen_port))
        if is_tcp:
            sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


class _End(asyncio.Protocol):
    """One end of a forwarded connection; what it receives, ``other`` sends."""

    def __init__(self, owner: "_Streams") -> None:
        self.owner = owner
        self.other: _End | None = None
        self.transport: asyncio.Transport | None = None
        self.has_ended = False
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.owner.ends.add(self)

    def data_received(self, data: bytes) -> None:
        assert self.other is not None
        assert self.other.transport is not None
        self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        """Pass the end of this direction on and keep the other direction open."""
        self.has_ended = True
        other = self.other
        if other is None or other.transport is None or other.is_lost:
            return False
        if other.transport.can_write_eof():
            other.transport.write_eof()
        if other.has_ended:
            # Both directions are done: closing sends what is still in the buffers first.
            other.transport.close()
            return False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self.owner.ends.discard(self)
        other = self.other
        if other is None or other.is_lost:
            return
        if exc is None:
            if other.transport is not None:
                other.transport.close()
        else:
            other.reset()

    def reset(self) -> None:
        """Close so that the peer sees a reset, as if it had reached the target itself."""
        if self.transport is None or self.is_lost:
            return
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()


class _Client(_End):
    """The end that was accepted: it waits, not read, until a target accepts."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.pause_reading()
        self.owner.begin(self)


class _Streams:
    """A TCP forward."""

    def __init__(self, wanted: specs.Forward) -> None:
        self.wanted = wanted
        self.ends: set[_End] = set()
        self._targets = _Targets(wanted.targets)
        self._server: asyncio.Server | None = None
        self._connecting: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Client(self), sock=_bind(self.wanted), backlog=_BACKLOG
        )

    def retarget(self, wanted: specs.Forward) -> None:
        self.wanted = wanted
        if wanted.targets != self._targets.all:
            self._targets = _Targets(wanted.targets)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        connecting = tuple(self._connecting)
        for task in connecting:
            task.cancel()
        if connecting:
            await asyncio.wait(connecting)
        for end in tuple(self.ends):
            end.reset()

    def begin(self, client: _End) -> None:
        """Look for a target for a client that was accepted."""
        # Held in _connecting until done: Protocol callbacks have no TaskGroup to live in.
        task = asyncio.get_running_loop().create_task(
            self._connect(client), name=f"forward {self.wanted.id}"
        )
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, client: _End) -> None:
        loop = asyncio.get_running_loop()
        target = _End(self)
        target.other = client
        for host, port in self._targets.in_turn():
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await loop.create_connection(lambda: target, host, port)
            except OSError:  # TimeoutError is one
                continue
            break
        if target.transport is None or client.is_lost:
            client.reset()
            target.reset()
            return
        client.other = target
        assert client.transport is not None
        client.transport.resume_reading()


class _Association:
    """What one client of a UDP forward sends and gets, over a socket of its own."""

    __slots__ = ("seen_at", "sock", "target")

    def __init__(self, target: Target) -> None:
        self.target = target
        self.seen_at = 0.0
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self.sock.connect(target)
        except OSError:
            self.sock.close()
            raise


class _Datagrams:
    """A UDP forward: a client keeps its target until it was silent for a minute."""

    def __init__(self, wanted: specs.Forward) -> None:
        self.wanted = wanted
        self._targets = _Targets(wanted.targets)
        self._clients: dict[Target, _Association] = {}
        self._sock: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        self._sock = _bind(self.wanted)
        asyncio.get_running_loop().add_reader(self._sock.fileno(), self._on_request)

    def retarget(self, wanted: specs.Forward) -> None:
        self.wanted = wanted
        if wanted.targets == self._targets.all:
            return
        self._targets = _Targets(wanted.targets)
        for client, association in tuple(self._clients.items()):
            if association.target not in wanted.targets:
                self._drop(client)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for client in tuple(self._clients):
            self._drop(client)
        if self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock.fileno())
            self._sock.close()
            self._sock = None

    def _on_request(self) -> None:
        assert self._sock is not None
        for _ in range(64):
            try:
                data, client = self._sock.recvfrom(_DATAGRAM_BYTES)
            except OSError:  # nothing more, or what an earlier reply met (ICMP)
                return
            association = self._clients.get(client) or self._associate(client)
            if association is not None:
                association.seen_at = asyncio.get_running_loop().time()
                self._send(association, client, data)

    def _associate(self, client: Target) -> _Association | None:
        if len(self._clients) >= _MOST_ASSOCIATIONS:
            self._drop(min(self._clients, key=lambda one: self._clients[one].seen_at))
        for target in self._targets.in_turn():
            try:
                association = _Association(target)
            except OSError:
                continue
            self._clients[client] = association
            loop = asyncio.get_running_loop()
            loop.add_reader(association.sock.fileno(), self._on_reply, client, association)
            if self._timer is None:
                self._timer = loop.call_later(UDP_IDLE_S, self._drop_idle)
            return association
        return None

    def _send(self, association: _Association, client: Target, data: bytes) -> None:
        try:
            association.sock.send(data)
        except BlockingIOError:
            return  # datagrams are dropped where there is no room: so UDP
        except OSError:
            self._fail_over(client, association, data)

    def _fail_over(self, client: Target, association: _Association, data: bytes) -> None:
        """Take the next target for a client whose target is not there."""
        self._drop(client)
        for _ in itertools.repeat(None, max(0, len(self._targets.all) - 1)):
            other = self._associate(client)
            if other is None:
                return
            other.seen_at = association.seen_at
            try:
                other.sock.send(data)
            except OSError:
                self._drop(client)
            else:
                return

    def _on_reply(self, client: Target, association: _Association) -> None:
        assert self._sock is not None
        for _ in range(64):
            try:
                data = association.sock.recv(_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError:  # ICMP: nobody is there; the client's next datagram goes elsewhere
                if self._clients.get(client) is association:
                    self._drop(client)
                return
            association.seen_at = asyncio.get_running_loop().time()
            try:
                self._sock.sendto(data, client)
            except OSError:
                continue  # the client is gone, or there is no room: so UDP

    def _drop(self, client: Target) -> None:
        association = self._clients.pop(client)
        asyncio.get_running_loop().remove_reader(association.sock.fileno())
        association.sock.close()

    def _drop_idle(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        oldest = loop.time() - UDP_IDLE_S
        for client, association in tuple(self._clients.items()):
            if association.seen_at <= oldest:
                self._drop(client)
        if self._clients:
            due = min(one.seen_at for one in self._clients.values()) + UDP_IDLE_S
            self._timer = loop.call_at(due, self._drop_idle)
