"""The run's bridge on this machine: made by the engine, or by us where there is none.

Laws: setting it twice changes nothing; what is plugged in stays; everything carries the run's mark,
so that it is found and removed without memory: labels in the engine, an alias on our own bridge.
Automatic addresses of the engine stay in the last quarter, ours are given one by one.
"""

import contextlib
import ipaddress
import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from stackdsl.model import errors, specs
from stackdsl.model.requests import RunIdentity
from stackdsl.node import enginekeeping, engines, netlinks, observing, routes

_NAME_OPTION = "com.docker.network.bridge.name"
_MTU_OPTION = "com.docker.network.driver.mtu"
_MTU = 1500


def prober_address(network: specs.Network) -> str:
    """Return the address from which links are tried: the last one, which no service is given."""
    return str(ipaddress.IPv4Network(network.subnet)[-2])


async def set_bridge(
    keeper: enginekeeping.EngineKeeper, identity: RunIdentity, wanted: specs.Network
) -> None:
    """Make the run's bridge exactly this.

    Raises:
        HostError: the engine or the machine refuses.
    """
    enginekeeping.note_bridge(identity.folder, wanted.bridge)
    if wanted.is_engine:
        made = enginekeeping.labels(identity.run_id, identity.run, identity.folder)
        await set_engine_network(await keeper.get(), wanted, made)
    else:
        await set_own_bridge(wanted, identity.run_id)
    if _list_further(wanted) != set(wanted.addresses):
        await netlinks.run_aside(partial(_set_addresses, wanted))


async def remove(keeper: enginekeeping.EngineKeeper, identity: RunIdentity) -> None:
    """Remove the run's bridge; its containers must be gone.

    Raises:
        HostError: the engine or the machine refuses.
    """
    if enginekeeping.read_note(identity.folder) is not None:
        engine = await keeper.get()
        mark = f"{enginekeeping.RUN}={identity.run_id}"
        await engine.call(remove_networks, engine.api, mark)
    await netlinks.run_aside(partial(remove_own, identity.run_id))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(identity.folder, enginekeeping.BRIDGE_NOTE))


def _list_further(wanted: specs.Network) -> set[str]:
    """Return the addresses that the machine has on the bridge beside the gateway."""
    subnet = ipaddress.IPv4Network(wanted.subnet)
    have = {each for each in observing.read_addresses() if ipaddress.IPv4Address(each) in subnet}
    return have - {wanted.gateway}


async def set_engine_network(
    engine: engines.Engine, wanted: specs.Network, labels: Mapping[str, str]
) -> None:
    """Have the bridge as a network of the engine.

    Raises:
        HostError: its addresses or names are taken, or the engine refuses.
    """
    found = await engine.call(_find, engine.api, wanted.name)
    if found is not None and _is_wanted(found, wanted, labels):
        return
    if found is not None:
        await _remove_old(engine, found, wanted, labels)
    try:
        await engine.call(_create, engine.api, wanted, labels)
    except engines.Refused as error:
        again = await engine.call(_find, engine.api, wanted.name)
        if again is not None and _is_wanted(again, wanted, labels):
            return  # another call of the same run was first
        raise await _explain(engine, wanted, error) from error


def _find(api: Any, name: str) -> dict[str, Any] | None:
    """Return what the engine knows of a network; its own filter takes parts of names too."""
    for network in api.networks(names=[name]):
        if network["Name"] == name:
            found: dict[str, Any] = network
            return found
    return None


def _is_wanted(found: Mapping[str, Any], wanted: specs.Network, labels: Mapping[str, str]) -> bool:
    config = ((found.get("IPAM") or {}).get("Config") or [{}])[0]
    return (
        config.get("Subnet") == wanted.subnet
        and config.get("Gateway") == wanted.gateway
        and (found.get("Options") or {}).get(_NAME_OPTION) == wanted.bridge
        and (found.get("Labels") or {}).get(enginekeeping.RUN) == labels[enginekeeping.RUN]
    )


async def _remove_old(
    engine: engines.Engine,
    found: Mapping[str, Any],
    wanted: specs.Network,
    labels: Mapping[str, str],
) -> None:
    """Remove a network of the same name that an earlier run of the same folder has left.

    Raises:
        HostError: it is someone else's, or something is still plugged in.
    """
    carried = found.get("Labels") or {}
    if carried.get(enginekeeping.FOLDER) == labels[enginekeeping.FOLDER]:
        with contextlib.suppress(engines.Refused):
            await engine.call(engine.api.remove_network, found["Id"])
            return
    raise errors.HostError(
        "host.network-taken",
        f'cannot make network "{wanted.name}": the engine has one of this name',
        why=f"it belongs to run {carried.get(enginekeeping.NAME, 'of nobody')},"
        " or containers are plugged into it",
        do=f"remove it: docker network rm {wanted.name}",
    )


def _create(api: Any, wanted: specs.Network, labels: Mapping[str, str]) -> None:
    from docker import types

    subnet = ipaddress.IPv4Network(wanted.subnet)
    quarter = list(subnet.subnets(prefixlen_diff=2))[-1] if subnet.prefixlen <= 28 else None
    pool = types.IPAMPool(
        subnet=wanted.subnet,
        gateway=wanted.gateway,
        iprange=str(quarter) if quarter else None,
        aux_addresses={"stackdsl": prober_address(wanted)} if quarter else None,
    )
    api.create_network(
        wanted.name,
        driver="bridge",
        ipam=types.IPAMConfig(pool_configs=[pool]),
        options={_NAME_OPTION: wanted.bridge, _MTU_OPTION: str(_find_mtu())},
        labels=dict(labels),
        check_duplicate=True,
    )


def _find_mtu() -> int:
    """Return the largest packet that leaves this machine whole: containers must not send larger
    ones, since not every network says that it drops them."""
    name = routes.find_way_out()
    try:
        with open(f"/sys/class/net/{name}/mtu", encoding="ascii") as file:
            return min(_MTU, int(file.read()))
    except (OSError, ValueError):
        return _MTU


async def _explain(
    engine: engines.Engine, wanted: specs.Network, error: engines.Refused
) -> errors.HostError:
    what = f'cannot make network "{wanted.name}" ({wanted.subnet})'
    said = error.explanation.lower()
    if "overlap" not in said and "same bridge name" not in said:
        return errors.HostError(
            "host.network-refused", f"{what}: {error.explanation}", do="see what the engine says"
        )
    own = ipaddress.IPv4Network(wanted.subnet)
    others = await engine.call(engine.api.networks)
    near = [
        f'"{each["Name"]}" ({config["Subnet"]})'
        for each in others
        for config in (each.get("IPAM") or {}).get("Config") or ()
        if ":" not in config.get("Subnet", ":")
        and ipaddress.IPv4Network(config["Subnet"], strict=False).overlaps(own)
    ]
    return errors.HostError(
        "host.network-taken",
        f"{what}: its addresses are taken",
        why=f"by the engine's network {' and '.join(near)}" if near else error.explanation,
        do="run it again: another subnet is planned; or give one: Network(subnet=…)",
    )


async def set_own_bridge(wanted: specs.Network, run_id: str) -> None:
    """Have the bridge as an interface of our own.

    Raises:
        HostError: the machine refuses.
    """
    await netlinks.run_aside(partial(_make_bridge, wanted, routes.mark_of(run_id)))


def _make_bridge(wanted: specs.Network, mark: str) -> None:
    prefix = ipaddress.IPv4Network(wanted.subnet).prefixlen
    with netlinks.opened() as route:
        index = netlinks.find_index(route, wanted.bridge)
        if not index:
            route.link("add", ifname=wanted.bridge, kind="bridge", mtu=_find_mtu())
            index = netlinks.find_index(route, wanted.bridge)
        route.link("set", index=index, ifalias=mark, state="up")
        if wanted.gateway not in netlinks.list_addresses(route, index):
            route.addr("add", index=index, address=wanted.gateway, prefixlen=prefix)


def _set_addresses(wanted: specs.Network) -> None:
    with netlinks.opened() as route:
        index = netlinks.need_bridge(route, wanted.bridge)
        standing = netlinks.list_addresses(route, index)
        ours = {address for address, prefix in standing.items() if prefix == 32}
        for address in sorted(ours - {*wanted.addresses, wanted.gateway}):
            route.addr("del", index=index, address=address, prefixlen=32)
        for address in wanted.addresses:
            if address not in standing:
                route.addr("add", index=index, address=address, prefixlen=32)


def remove_networks(api: Any, mark: str) -> None:
    """Remove the networks with a label (``key=value``) from the engine; the run's containers must
    be gone. Blocks: for `engines.Engine.call`, and for commands that have no node."""
    import docker.errors

    for network in api.networks(filters={"label": mark}):
        with contextlib.suppress(docker.errors.NotFound):
            _unplug(api, network["Id"])
            api.remove_network(network["Id"])


def _unplug(api: Any, number: str) -> None:
    """Take out what strangers have plugged in, which would keep the network."""
    for plugged in api.inspect_network(number).get("Containers") or {}:
        api.disconnect_container_from_network(plugged, number, force=True)


def remove_own(run_id: str) -> None:
    """Remove the bridges that a run made itself. Blocks; costs a millisecond where there is none.

    Raises:
        HostError: the machine refuses.
    """
    for name in routes.list_bridges(run_id):
        netlinks.delete(name)
