"""TCP forwards: each connection is passed on to the first target in turn that accepts."""

import asyncio
import socket
import struct

from stackdsl.model import specs
from stackdsl.node import targets

CONNECT_TIMEOUT_S = 5.0
# l_onoff, l_linger: closing sends RST. Source: socket(7), SO_LINGER.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class _End(asyncio.Protocol):
    """One end of a forwarded connection; what it receives, ``other`` sends."""

    def __init__(self, owner: "Streams") -> None:
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


class Streams:
    """A TCP forward."""

    def __init__(self, wanted: specs.Forward) -> None:
        self.wanted = wanted
        self.ends: set[_End] = set()
        self._targets = targets.Targets(wanted.targets)
        self._server: asyncio.Server | None = None
        self._connecting: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen.

        Raises:
            OSError: see `targets.bind`.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Client(self), sock=targets.bind(self.wanted), backlog=targets.BACKLOG
        )

    def retarget(self, wanted: specs.Forward) -> None:
        """Pass connections that come from now on to other targets."""
        self.wanted = wanted
        if wanted.targets != self._targets.all:
            self._targets = targets.Targets(wanted.targets)

    async def close(self) -> None:
        """Listen no longer and reset what lives."""
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

    async def _dial(self, protocol: asyncio.Protocol, host: str, port: int) -> None:
        """Connect to a target; one that is a path is a Unix socket."""
        loop = asyncio.get_running_loop()
        if host.startswith("/"):
            await loop.create_unix_connection(lambda: protocol, host)
        else:
            await loop.create_connection(lambda: protocol, host, port)

    def accept(self) -> asyncio.Protocol:
        """Return the end of a client that comes in another way than to the listening socket."""
        return _Client(self)

    async def _connect(self, client: _End) -> None:
        target = _End(self)
        target.other = client
        for host, port in self._targets.in_turn():
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await self._dial(target, host, port)
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
