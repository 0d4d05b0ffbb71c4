"""A controller's socket: serves `ports.RunControl` to other processes of the same user."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator

from stackdsl import ports
from stackdsl.model import errors
from stackdsl.registry import places
from stackdsl.wire import calls

SOCKET_NAME = "control.sock"
_CALLS = (
    "status", "plan", "secrets", "settled", "start_services", "stop_services", "restart_services",
    "do_task", "wait_for", "execute", "surroundings", "change", "stop_run",
)  # fmt: skip


class Server:
    """Serves one run on its folder's socket (mode 0600) and on sockets handed to it."""

    def __init__(self, control: ports.RunControl, group: asyncio.TaskGroup) -> None:
        self._control = control
        self._group = group
        self._peers: set[calls.Peer] = set()
        self._readers: dict[calls.Peer, list[asyncio.Task[None]]] = {}
        self._server: asyncio.Server | None = None
        self._path = ""

    async def open(self, folder: str) -> None:
        """Listen in ``folder``."""
        self._path = os.path.join(folder, SOCKET_NAME)
        folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if os.path.lexists(self._path):
                os.unlink(self._path)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            mask = os.umask(0o177)
            try:
                listener.bind(places.short_socket_path(folder_fd, SOCKET_NAME))
            finally:
                os.umask(mask)
        finally:
            os.close(folder_fd)
        self._server = await asyncio.get_running_loop().create_unix_server(
            self._new_peer, sock=listener
        )

    async def take(self, connected: socket.socket) -> None:
        """Serve on a socket that is connected already."""
        await asyncio.get_running_loop().create_unix_connection(self._new_peer, sock=connected)

    def _new_peer(self) -> calls.Peer:
        handlers: dict[str, calls.Handler] = {name: getattr(self._control, name) for name in _CALLS}
        peer = calls.Peer(handlers, on_lost=self._lose, name="the client")

        async def subscribe(since: int | None, logs: bool) -> None:
            task = self._group.create_task(
                self._push_events(peer, self._control.events(since, logs)), name="push events"
            )
            self._readers.setdefault(peer, []).append(task)

        handlers["subscribe"] = subscribe
        self._peers.add(peer)
        return peer

    async def _push_events(self, peer: calls.Peer, source: AsyncIterator[object]) -> None:
        async for event in source:
            if peer.is_lost:
                return
            peer.push(event)
            await peer.drain()
        peer.push(None)

    def _lose(self, peer: calls.Peer) -> None:
        self._peers.discard(peer)
        for task in self._readers.pop(peer, ()):
            task.cancel()

    async def close(self) -> None:
        """Stop listening, let answers out, end every connection."""
        if self._server is not None:
            self._server.close()
            if os.path.lexists(self._path):
                os.unlink(self._path)
        for peer in tuple(self._peers):
            peer.close()
        for tasks in tuple(self._readers.values()):
            for task in tasks:
                task.cancel()


async def refuse(connected: socket.socket, error: errors.StackError) -> None:
    """Answer every call on a socket with ``error`` until the other end is gone (at most 10 s)."""
    lost = asyncio.Event()

    async def answer(*_: object) -> object:
        raise error

    peer = calls.Peer(
        dict.fromkeys((*_CALLS, "subscribe"), answer), on_lost=lambda _: lost.set(), name="parent"
    )
    await asyncio.get_running_loop().create_unix_connection(lambda: peer, sock=connected)
    try:
        async with asyncio.timeout(10):
            await lost.wait()
    except TimeoutError:
        peer.close()
