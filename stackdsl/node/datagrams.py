"""UDP forwards: each client has a target of its own until it was silent for a minute."""

import asyncio
import itertools
import socket

from stackdsl.model import specs
from stackdsl.node import targets

UDP_IDLE_S = 60.0
_MOST_ASSOCIATIONS = 1024
_DATAGRAM_BYTES = 65536


class _Association:
    """What one client of a UDP forward sends and gets, over a socket of its own."""

    __slots__ = ("seen_at", "sock", "target")

    def __init__(self, target: targets.Target) -> None:
        self.target = target
        self.seen_at = 0.0
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self.sock.connect(target)
        except OSError:
            self.sock.close()
            raise


class Datagrams:
    """A UDP forward: a client keeps its target until it was silent for a minute."""

    def __init__(self, wanted: specs.Forward) -> None:
        self.wanted = wanted
        self._targets = targets.Targets(wanted.targets)
        self._clients: dict[targets.Target, _Association] = {}
        self._sock: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Listen.

        Raises:
            OSError: see `targets.bind`.
        """
        self._sock = targets.bind(self.wanted)
        asyncio.get_running_loop().add_reader(self._sock.fileno(), self._on_request)

    def retarget(self, wanted: specs.Forward) -> None:
        """Move the clients of targets that are no longer wanted."""
        self.wanted = wanted
        if wanted.targets == self._targets.all:
            return
        self._targets = targets.Targets(wanted.targets)
        for client, association in tuple(self._clients.items()):
            if association.target not in wanted.targets:
                self._drop(client)

    async def close(self) -> None:
        """Listen no longer and forget all clients."""
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

    def _associate(self, client: targets.Target) -> _Association | None:
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

    def _send(self, association: _Association, client: targets.Target, data: bytes) -> None:
        try:
            association.sock.send(data)
        except BlockingIOError:
            return  # datagrams are dropped where there is no room: so UDP
        except OSError:
            self._fail_over(client, association, data)

    def _fail_over(self, client: targets.Target, association: _Association, data: bytes) -> None:
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

    def _on_reply(self, client: targets.Target, association: _Association) -> None:
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

    def _drop(self, client: targets.Target) -> None:
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
