"""Links are proved by a packet from where the caller will be; what stops it is named."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from stackdsl.model import probes, specs
from stackdsl.model.requests import Wanted
from tests import engines as tests_engines
from tests.worlds import native

GATEWAY = "10.202.7.1"
NETWORK = specs.Network(
    name="stackdsl-p-1",
    subnet="10.202.7.0/24",
    gateway=GATEWAY,
    bridge="sd-test02",
    addresses=("10.202.7.5",),
)
TCP = (
    "import socket, sys\n"
    "s = socket.create_server((sys.argv[1], int(sys.argv[2])))\n"
    "print('up', flush=True)\n"
    "while True: s.accept()[0].close()\n"
)
UDP = (
    "import socket, sys\n"
    "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
    "s.bind((sys.argv[1], int(sys.argv[2])))\n"
    "print('up', flush=True)\n"
    "while True: s.recv(100)\n"
)
UP = (specs.Check(probe=probes.Log(regex="up")),)


@pytest.fixture
async def bridged(
    engine: tests_engines.Engine, state_home: Path
) -> AsyncIterator[native.NativeNode]:
    """A node whose run has a bridge, with an address of the machine on it."""
    async with native.running(native.identity(state_home)) as made:
        await made.node.set_network(NETWORK)
        yield made


@pytest.fixture
def dropped() -> Iterator[None]:
    """A machine whose firewall lets nothing in from the bridge, as ufw's default does."""
    rule = ["INPUT", "-i", NETWORK.bridge, "-j", "DROP"]
    subprocess.run(["iptables", "-w", "-I", *rule], check=True)
    yield
    subprocess.run(["iptables", "-w", "-D", *rule], check=True)


def edge(**fields: Any) -> specs.Edge:
    base: dict[str, Any] = {
        "source": "api", "target": "db", "port": "port", "host": "10.202.7.5", "number": 8080,
        "kind": "bridge", "vantage": "container", "network": NETWORK,
    }  # fmt: skip
    return specs.Edge(**{**base, **fields})


async def serve(node: native.NativeNode, host: str, port: int = 8080, program: str = TCP) -> None:
    """Start a native callee "db" that listens there."""
    await node.node.start(
        [native.spec("db", "python3", "-c", program, host, str(port), ready=UP, stop_timeout_s=2.0)]
    )
    await node.until("db", "ready")


async def serve_in_container(node: native.NativeNode, host: str, program: str = TCP) -> None:
    """Start a callee "db" in a container at 10.202.7.20 that listens there."""
    container = specs.Container(
        name="shop-db-proof",
        image=specs.Image(reference="python:local"),
        network=NETWORK.name,
        address="10.202.7.20",
    )
    await node.node.start(
        [native.spec("db", "python3", "-c", program, host, "8080", ready=UP, container=container)]
    )
    await node.until("db", "ready", within_s=20)


async def prove(
    node: native.NativeNode, *edges: specs.Edge, timeout_s: float = 5.0
) -> tuple[str, ...]:
    return tuple(await node.node.prove(edges, timeout_s))


async def test_a_native_that_is_reached_at_its_bridge_address_is_proved(
    bridged: native.NativeNode,
) -> None:
    await serve(bridged, "10.202.7.5")
    assert await prove(bridged, edge(bound=("10.202.7.5", 8080))) == ("",)


async def test_a_container_is_proved_from_containers_and_from_the_machine(
    bridged: native.NativeNode,
) -> None:
    await serve_in_container(bridged, "0.0.0.0")
    at = {"host": "10.202.7.20", "bound": ("0.0.0.0", 8080), "reached": ("10.202.7.20", 8080)}
    assert await prove(bridged, edge(**at), edge(**at, vantage="native", network=None)) == ("", "")


@pytest.fixture
def unforwarded() -> Iterator[None]:
    """A machine whose policy is to forward nothing: Docker's, where it turned forwarding on."""
    rules = subprocess.run(
        ["iptables", "-S", "FORWARD"], capture_output=True, text=True, check=True
    )
    before = rules.stdout.splitlines()[0].split()[-1]
    subprocess.run(["iptables", "-P", "FORWARD", "DROP"], check=True)
    yield
    subprocess.run(["iptables", "-P", "FORWARD", before], check=True)


async def test_links_are_proved_though_nothing_may_be_forwarded(
    bridged: native.NativeNode, unforwarded: None
) -> None:
    """The engine lets its own bridges through."""
    await serve_in_container(bridged, "0.0.0.0")
    assert await prove(bridged, edge(host="10.202.7.20", bound=("0.0.0.0", 8080))) == ("",)


async def test_a_firewall_that_drops_what_comes_from_the_bridge_is_blamed_with_the_rule_to_add(
    bridged: native.NativeNode, dropped: None
) -> None:
    await serve(bridged, "0.0.0.0")
    (cause,) = await prove(bridged, edge(bound=("0.0.0.0", 8080)), timeout_s=1.0)
    why, do = cause.splitlines()
    assert "a firewall on this machine drops" in why
    assert "-A INPUT -i sd-test02 -j DROP" in why
    assert "iptables -I INPUT -i sd-test02 -j ACCEPT" in do


async def test_a_program_that_listens_on_loopback_only_is_named(
    bridged: native.NativeNode,
) -> None:
    await serve(bridged, "127.0.0.1")
    (cause,) = await prove(bridged, edge(bound=("10.202.7.5", 8080)), timeout_s=0.5)
    assert '"db" listens on 127.0.0.1 only' in cause
    assert 'listens="127.0.0.1:8080"' in cause


async def test_a_container_that_listens_on_its_own_loopback_only_is_named(
    bridged: native.NativeNode,
) -> None:
    await serve_in_container(bridged, "127.0.0.1")
    (cause,) = await prove(
        bridged, edge(host="10.202.7.20", bound=("0.0.0.0", 8080)), timeout_s=0.5
    )
    assert '"db" listens on 127.0.0.1 only' in cause
    assert "0.0.0.0" in cause
    assert "listens=" not in cause


async def test_a_program_that_listens_on_another_port_is_told_which(
    bridged: native.NativeNode,
) -> None:
    await serve(bridged, "10.202.7.5", 9999)
    (cause,) = await prove(bridged, edge(bound=("10.202.7.5", 8080)), timeout_s=0.5)
    assert "nobody listens at 10.202.7.5:8080" in cause
    assert "10.202.7.5:9999" in cause


async def test_a_proxy_that_accepts_for_nobody_proves_nothing(
    bridged: native.NativeNode,
) -> None:
    """A forward accepts before it knows whether its target does."""
    forward = specs.Forward(
        subject="db",
        listen_host="10.202.7.5",
        listen_port=8080,
        targets=(("127.77.0.1", 8080),),
    )
    await bridged.node.set_forwards([forward])
    asked = edge(bound=("127.77.0.1", 8080), reached=("127.77.0.1", 8080))
    (cause,) = await prove(bridged, asked, timeout_s=0.5)
    assert "127.77.0.1:8080 refuses" in cause
    await serve(bridged, "127.77.0.1")
    assert await prove(bridged, asked) == ("",)


async def test_a_callee_that_listens_a_little_later_is_waited_for(
    bridged: native.NativeNode,
) -> None:
    late = "import time; print('up', flush=True); time.sleep(0.7)\n" + TCP
    await serve(bridged, "10.202.7.5", program=late)
    assert await prove(bridged, edge(bound=("10.202.7.5", 8080))) == ("",)


async def test_a_datagram_socket_is_proved(bridged: native.NativeNode) -> None:
    await serve(bridged, "10.202.7.5", program=UDP)
    assert await prove(bridged, edge(protocol="udp", bound=("10.202.7.5", 8080))) == ("",)


async def test_a_datagram_port_that_nobody_has_bound_is_refused(
    bridged: native.NativeNode,
) -> None:
    await serve(bridged, "10.202.7.5", 9999, program=UDP)
    (cause,) = await prove(bridged, edge(protocol="udp", bound=("10.202.7.5", 8080)), timeout_s=0.5)
    assert "nobody listens at 10.202.7.5:8080" in cause


async def test_an_address_that_nobody_has_is_no_route(bridged: native.NativeNode) -> None:
    (cause,) = await prove(bridged, edge(host="10.202.7.77"), timeout_s=5.0)
    assert "no route to 10.202.7.77:8080" in cause


async def test_the_bridge_is_as_it_was_when_links_have_been_proved(
    bridged: native.NativeNode, state_home: Path
) -> None:
    await serve(bridged, "10.202.7.5")
    await prove(bridged, edge())
    await bridged.node.leave("reap")
    shown = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert "sv-" not in shown
    assert "sd-test02" not in shown


async def test_a_proof_needs_no_engine(state_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    async with native.running(native.identity(state_home)) as made:
        seen = await made.node.observe(Wanted(has_engine=True))
        assert seen.engine is not None
        assert "nowhere.sock" in seen.engine.problem
        await serve(made, "127.77.0.1")
        plain = edge(host="127.77.0.1", kind="loopback", vantage="native", network=None)
        assert await prove(made, plain) == ("",)
