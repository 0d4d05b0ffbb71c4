"""A client of a controller's socket: `ports.RunControl` in another process."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Sequence
from typing import Any, cast

from stackdsl import ports
from stackdsl.model import causes, errors, events, plans, specs, states
from stackdsl.registry import places, serving
from stackdsl.wire import calls, codec

_ACKNOWLEDGED = serving.UNREAD_MAX // 4
_Pushed = events.Event | errors.StackError | None  # None: there are no more


class Client:
    """A living run over its socket; implements `ports.RunControl`."""

    def __init__(self, run: str) -> None:
        self.run = run
        self._peer = calls.Peer(on_push=self._take, on_lost=self._lose, name=f'run "{run}"')
        self._readers: dict[int, asyncio.Queue[_Pushed]] = {}
        self._next_reader = 0

    async def open(self, folder: str) -> None:
        """Connect to the run whose folder this is.

        Raises:
            UsageError: nobody serves there.
        """
        try:
            folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self._not_served() from error
        try:
            connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connected.connect(places.short_socket_path(folder_fd, serving.SOCKET_NAME))
            except OSError as error:
                connected.close()
                raise self._not_served() from error
        finally:
            os.close(folder_fd)
        await self.take(connected)

    async def take(self, connected: socket.socket) -> None:
        """Speak over a socket that is connected already."""
        connected.setblocking(False)
        await asyncio.get_running_loop().create_unix_connection(lambda: self._peer, sock=connected)

    def _not_served(self) -> errors.UsageError:
        return errors.UsageError(
            "usage.run-not-served",
            f'cannot reach run "{self.run}": it has no controller',
            do=f"take it back with `stackdsl start`, or end it: stackdsl stop {self.run}",
        )

    def _take(self, pushed: tuple[int, events.Event | None, list[dict[str, Any]] | None]) -> None:
        number, event, failure = pushed
        if number in self._readers:
            said = event if failure is None else codec.decode_error(failure)
            self._readers[number].put_nowait(said)

    def _lose(self, _peer: calls.Peer) -> None:
        for queue in self._readers.values():
            queue.put_nowait(None)

    def close(self) -> None:
        """End the connection."""
        self._peer.close()

    async def status(self) -> states.RunStatus:
        """See `ports.RunControl`."""
        return cast("states.RunStatus", await self._peer.call("status"))

    async def plan(self) -> plans.Plan:
        """See `ports.RunControl`."""
        return cast("plans.Plan", await self._peer.call("plan"))

    async def secrets(self) -> tuple[str, ...]:
        """See `ports.RunControl`."""
        return tuple(await self._peer.call("secrets"))

    async def settled(self) -> states.RunStatus:
        """See `ports.RunControl`."""
        return cast("states.RunStatus", await self._peer.call("settled"))

    async def start_services(self, names: Sequence[str]) -> None:
        """See `ports.RunControl`."""
        await self._peer.call("start_services", list(names))

    async def stop_services(self, names: Sequence[str]) -> None:
        """See `ports.RunControl`."""
        await self._peer.call("stop_services", list(names))

    async def restart_services(self, names: Sequence[str]) -> None:
        """See `ports.RunControl`."""
        await self._peer.call("restart_services", list(names))

    async def do_task(self, name: str) -> states.ServiceStatus:
        """See `ports.RunControl`."""
        return cast("states.ServiceStatus", await self._peer.call("do_task", name))

    async def wait_for(
        self, name: str | None, wanted: Sequence[str], timeout_s: float | None
    ) -> states.RunStatus:
        """See `ports.RunControl`."""
        answer = await self._peer.call("wait_for", name, list(wanted), timeout_s)
        return cast("states.RunStatus", answer)

    async def why(self, name: str | None) -> tuple[causes.Explanation, ...]:
        """See `ports.RunControl`."""
        return cast("tuple[causes.Explanation, ...]", await self._peer.call("why", name))

    async def execute(
        self, name: str, argv: Sequence[str], timeout_s: float | None
    ) -> ports.Executed:
        """See `ports.RunControl`."""
        answer = await self._peer.call("execute", name, list(argv), timeout_s)
        return cast("ports.Executed", answer)

    async def surroundings(self, name: str) -> specs.ServiceSpec:
        """See `ports.RunControl`."""
        return cast("specs.ServiceSpec", await self._peer.call("surroundings", name))

    async def change(self, file: str) -> plans.Plan:
        """See `ports.RunControl`."""
        return cast("plans.Plan", await self._peer.call("change", file))

    async def stop_run(self, at_once: bool) -> None:
        """See `ports.RunControl`."""
        await self._peer.call("stop_run", at_once)

    async def events(self, since: int | None, logs: bool) -> AsyncGenerator[events.Event, None]:
        """See `ports.RunControl`."""
        self._next_reader += 1
        number = self._next_reader
        queue = self._readers[number] = asyncio.Queue()
        taken = 0
        try:
            await self._peer.call("subscribe", number, since, logs)
            while (said := await queue.get()) is not None:
                if isinstance(said, errors.StackError):
                    raise said
                taken += 1
                if taken % _ACKNOWLEDGED == 0:
                    self._peer.tell("acknowledge", number, _ACKNOWLEDGED)
                yield said
        finally:
            del self._readers[number]
            self._peer.tell("unsubscribe", number)
