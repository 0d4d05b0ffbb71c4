"""A run's bridges: a subnet on each machine with containers or isolated processes, and the address
that each name has in it.

Laws: a subnet and a place in it, once given, are kept from plan to plan; no subnet meets a route of
its machine; the first address is the machine's own.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from stackdsl.model import errors, places, plans, specs
from stackdsl.plan import addressing, linking, placing

# RFC 1918; the half of 10/8 that neither k3s nor Docker nor most offices use comes first
_POOLS = ("10.128.0.0/9", "172.16.0.0/12", "192.168.0.0/16")
_LEAST_SIZE = 256
_ALL = (0, 0xFFFFFFFF)  # a default route meets nothing

Ground = Mapping[str, specs.Network]


class Bridges(NamedTuple):
    """The run's networks by host, and each name's place in that of its machine."""

    networks: Ground
    slots: Mapping[str, int]

    def find(self, host: str, name: str) -> str | None:
        """Return a name's address on the bridge of its machine; None: it has none there."""
        network, slot = self.networks.get(host), self.slots.get(name)
        if network is None or slot is None:
            return None
        return addressing.format_address(parse_subnet(network.subnet)[0] + slot)


def parse_subnet(text: str) -> tuple[int, int]:
    """Return a subnet in CIDR form as its first and last address."""
    address, _, length = text.partition("/")
    size = 1 << (32 - int(length or 32))
    first = (addressing.parse_address(address) or 0) // size * size
    return first, first + size - 1


def make_name(*parts: str) -> str:
    """Return a name that an engine takes: letters, digits, ``_``, ``.`` and ``-``."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", "-".join(parts))


def make_mark(text: str, length: int) -> str:
    """Return a few characters that tell one text from another."""
    return hashlib.blake2s(text.encode(), digest_size=16).hexdigest()[:length]


def lay_ground(
    world: placing.Survey,
    run: str,
    folder: str,
    previous: plans.Plan | None,
    *,
    is_standing: bool,
) -> Ground:
    """Return the network, yet without further addresses, of each machine that needs one.

    ``is_standing``: something of the previous plan lives, so that its networks stay even where a
    route has come that meets them.

    Raises:
        PlanError: a machine has no free subnet.
    """
    count = sum(s.is_stable + len(s.replica_names()) for s in world.by_name.values())
    known = dict(previous.networks) if previous is not None else {}
    ground: dict[str, specs.Network] = {}
    wrong: list[errors.StackError] = []
    for host in _list_hosts(world):
        kept = known.get(host)
        taken = [] if kept is not None and is_standing else _list_taken(world, host)
        subnet = None if kept is None else _keep_subnet(world, kept, count, taken)
        if subnet is None:
            subnet = _choose_subnet(world, f"{folder}@{host}", count, _list_taken(world, host))
        if subnet is None:
            wrong.append(_report_no_subnet(world, host, count))
            continue
        first = parse_subnet(subnet)[0]
        ground[host] = specs.Network(
            name=make_name("stackdsl", run, make_mark(folder, 6)),
            subnet=subnet,
            gateway=addressing.format_address(first + 1),
            bridge=f"sd-{make_mark(f'{folder}@{host}', 11)}",
            is_engine=_is_engine(world, host, kept if is_standing else None),
        )
    errors.raise_all(wrong)
    return ground


def _list_hosts(world: placing.Survey) -> list[str]:
    return [
        host
        for host in world.hosts
        if any(
            stand.host == host and stand.vantage in {"container", "isolated"}
            for stand in world.stands.values()
        )
    ]


def _is_engine(world: placing.Survey, host: str, standing: specs.Network | None) -> bool:
    """Tell whether the engine makes a machine's bridge: wherever there is one, since its rules
    would keep packets of another bridge from passing."""
    for name, service in world.by_name.items():
        if isinstance(service.runs_on, places.Docker) and world.stands[name].host == host:
            return True
    if standing is not None:
        return standing.is_engine
    engine = world.hosts[host].engine
    return engine is not None and not engine.problem


def _choose_subnet(
    world: placing.Survey, seed: str, count: int, taken: Sequence[addressing.Block]
) -> str | None:
    """Return the first free subnet for ``count`` names from the place that ``seed`` hashes to;
    None: there is none."""
    size = _LEAST_SIZE
    while size < 2 * count:
        size *= 2
    for first, last in _list_pools(world):
        room = min(size, last - first + 1)
        if _count_usable(room) < count:
            continue
        places_in = (last - first + 1) // room
        start = addressing.hash_number(seed) % places_in
        for turn in range(places_in):
            begin = first + (start + turn) % places_in * room
            if not addressing.overlaps(begin, begin + room - 1, taken):
                return f"{addressing.format_address(begin)}/{33 - room.bit_length()}"
    return None


def _list_pools(world: placing.Survey) -> list[addressing.Block]:
    given = world.stack.network.subnet
    return list(map(parse_subnet, _POOLS if given is None else (given,)))


def _list_taken(world: placing.Survey, host: str) -> list[addressing.Block]:
    found = map(parse_subnet, world.hosts[host].subnets)
    return [block for block in found if block != _ALL]


def _keep_subnet(
    world: placing.Survey,
    kept: specs.Network,
    count: int,
    taken: Sequence[addressing.Block],
) -> str | None:
    """Return the subnet of the plan before where it will do still."""
    first, last = parse_subnet(kept.subnet)
    is_inside = any(one[0] <= first and last <= one[1] for one in _list_pools(world))
    is_large = _count_usable(last - first + 1) >= count
    if not (is_inside and is_large) or addressing.overlaps(first, last, taken):
        return None
    return kept.subnet


def _count_usable(size: int) -> int:
    """Return how many names a subnet has room for: without its ends, the machine's own address and
    the node's, and those that end in 0 or 255."""
    return size - 4 - 2 * (size // 256)


def _report_no_subnet(world: placing.Survey, host: str, count: int) -> errors.StackError:
    given = world.stack.network.subnet
    taken = world.hosts[host].subnets
    return errors.PlanError(
        "plan.no-subnet",
        f'cannot give the stack a bridge on "{host}": no {count} addresses in a row are free'
        f" in {given or ', '.join(_POOLS)}",
        where=world.stack.file or "",
        why=f"routes and networks there: {', '.join(taken) or 'none'}",
        do="give the stack a larger or another one: Stack(network=Network(subnet=…))"
        if given is not None
        else "give the stack a free one: Stack(network=Network(subnet=…)), or remove networks that"
        " are no longer needed (docker network prune)",
    )


def can_network(world: placing.Survey, host: str) -> bool:
    """Tell whether addresses may be added on a machine; assumed of one that nobody looked at."""
    return world.seen.is_offline or world.hosts[host].can_network


def find_gateways(world: placing.Survey, ground: Ground) -> dict[str, str]:
    """Return the address at which callers on the bridge reach natives, for each machine where
    these can have none of their own."""
    return {
        host: network.gateway for host, network in ground.items() if not can_network(world, host)
    }


def assign(
    world: placing.Survey,
    ground: Ground,
    routes: Mapping[str, Mapping[placing.Stand, linking.Route]],
    previous: plans.Plan | None,
) -> Bridges:
    """Give an address on the bridge to everything that stands there, and to the rest that is
    called from there."""
    if not ground:
        return Bridges({}, {})
    before = dict(previous.bridge_slots) if previous is not None else {}
    old = Bridges(dict(previous.networks), before) if previous is not None else Bridges({}, {})
    stood = {one.name: one for one in previous.services} if previous is not None else {}
    names: list[str] = []
    for service in world.by_name.values():
        stand = world.stands[service.name]
        if stand.host not in ground:
            continue
        own = routes.get(service.name, {}).values()
        is_called = any(route.kind == "bridge" and not route.shared for route in own)
        replicas = service.replica_names()
        if stand.vantage in {"container", "isolated"} or is_called:
            names.extend(replicas)
        else:
            names.extend(n for n in replicas if _binds_bridge(stood.get(n), old))
        if is_called and service.is_stable:
            names.append(placing.stable_key(service.name))
    least = min(b - a + 1 for a, b in map(parse_subnet, (n.subnet for n in ground.values())))
    # the last address is that from which the node tries links
    usable = [slot for slot in range(2, least - 2) if slot & 255 not in {0, 255}]
    return _add_addresses(world, Bridges(ground, addressing.share_slots(before, names, usable)))


def _binds_bridge(before: plans.PlannedService | None, old: Bridges) -> bool:
    """Tell whether a replica was told to bind its own address on the bridge: then it keeps it."""
    return (
        before is not None
        and bool(before.bind)
        and before.bind == old.find(before.host, before.name)
    )


def _add_addresses(world: placing.Survey, bridges: Bridges) -> Bridges:
    """Note on each network the addresses that the machine itself gets there."""
    further: dict[str, list[str]] = {host: [] for host in bridges.networks}
    for service in world.by_name.values():
        stand = world.stands[service.name]
        names = [placing.stable_key(service.name)]
        if stand.vantage == "native":
            names += service.replica_names()
        for name in names:
            address = bridges.find(stand.host, name)
            if address is not None:
                further[stand.host].append(address)
    networks = {
        host: specs.Network(
            name=network.name,
            subnet=network.subnet,
            gateway=network.gateway,
            bridge=network.bridge,
            is_engine=network.is_engine,
            addresses=tuple(
                sorted(further[host], key=lambda text: addressing.parse_address(text) or 0)
            ),
        )
        for host, network in bridges.networks.items()
    }
    return bridges._replace(networks=networks)


def find_unprivileged(world: placing.Survey) -> list[errors.StackError]:
    """Return an error for each isolated service on a machine where no namespace may be made."""
    return [
        errors.PlanError(
            "plan.no-privilege",
            f'cannot isolate "{service.name}": namespaces and interfaces may not be made on'
            f' "{world.stands[service.name].host}"',
            where=str(service.where),
            why="isolated=True needs CAP_NET_ADMIN and CAP_SYS_ADMIN",
            do="run as root, or leave isolated=True out: every service has an address of its own",
        )
        for service in world.by_name.values()
        if world.stands[service.name].vantage == "isolated"
        and not can_network(world, world.stands[service.name].host)
    ]


def list_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names and what they also answer to: ``order_api`` is ``order-api`` too."""
    return tuple(dict.fromkeys(one for name in names for one in (name, name.replace("_", "-"))))
