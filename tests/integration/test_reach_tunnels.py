"""Tunnels between machines that do not reach each other, over real sshds."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stackdsl.model import places, specs
from stackdsl.reach import connecting, tunnels
from tests.worlds import far, native, sshds


@pytest.fixture
def net(state_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sshds.Net]:
    monkeypatch.setenv("HOME", str(state_home / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (state_home / "home").mkdir()
    with sshds.opened(state_home / "home") as net:
        yield net
        for machine in net.machines.values():
            far.wait_until_left(machine)


@dataclass
class Callee:
    """A server that says its name to whoever connects, then what it was told."""

    port: int


@pytest.fixture
async def callee() -> AsyncIterator[Callee]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read()
        writer.write(b"heard " + data)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.77.9.9", 0)
    yield Callee(server.sockets[0].getsockname()[1])
    server.close()


async def ask(address: tuple[str, int], words: bytes) -> bytes:
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(words)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer


def free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def forward(callee: Callee, via: str) -> specs.Forward:
    return specs.Forward(
        subject="db",
        listen_host="127.77.8.8",
        listen_port=free_port("127.77.8.8"),
        targets=(("127.77.9.9", callee.port),),
        via=via,
    )


async def test_a_caller_here_reaches_what_listens_on_loopback_there(
    net: sshds.Net, callee: Callee
) -> None:
    net.start("edge")
    async with connecting.Connector() as connector:
        some = tunnels.Tunnels(connector)
        some.hosts["edge"] = places.Ssh(host="edge")
        wanted = forward(callee, "edge")
        assert await some.set("local", [wanted]) == ()
        words = bytes(range(256)) * 10000
        assert await ask((wanted.listen_host, wanted.listen_port), words) == b"heard " + words
        await some.close()


async def test_a_caller_there_reaches_what_listens_here_also_after_a_lost_connection(
    net: sshds.Net, callee: Callee, state_home: Path
) -> None:
    machine = net.start("edge")
    async with far.running("edge", native.identity(state_home)) as edge:
        some = tunnels.Tunnels(edge.connector)
        some.hosts["edge"] = places.Ssh(host="edge")
        some.folders["edge"] = str(Path(edge.node.standing.socket).parent)
        wanted = forward(callee, "local")
        await edge.node.set_forwards(await some.set("edge", [wanted]))
        assert await ask((wanted.listen_host, wanted.listen_port), b"one") == b"heard one"
        machine.stop()
        net.restart("edge")
        await native.holds(lambda: edge.told[-1:] == ["connected"])
        assert await some.renew("edge") == (wanted.id,)
        await edge.node.set_forwards(some.forwards_of("edge", [wanted]))
        assert await ask((wanted.listen_host, wanted.listen_port), b"two") == b"heard two"
        await some.close()


async def test_what_is_no_longer_wanted_is_no_longer_listened_on(
    net: sshds.Net, callee: Callee
) -> None:
    net.start("edge")
    async with connecting.Connector() as connector:
        some = tunnels.Tunnels(connector)
        some.hosts["edge"] = places.Ssh(host="edge")
        wanted = forward(callee, "edge")
        await some.set("local", [wanted])
        await some.set("local", [])
        with pytest.raises(ConnectionRefusedError):
            await ask((wanted.listen_host, wanted.listen_port), b"one")


async def test_nobody_behind_a_tunnel_is_a_reset_not_silence(
    net: sshds.Net, callee: Callee
) -> None:
    net.start("edge")
    async with connecting.Connector() as connector:
        some = tunnels.Tunnels(connector)
        some.hosts["edge"] = places.Ssh(host="edge")
        nobody = Callee(free_port("127.77.9.9"))
        wanted = forward(nobody, "edge")
        await some.set("local", [wanted])
        with pytest.raises(ConnectionError):
            await ask((wanted.listen_host, wanted.listen_port), b"one")
        await some.close()
