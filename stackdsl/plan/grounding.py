"""The steps that ready machines for replicas: images, the run's bridges, links that are tried.

Everything is read off finished plans, so that a part that is started later is readied alike. Laws:
only what is about to start is readied; an image waits for nothing; a link is tried when its callee
is ready and its addresses stand.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from stackdsl.model import plans, specs
from stackdsl.plan import binding, bridging, placing

Forwards = Mapping[str, tuple[specs.Forward, ...]]


class Ground(NamedTuple):
    """What replicas stand on, by host, and what they are told."""

    networks: Mapping[str, specs.Network]
    forwards: Forwards
    links: Sequence[plans.Link]


class Readied(NamedTuple):
    """``steps`` come before all others; the start of a replica waits for those in ``needs`` too,
    and for a proof of its ``edges``, which itself waits for those in ``edge_needs``."""

    steps: tuple[plans.Step, ...]
    needs: Mapping[str, set[str]]
    images: Mapping[str, str]
    edges: Mapping[str, tuple[specs.Edge, ...]]
    edge_needs: Mapping[str, set[str]]


def ready(
    replicas: Sequence[plans.PlannedService],
    starting: Iterable[str],
    ground: Ground,
    *,
    replaced: Mapping[str, Sequence[str]],
) -> Readied:
    """Return what readies the machines for the replicas in ``starting``.

    ``replaced`` are the steps that have to be over before the network of a host is made anew.
    """
    wanted = set(starting)
    mine = [replica for replica in replicas if replica.name in wanted]
    images, by_replica = _make_images(mine)
    networks = _make_networks(replicas, ground, replaced)
    needs: dict[str, set[str]] = {name: {step} for name, step in by_replica.items()}
    edges: dict[str, tuple[specs.Edge, ...]] = {}
    edge_needs: dict[str, set[str]] = {}
    finder = _Edges(replicas, ground)
    is_plain = not ground.networks and not any(ground.forwards.values())
    has_far = any(link.kind == "lan" for link in ground.links)
    for replica in mine if has_far or not is_plain else ():
        if _stands_on(replica, ground.networks.get(replica.host)):
            needs.setdefault(replica.name, set()).add(f"network:{replica.host}")
        found = finder.find(replica)
        if found:
            edges[replica.name] = found
            edge_needs[replica.name] = _find_edge_needs(replica, found, ground)
    return Readied((*images, *networks), needs, by_replica, edges, edge_needs)


def find_forward_needs(host: str, forwards: Sequence[specs.Forward], ground: Ground) -> set[str]:
    """Return what has to stand before the forwards of a host can listen."""
    network = ground.networks.get(host)
    if network is None:
        return set()
    own = {network.gateway, *network.addresses}
    return {f"network:{host}"} if any(one.listen_host in own for one in forwards) else set()


def _make_images(
    starting: Sequence[plans.PlannedService],
) -> tuple[list[plans.Step], dict[str, str]]:
    users: dict[tuple[str, specs.Image], list[str]] = {}
    for replica in starting:
        if replica.container is not None:
            users.setdefault((replica.host, replica.container.image), []).append(replica.name)
    steps: list[plans.Step] = []
    by_replica: dict[str, str] = {}
    taken: set[str] = set()
    for (host, image), names in users.items():
        step_id = f"image:{image.reference}" + ("" if host == placing.LOCAL else f"@{host}")
        while step_id in taken:  # one reference, pulled in two ways
            step_id += "+"
        taken.add(step_id)
        more = f" and {len(names) - 1} more are" if len(names) > 1 else " is"
        steps.append(
            plans.PrepareImage(
                id=step_id,
                subject=image.reference,
                needs=(),
                cause=f"{names[0]}{more} made from it",
                host=host,
                image=image,
            )
        )
        by_replica.update(dict.fromkeys(names, step_id))
    return steps, by_replica


def _make_networks(
    replicas: Sequence[plans.PlannedService],
    ground: Ground,
    replaced: Mapping[str, Sequence[str]],
) -> list[plans.Step]:
    """Return a step for each host with a bridge, whatever starts there: a node that was started
    anew knows nothing of it, and setting it twice changes nothing."""
    steps: list[plans.Step] = []
    for host, network in sorted(ground.networks.items()):
        first = next(one.name for one in replicas if one.host == host and one.vantage != "native")
        steps.append(
            plans.SetNetwork(
                id=f"network:{host}",
                subject=host,
                needs=tuple(sorted(replaced.get(host, ()))),
                cause=f"{first} stands on the run's bridge",
                network=network,
            )
        )
    return steps


def _stands_on(replica: plans.PlannedService, network: specs.Network | None) -> bool:
    """Tell whether a replica needs the bridge: it is plugged in, or binds an address there."""
    if network is None:
        return False
    if replica.container is not None or replica.namespace is not None:
        return True
    own = {network.gateway, *network.addresses}
    return replica.bind in own or any(port.bound_host in own for port in replica.ports)


def _find_edge_needs(
    replica: plans.PlannedService, edges: Sequence[specs.Edge], ground: Ground
) -> set[str]:
    needs: set[str] = set()
    if replica.host in ground.networks:
        needs.add(f"network:{replica.host}")
    listened = {(f.listen_host, f.listen_port) for f in ground.forwards.get(replica.host, ())}
    if any((edge.host, edge.number) in listened for edge in edges):
        needs.add(f"forward:{replica.host}")
    return needs


class _Edges:
    """Finds the links of a caller that are to be tried before it starts."""

    def __init__(self, replicas: Sequence[plans.PlannedService], ground: Ground) -> None:
        self._ground = ground
        self._replicas = {replica.name: replica for replica in replicas}
        self._first: dict[str, plans.PlannedService] = {}
        for replica in replicas:
            self._first.setdefault(replica.service, replica)
        self._links: dict[str, list[plans.Link]] = {}
        for link in ground.links:
            self._links.setdefault(link.source, []).append(link)

    def find(self, caller: plans.PlannedService) -> tuple[specs.Edge, ...]:
        """Return the edges to callees that are ready by then, over nothing of the controller's."""
        waited = {need.name for need in caller.needs if need.condition == "ready"}
        edges: list[specs.Edge] = []
        for link in self._links.get(caller.name, ()):
            callee = self._replicas.get(link.target) or self._first.get(link.target)
            if callee is None or callee.service not in waited:
                continue
            if callee.host != caller.host and link.kind != "lan":
                continue
            host, _, number = link.address.rpartition(":")
            port = next(one for one in callee.ports if one.name == link.port)
            if _is_worth_trying(link, callee, port, (host, int(number))):
                edges.append(self._make_edge(caller, callee, port, link))
        return tuple(edges)

    def _make_edge(
        self,
        caller: plans.PlannedService,
        callee: plans.PlannedService,
        port: plans.PlannedPort,
        link: plans.Link,
    ) -> specs.Edge:
        host, _, number = link.address.rpartition(":")
        vantage = caller.vantage
        assert vantage != "outside", "nobody outside is told anything"
        is_native = vantage == "native"
        return specs.Edge(
            source=caller.name,
            target=callee.name,
            port=link.port,
            host=host,
            number=int(number),
            protocol=port.protocol,
            kind=link.kind,
            vantage=vantage,
            network=None if is_native else self._ground.networks.get(caller.host),
            bound=(port.bound_host, port.bound_port),
            # another machine's own sockets are not to be reached from here
            reached=(port.target_host, port.target_port) if callee.host == caller.host else ("", 0),
        )


def _is_worth_trying(
    link: plans.Link,
    callee: plans.PlannedService,
    port: plans.PlannedPort,
    told: binding.Socket,
) -> bool:
    """Tell whether a packet proves anything that the readiness of the callee has not."""
    if link.kind in ("bridge", "lan") or callee.container is not None:
        return True
    bound = (port.bound_host, port.bound_port)
    return link.kind == "loopback" and not binding.covers(bound, told)


def find_replaced(
    before: Mapping[str, specs.Network], ground: Ground, stops: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return for each host whose network becomes another one the ends of what stands in it.

    ``stops`` are the hosts of replicas that are to end, by step.
    """
    return {
        host: [step for step, at in stops.items() if at == host]
        for host, network in ground.networks.items()
        if host in before and not _is_same(before[host], network)
    }


def _is_same(old: specs.Network, new: specs.Network) -> bool:
    return (
        bridging.parse_subnet(old.subnet) == bridging.parse_subnet(new.subnet)
        and old.name == new.name
        and old.is_engine == new.is_engine
    )
