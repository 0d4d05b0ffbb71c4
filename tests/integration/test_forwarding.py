"""Forwards of a machine: real sockets on loopback."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from stackdsl.model import errors, specs
from stackdsl.node import datagrams, forwarding
from tests.waiting import eventually_async

HOST = "127.77.0.1"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


def forward(port: int, *targets: tuple[str, int], protocol: str = "tcp") -> specs.Forward:
    return specs.Forward(
        subject="api",
        listen_host=HOST,
        listen_port=port,
        targets=targets,
        protocol="udp" if protocol == "udp" else "tcp",
    )


@pytest.fixture
async def forwards() -> AsyncIterator[forwarding.Forwards]:
    forwards = forwarding.Forwards()
    yield forwards
    await forwards.close()


@asynccontextmanager
async def serving(talk: Talk) -> AsyncIterator[tuple[str, int]]:
    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except ConnectionError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(meet, HOST, 0)
    yield server.sockets[0].getsockname()[:2]
    server.close()


def saying(word: bytes) -> Talk:
    """A server that says its word, then echoes until the other end is done."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(word)
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    return talk


async def ask(port: int) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        return await reader.read(1)
    finally:
        writer.close()


async def test_a_megabyte_comes_back_through_a_forward_unchanged(
    forwards: forwarding.Forwards,
) -> None:
    port = free_port()
    data = bytes(range(256)) * 16384
    async with serving(saying(b"")) as target:
        await forwards.set([forward(port, target)])
        reader, writer = await asyncio.open_connection(HOST, port)

        async def send() -> None:
            writer.write(data)
            await writer.drain()
            writer.write_eof()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send(), name="send")
            back = await reader.read(-1)
        writer.close()

    assert back == data


async def test_half_a_close_leaves_the_other_direction_open(forwards: forwarding.Forwards) -> None:
    async def answer_at_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.read(-1)
        writer.write(b"answer to " + question)
        await writer.drain()

    port = free_port()
    async with serving(answer_at_end) as target:
        await forwards.set([forward(port, target)])
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"question")
        writer.write_eof()
        assert await reader.read(-1) == b"answer to question"
        writer.close()


async def test_targets_take_turns(forwards: forwarding.Forwards) -> None:
    port = free_port()
    async with serving(saying(b"a")) as first, serving(saying(b"b")) as second:
        await forwards.set([forward(port, first, second)])

        assert [await ask(port) for _ in range(4)] == [b"a", b"b", b"a", b"b"]


async def test_a_target_that_refuses_is_passed_over(forwards: forwarding.Forwards) -> None:
    port = free_port()
    async with serving(saying(b"a")) as target:
        await forwards.set([forward(port, (HOST, free_port()), target)])

        assert [await ask(port) for _ in range(3)] == [b"a"] * 3


@pytest.mark.parametrize("targets", [0, 2])
async def test_a_client_is_reset_when_no_target_accepts(
    forwards: forwarding.Forwards, targets: int
) -> None:
    port = free_port()
    await forwards.set([forward(port, *((HOST, free_port()) for _ in range(targets)))])

    with pytest.raises(ConnectionResetError):
        await ask(port)


async def test_a_reset_by_the_target_reaches_the_client(forwards: forwarding.Forwards) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    port = free_port()
    async with serving(reset) as target:
        await forwards.set([forward(port, target)])
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)
        writer.close()


async def test_a_swap_moves_new_connections_and_keeps_living_ones(
    forwards: forwarding.Forwards,
) -> None:
    port = free_port()
    async with serving(saying(b"a")) as old, serving(saying(b"b")) as new:
        await forwards.set([forward(port, old)])
        reader, writer = await asyncio.open_connection(HOST, port)
        assert await reader.read(1) == b"a"

        await forwards.set([forward(port, new)])

        assert await ask(port) == b"b"
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"
        writer.close()


async def test_setting_the_same_again_changes_nothing_for_living_connections(
    forwards: forwarding.Forwards,
) -> None:
    port = free_port()
    async with serving(saying(b"a")) as target:
        await forwards.set([forward(port, target)])
        reader, writer = await asyncio.open_connection(HOST, port)
        await reader.read(1)

        await forwards.set([forward(port, target)])

        writer.write(b"x")
        assert await reader.read(1) == b"x"
        writer.close()


async def test_what_is_no_longer_wanted_listens_no_longer(forwards: forwarding.Forwards) -> None:
    port = free_port()
    async with serving(saying(b"a")) as target:
        await forwards.set([forward(port, target)])
        await forwards.set([])

        with pytest.raises(ConnectionRefusedError):
            await ask(port)


async def test_an_address_that_is_taken_is_named_and_the_others_stand(
    forwards: forwarding.Forwards,
) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port, other = taken.getsockname()[1], free_port()
        async with serving(saying(b"a")) as target:
            with pytest.raises(errors.HostError) as caught:
                await forwards.set([forward(port, target), forward(other, target)])
            assert await ask(other) == b"a"

    assert caught.value.code == "host.port-taken"
    assert f'"{HOST}:{port}"' in caught.value.what
    assert "(pid " in caught.value.why
    assert f":{port}" in caught.value.do


async def test_an_address_of_another_machine_is_told_as_such(
    forwards: forwarding.Forwards,
) -> None:
    wanted = specs.Forward(
        subject="api", listen_host="192.0.2.7", listen_port=8080, targets=((HOST, 1),)
    )

    with pytest.raises(errors.HostError) as caught:
        await forwards.set([wanted])

    assert caught.value.code == "host.address-missing"


async def test_a_forward_listens_on_no_other_address(forwards: forwarding.Forwards) -> None:
    port = free_port()
    await forwards.set([forward(port, (HOST, free_port()))])

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.77.0.2", port)


async def test_a_client_that_does_not_read_holds_up_the_target_not_the_memory(
    forwards: forwarding.Forwards,
) -> None:
    sent = 0

    async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    port = free_port()
    async with serving(flood) as target:
        await forwards.set([forward(port, target)])
        with socket.socket() as client:
            client.connect((HOST, port))
            seen = -1

            async def is_still() -> bool:
                nonlocal seen
                before, seen = seen, sent
                await asyncio.sleep(0.1)
                return sent == seen == before > 0

            await eventually_async(is_still)
            assert sent < 32 * 1024 * 1024


class Echo(asyncio.DatagramProtocol):
    def __init__(self, word: bytes) -> None:
        self.word = word

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(self.word + data, addr)


@asynccontextmanager
async def echoing(word: bytes) -> AsyncIterator[tuple[str, int]]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Echo(word), local_addr=(HOST, 0))
    yield transport.get_extra_info("sockname")
    transport.close()


class Datagrams:
    """A UDP client."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.bind((HOST, 0))

    async def ask(self, port: int, data: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        self.sock.sendto(data, (HOST, port))
        async with asyncio.timeout(0.5):
            return await loop.sock_recv(self.sock, 65536)

    async def ask_until_answered(self, port: int, data: bytes) -> bytes:
        for _ in range(10):
            try:
                return await self.ask(port, data)
            except TimeoutError:
                continue
        raise AssertionError("no answer")


async def test_datagrams_go_to_one_target_for_each_client(forwards: forwarding.Forwards) -> None:
    port = free_port(socket.SOCK_DGRAM)
    first, second = Datagrams(), Datagrams()
    async with echoing(b"a") as one, echoing(b"b") as two:
        await forwards.set([forward(port, one, two, protocol="udp")])

        assert [await first.ask(port, b"1"), await second.ask(port, b"2")] == [b"a1", b"b2"]
        assert [await first.ask(port, b"3"), await second.ask(port, b"4")] == [b"a3", b"b4"]
    first.sock.close()
    second.sock.close()


async def test_datagrams_move_to_a_target_that_is_there(forwards: forwarding.Forwards) -> None:
    port = free_port(socket.SOCK_DGRAM)
    client = Datagrams()
    async with echoing(b"a") as there:
        nobody = (HOST, free_port(socket.SOCK_DGRAM))
        await forwards.set([forward(port, nobody, there, protocol="udp")])

        assert await client.ask_until_answered(port, b"1") == b"a1"
    client.sock.close()


async def test_a_swap_moves_datagrams(forwards: forwarding.Forwards) -> None:
    port = free_port(socket.SOCK_DGRAM)
    client = Datagrams()
    async with echoing(b"a") as old, echoing(b"b") as new:
        await forwards.set([forward(port, old, protocol="udp")])
        assert await client.ask(port, b"1") == b"a1"

        await forwards.set([forward(port, new, protocol="udp")])

        assert await client.ask(port, b"2") == b"b2"
    client.sock.close()


async def test_a_silent_client_is_forgotten(
    forwards: forwarding.Forwards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagrams, "UDP_IDLE_S", 0.05)
    port = free_port(socket.SOCK_DGRAM)
    client = Datagrams()
    async with echoing(b"a") as one, echoing(b"b") as two:
        await forwards.set([forward(port, one, two, protocol="udp")])
        assert await client.ask(port, b"1") == b"a1"
        await asyncio.sleep(0.15)

        assert await client.ask(port, b"2") == b"b2"
    client.sock.close()
