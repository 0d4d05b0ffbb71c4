"""A run over its socket: readers of events, waits that are given up, what is no message."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from stackdsl.model import errors, events
from stackdsl.registry import client as clients
from stackdsl.registry import serving
from stackdsl.run import timeline
from stackdsl.wire import calls
from tests.waiting import eventually_async


class Control:
    """As much of a run as a reader of its events needs."""

    def __init__(self) -> None:
        self.timeline = timeline.Timeline(window_events=10_000)
        self.told = 0
        self.reading = 0
        self.waiting = 0

    def __getattr__(self, name: str) -> Any:
        if name not in serving._CALLS:
            raise AttributeError(name)
        return self.wait

    async def wait(self, *_: object) -> None:
        self.waiting += 1
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.waiting -= 1

    async def events(self, since: int | None, logs: bool) -> AsyncGenerator[events.Event, None]:
        self.reading += 1
        try:
            if logs:
                raise OSError("no more watches")
            async for event in self.timeline.read(since):
                self.told += 1
                yield event
        finally:
            self.reading -= 1


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Control, serving.Server, clients.Client]]:
    control = Control()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        server = serving.Server(control, group)
        mine, theirs = socket.socketpair()
        await server.take(theirs)
        client = clients.Client("shop")
        await client.take(mine)
        yield control, server, client
        client.close()
        control.timeline.close()
        await server.close()
        await end(client._peer, *server._peers)


async def end(*peers: calls.Peer) -> None:
    """Close both ends and wait until they are: their sockets may not outlive the test."""

    async def are_lost() -> bool:
        return all(peer.is_lost for peer in peers)

    for peer in peers:
        peer.close()
    await eventually_async(are_lost)


async def read(source: AsyncGenerator[events.Event, None], count: int) -> list[int]:
    return [(await anext(source)).seq for _ in range(count)]


async def test_two_readers_of_one_client_each_get_every_event_once() -> None:
    async with served() as (control, _, client):
        for number in range(50):
            control.timeline.emit("step", f"start:{number}")
        one, two = client.events(0, False), client.events(0, False)
        assert await read(one, 50) == await read(two, 50) == list(range(1, 51))
        await one.aclose()
        await two.aclose()


async def test_a_reader_that_leaves_is_sent_nothing_more() -> None:
    async with served() as (control, _, client):
        control.timeline.emit("step", "start:0")
        reader = client.events(0, False)
        await read(reader, 1)
        await reader.aclose()

        async def nobody_reads() -> bool:
            return control.reading == 0

        await eventually_async(nobody_reads)


async def test_a_slow_reader_holds_up_its_own_events_only_and_loses_none() -> None:
    async with served() as (control, _, client):
        for number in range(3 * serving.UNREAD_MAX):
            control.timeline.emit("step", f"start:{number}")
        reader = client.events(0, False)
        await read(reader, 1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):  # as long as it may take to send all of them
                while control.told <= serving.UNREAD_MAX:  # noqa: ASYNC110 - others must get turns
                    await asyncio.sleep(0.01)
        assert control.told <= serving.UNREAD_MAX
        rest = await read(reader, 3 * serving.UNREAD_MAX - 1)
        assert rest == list(range(2, 3 * serving.UNREAD_MAX + 1))
        await reader.aclose()


async def test_a_fault_in_one_readers_events_is_told_to_it_and_ends_nothing_else() -> None:
    async with served() as (control, _, client):
        control.timeline.emit("step", "start:0")
        with pytest.raises(errors.InternalError) as caught:
            await anext(client.events(0, True))
        assert "no more watches" in caught.value.what
        other = client.events(0, False)
        assert await read(other, 1) == [1]
        await other.aclose()


async def test_a_wait_is_given_up_when_who_waits_is_gone() -> None:
    async with served() as (control, _, client):

        async def wait() -> None:
            with contextlib.suppress(errors.HostError):
                await client.wait_for("db", ["ready"], None)

        waiting = asyncio.create_task(wait())

        async def is_waiting(count: int) -> bool:
            return control.waiting == count

        await eventually_async(lambda: is_waiting(1))
        client.close()
        await eventually_async(lambda: is_waiting(0))
        await waiting


async def test_the_socket_is_the_users_alone(tmp_path: Path) -> None:
    async with served() as (_, server, _client):
        await server.open(str(tmp_path))
        assert (tmp_path / serving.SOCKET_NAME).stat().st_mode & 0o777 == 0o600


# --- the stream below ----------------------------------------------------------------------------


@asynccontextmanager
async def connected(**handlers: calls.Handler) -> AsyncIterator[tuple[calls.Peer, calls.Peer]]:
    loop = asyncio.get_running_loop()
    mine, theirs = socket.socketpair()
    async with asyncio.timeout(10):
        _, one = await loop.create_unix_connection(calls.Peer, sock=mine)
        _, two = await loop.create_unix_connection(
            lambda: calls.Peer(handlers, on_push=_pass_over), sock=theirs
        )
        yield one, two
        await end(one, two)


def _pass_over(_: object) -> None:
    """Take what is pushed."""


async def echo(value: object) -> object:
    return value


async def test_a_message_that_is_too_large_is_refused_and_the_stream_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "FRAME_LIMIT_BYTES", 1000)

    async def make(size: int) -> str:
        return "x" * size

    async with connected(echo=echo, make=make) as (one, _):
        with pytest.raises(errors.InternalError, match="1000 at most"):
            await one.call("echo", "x" * 2000)
        with pytest.raises(errors.InternalError, match="1000 at most"):
            await one.call("make", 2000)
        assert await one.call("echo", "small") == "small"


@pytest.mark.parametrize("body", [b"no json", b"7", b'{"push": {"$": "no.Class"}}', b"{}"])
async def test_what_is_no_message_ends_the_stream_quietly(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(echo=echo) as (one, _):
        calling = asyncio.create_task(one.call("nothing-answers"))
        assert one._transport is not None
        one._transport.write(len(body).to_bytes(4, "big") + body)
        with pytest.raises(errors.StackError):
            await calling
        with contextlib.suppress(errors.HostError):
            while not one.is_lost:
                await one.call("echo", 1)
        assert caplog.records == []


async def test_a_call_whose_answer_is_given_up_is_told() -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError

    async with connected(give_up=give_up) as (one, _):
        with pytest.raises(errors.InternalError, match="given up"):
            await one.call("give_up")
