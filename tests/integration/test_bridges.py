"""The run's bridge: made by the engine or by us, isolated processes on it, gone with the run."""

import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stackdsl.model import errors, probes, specs
from stackdsl.model.requests import Wanted
from stackdsl.node import bridges, enginekeeping, engines, routes
from tests import engines as tests_engines
from tests.waiting import eventually, eventually_async
from tests.worlds import native

SUBNET = "10.201.7.0/24"
GATEWAY = "10.201.7.1"
SERVER = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8080, bind='0.0.0.0')"
LABELS = {"stackdsl.run": "other", "stackdsl.name": "other", "stackdsl.folder": "/other"}


def network(*, is_engine: bool = True, **fields: Any) -> specs.Network:
    base = {"name": "stackdsl-t-1", "subnet": SUBNET, "gateway": GATEWAY, "bridge": "sd-test01"}
    return specs.Network(**{**base, "is_engine": is_engine, **fields})


def isolated(name: str, address: str, *argv: str, **fields: Any) -> specs.ServiceSpec:
    namespace = specs.Namespace(
        bridge="sd-test01", address=address, prefix=24, gateway=GATEWAY,
        hosts=((name, address), ("elsewhere", "10.201.7.99")),
    )  # fmt: skip
    return native.spec(name, *argv, namespace=namespace, **fields)


def addresses_of(bridge: str) -> set[str]:
    shown = subprocess.run(["ip", "-4", "-o", "addr", "show", "dev", bridge], capture_output=True,
                           text=True, check=False).stdout  # fmt: skip
    return {word.partition("/")[0] for row in shown.splitlines() for word in row.split()[3:4]}


def links() -> set[str]:
    shown = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    return {row.split(": ")[1].partition("@")[0] for row in shown.splitlines()}


@pytest.fixture
async def bridged(
    engine: tests_engines.Engine, state_home: Path
) -> AsyncIterator[native.NativeNode]:
    """A node whose run has a bridge of the engine's."""
    async with native.running(native.identity(state_home)) as made:
        await made.node.set_network(network())
        yield made


@pytest.fixture
async def bridged_alone(
    state_home: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[native.NativeNode]:
    """A node whose run has a bridge of its own; there is no engine."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    async with native.running(native.identity(state_home)) as made:
        await made.node.set_network(network(is_engine=False))
        yield made


async def test_the_engine_makes_the_bridge_with_the_marks_of_the_run(
    bridged: native.NativeNode, engine: tests_engines.Engine
) -> None:
    (made,) = engine.api.networks(names=["stackdsl-t-1"])
    assert made["Labels"]["stackdsl.name"] == "shop"
    assert made["IPAM"]["Config"][0]["Subnet"] == SUBNET
    assert made["IPAM"]["Config"][0]["IPRange"] == "10.201.7.192/26"
    assert addresses_of("sd-test01") == {GATEWAY}


async def test_setting_the_bridge_again_leaves_it_as_it_is(
    bridged: native.NativeNode, engine: tests_engines.Engine
) -> None:
    (before,) = engine.api.networks(names=["stackdsl-t-1"])
    await bridged.node.set_network(network())
    (after,) = engine.api.networks(names=["stackdsl-t-1"])
    assert before["Id"] == after["Id"]


async def test_the_machine_has_exactly_the_further_addresses_that_are_wanted(
    bridged: native.NativeNode,
) -> None:
    await bridged.node.set_network(network(addresses=("10.201.7.5", "10.201.7.6")))
    assert addresses_of("sd-test01") == {GATEWAY, "10.201.7.5", "10.201.7.6"}
    await bridged.node.set_network(network(addresses=("10.201.7.6",)))
    assert addresses_of("sd-test01") == {GATEWAY, "10.201.7.6"}
    await bridged.node.set_network(network())
    assert addresses_of("sd-test01") == {GATEWAY}


async def test_addresses_of_the_bridge_outlive_the_engine(
    state_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tests_engines.running() as own:
        monkeypatch.setenv("DOCKER_HOST", own.url)
        async with native.running(native.identity(state_home)) as made:
            await made.node.set_network(network(addresses=("10.201.7.5",)))
            own.kill()
            own.start()
            assert addresses_of("sd-test01") == {GATEWAY, "10.201.7.5"}


async def test_the_run_takes_its_bridge_with_it(
    engine: tests_engines.Engine, state_home: Path
) -> None:
    async with native.running(native.identity(state_home)) as made:
        await made.node.set_network(network())
        await made.node.leave("reap")
        assert engine.left() == []
        assert "sd-test01" not in links()


async def test_a_subnet_that_another_network_has_is_refused_with_its_name(
    engine: tests_engines.Engine, state_home: Path
) -> None:
    other = network(name="stackdsl-other", bridge="sd-other")
    found = await engines.connect(os.environ)
    try:
        await bridges.set_engine_network(found, other, LABELS)
        async with native.running(native.identity(state_home)) as made:
            with pytest.raises(errors.HostError) as caught:
                await made.node.set_network(network())
            assert caught.value.code == "host.network-taken"
            assert '"stackdsl-other"' in caught.value.why
    finally:
        await found.call(bridges.remove_networks, found.api, "stackdsl.run=other")
        found.close()


async def test_a_network_that_an_earlier_run_of_the_folder_has_left_is_replaced(
    engine: tests_engines.Engine, state_home: Path
) -> None:
    run = native.identity(state_home)
    found = await engines.connect(os.environ)
    try:
        old = enginekeeping.labels("dead", run.run, run.folder)
        await bridges.set_engine_network(found, network(), old)
    finally:
        found.close()
    async with native.running(run) as made:
        await made.node.set_network(network())
        (now,) = engine.api.networks(names=["stackdsl-t-1"])
        assert now["Labels"]["stackdsl.run"] == run.run_id


async def test_the_subnets_of_others_are_facts_and_the_own_is_not(
    bridged: native.NativeNode, state_home: Path
) -> None:
    run_id = native.identity(state_home).run_id
    own = Wanted(has_engine=True, has_networks=True, run_id=run_id)
    seen = await bridged.node.observe(own)
    assert seen.can_network
    assert SUBNET not in seen.subnets
    assert "172.17.0.0/16" in seen.subnets
    other = await bridged.node.observe(Wanted(has_engine=True, has_networks=True, run_id="other"))
    assert SUBNET in other.subnets


async def test_a_bridge_of_our_own_serves_where_there_is_no_engine(
    bridged_alone: native.NativeNode, state_home: Path
) -> None:
    assert addresses_of("sd-test01") == {GATEWAY}
    run_id = native.identity(state_home).run_id
    assert routes.list_bridges(run_id) == ["sd-test01"]
    seen = await bridged_alone.node.observe(Wanted(has_networks=True, run_id=run_id))
    assert SUBNET not in seen.subnets
    await bridged_alone.node.leave("reap")
    assert "sd-test01" not in links()


@pytest.fixture(params=["engine", "alone"])
def either(request: pytest.FixtureRequest) -> native.NativeNode:
    """A run with the engine's bridge, and one with its own."""
    if request.param == "engine":
        request.getfixturevalue("engine")
    name = "bridged" if request.param == "engine" else "bridged_alone"
    made: native.NativeNode = request.getfixturevalue(name)
    return made


async def ready_server(node: native.NativeNode, name: str, address: str) -> None:
    check = specs.Check(probe=probes.Tcp(), host=address, port=8080, is_own=True)
    await node.node.start(
        [isolated(name, address, "python3", "-u", "-c", SERVER, ready=(check,), cwd="/")]
    )
    await node.until(name, "ready")


async def test_an_isolated_process_is_reached_at_its_own_address(
    either: native.NativeNode,
) -> None:
    await ready_server(either, "web", "10.201.7.10")
    seen = await either.node.inspect("web")
    assert ("0.0.0.0", 8080) in [(each.address, each.port) for each in seen.listeners]


async def test_two_isolated_processes_take_the_same_port(either: native.NativeNode) -> None:
    await ready_server(either, "a", "10.201.7.10")
    await ready_server(either, "b", "10.201.7.11")


async def test_commands_run_where_an_isolated_process_stands(
    bridged: native.NativeNode,
) -> None:
    await ready_server(bridged, "web", "10.201.7.10")
    shown = await bridged.node.execute("web", ["ip", "-4", "-o", "addr"])
    assert "10.201.7.10/24" in shown.stdout
    assert "sd-test01" not in shown.stdout
    names = await bridged.node.execute("web", ["getent", "ahostsv4", "elsewhere", "localhost"])
    assert "10.201.7.99" in names.stdout
    assert "127.0.0.1" in names.stdout


async def test_an_isolated_process_that_is_restarted_has_its_address_again(
    bridged: native.NativeNode,
) -> None:
    await ready_server(bridged, "web", "10.201.7.10")
    await bridged.node.restart(["web"])
    await bridged.until("web", "ready", times=2)


async def test_an_isolated_process_is_adopted_with_its_network(
    engine: tests_engines.Engine, state_home: Path
) -> None:
    run = native.identity(state_home, crash="adopt")
    async with native.running(run) as first:
        await first.node.set_network(network())
        await ready_server(first, "web", "10.201.7.10")
        pid = first.of("web")[-1].pid
        first.kill()
    async with native.running(run) as second:
        shown = await second.node.execute("web", ["ip", "-4", "-o", "addr"])
        assert "10.201.7.10/24" in shown.stdout
        assert (await second.until("web", "ready")).pid == pid


async def test_a_killed_node_leaves_no_interface_of_isolated_processes(
    engine: tests_engines.Engine, state_home: Path
) -> None:
    run = native.identity(state_home)
    async with native.running(run) as first:
        await first.node.set_network(network())
        await ready_server(first, "web", "10.201.7.10")
        assert any(name.startswith("sv-") for name in links())
        first.kill()
    async with native.running(run):
        pass
    eventually(lambda: not any(name.startswith("sv-") for name in links()))


async def test_a_container_reaches_an_isolated_process_and_the_other_way_round(
    bridged: native.NativeNode, engine: tests_engines.Engine, state_home: Path
) -> None:
    await ready_server(bridged, "web", "10.201.7.10")
    api = engine.api
    run_id = native.identity(state_home).run_id
    box = api.create_container(
        "python:local",
        ["python3", "-u", "-c", SERVER],
        networking_config=api.create_networking_config(
            {"stackdsl-t-1": api.create_endpoint_config(ipv4_address="10.201.7.20")}
        ),
        host_config=api.create_host_config(network_mode="stackdsl-t-1", init=True),
        labels={"stackdsl.run": run_id},
    )
    try:
        api.start(box)
        ask = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=5).status)"
        asked = api.exec_create(box, ["python3", "-c", ask, "http://10.201.7.10:8080"])
        assert "200" in api.exec_start(asked).decode()

        async def reached() -> bool:
            argv = ["python3", "-c", ask, "http://10.201.7.20:8080"]
            return "200" in (await bridged.node.execute("web", argv)).stdout

        assert await eventually_async(reached, within_s=10)
    finally:
        api.remove_container(box, force=True)
