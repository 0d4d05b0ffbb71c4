"""A controller's socket: serves `ports.RunControl` to other processes of the same user."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncGenerator

from stackdsl import ports
from stackdsl.model import errors, events
from stackdsl.registry import places
from stackdsl.wire import calls, codec

SOCKET_NAME = "control.sock"
_CALLS = (
    "status", "plan", "secrets", "settled", "start_services", "stop_services", "restart_services",
    "do_task", "wait_for", "why", "execute", "surroundings", "change", "stop_run",
)  # fmt: skip
_WAITS = ("settled", "wait_for", "execute")
UNREAD_MAX = 2000
_EVENTS_A_TURN = 64


class _Subscription:
    """Events on their way to one reader: it says when it has taken them, else no more are sent."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self._sent = 0
        self._unread = 0
        self._has_room = asyncio.Event()
        self._has_room.set()

    def acknowledge(self, count: int) -> None:
        """Take note that the reader has taken so many."""
        self._unread -= count
        if self._unread < UNREAD_MAX:
            self._has_room.set()

    async def wait_for_room(self, peer: calls.Peer) -> None:
        """Return when one more may be sent; other tasks get their turn now and then."""
        self._unread += 1
        self._sent += 1
        if self._unread >= UNREAD_MAX:
            self._has_room.clear()
        if self._sent % _EVENTS_A_TURN == 0:
            await asyncio.sleep(0)
        await self._has_room.wait()
        await peer.drain()

    def cancel(self) -> None:
        """Send no more."""
        if self.task is not None:
            self.task.cancel()


class Server:
    """Serves one run on its folder's socket (mode 0600) and on sockets handed to it."""

    def __init__(self, control: ports.RunControl, group: asyncio.TaskGroup) -> None:
        self._control = control
        self._group = group
        self._peers: dict[calls.Peer, dict[int, _Subscription]] = {}
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
            try:
                # not by umask(2), which is the whole process's. Source: unix_bind in the kernel
                # makes the file with the mode of the socket.
                os.fchmod(listener.fileno(), 0o600)
                listener.bind(places.short_socket_path(folder_fd, SOCKET_NAME))
            except BaseException:
                listener.close()
                raise
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
        peer = calls.Peer(handlers, on_lost=self._lose, name="the client", waits=_WAITS)
        mine: dict[int, _Subscription] = {}

        async def subscribe(number: int, since: int | None, logs: bool) -> None:
            if peer.is_lost:  # meanwhile: nobody would ever cancel it
                return
            subscription = mine[number] = _Subscription()
            subscription.task = self._group.create_task(
                self._push_events(peer, number, subscription, self._control.events(since, logs)),
                name="push events",
            )

        async def acknowledge(number: int, count: int) -> None:
            if number in mine:
                mine[number].acknowledge(count)

        async def unsubscribe(number: int) -> None:
            if number in mine:
                mine.pop(number).cancel()

        handlers |= {"subscribe": subscribe, "acknowledge": acknowledge, "unsubscribe": unsubscribe}
        self._peers[peer] = mine
        return peer

    async def _push_events(
        self,
        peer: calls.Peer,
        number: int,
        subscription: _Subscription,
        source: AsyncGenerator[events.Event, None],
    ) -> None:
        """Push ``(number, event, None)`` for each event, then ``(number, None, error or None)``."""
        failure: errors.StackError | None = None
        try:
            async with contextlib.aclosing(source):
                async for event in source:
                    peer.push((number, event, None))
                    await subscription.wait_for_room(peer)
        except errors.StackError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - around one step: one reader's fault is not the run's
            failure = errors.InternalError(
                "internal.events",
                f"cannot go on with the events: {type(error).__name__}: {error}",
                do="this is a bug of stackdsl: please report it",
            )
        peer.push((number, None, None if failure is None else codec.encode_error(failure)))

    def _lose(self, peer: calls.Peer) -> None:
        for subscription in self._peers.pop(peer, {}).values():
            subscription.cancel()

    async def close(self) -> None:
        """Stop listening, let answers out, end every connection."""
        if self._server is not None:
            self._server.close()
            if os.path.lexists(self._path):
                os.unlink(self._path)
        for peer, subscriptions in tuple(self._peers.items()):
            peer.close()
            for subscription in subscriptions.values():
                subscription.cancel()


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
