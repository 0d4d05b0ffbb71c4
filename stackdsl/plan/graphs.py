"""Graphs of a stack or a plan: who needs whom, what runs where, components, the critical path.

networkx is imported where it is used: it costs 75 to 200 ms, and no start waits for a graph.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from stackdsl.model import graphs, orders, places, plans, stacks
from stackdsl.plan import placing

if TYPE_CHECKING:  # the name of a type, for mypy alone: see above
    import networkx as nx

    _Graph = nx.DiGraph[str]

_ORDER = "needs"
_NO_STATES: Mapping[str, str] = {}
# Of several replicas' states, the first of these is the one to tell.
_WORST = (
    "failed", "restarting", "unready", "stopping", "stopped", "waiting", "starting", "running",
    "ready", "completed",
)  # fmt: skip


def view_dependencies(
    source: stacks.StackModel | plans.Plan, states: Mapping[str, str] = _NO_STATES
) -> graphs.GraphView:
    """Return services and tasks, and who needs whom.

    A plan also tells addresses; ``states`` are those of a living run, by service or task.
    """
    return _make_view(source, _build_dependencies(source, states))


def view_topology(
    source: stacks.StackModel | plans.Plan, states: Mapping[str, str] = _NO_STATES
) -> graphs.GraphView:
    """Return machines, what each runs, and over which links services and machines call each
    other."""
    return _make_view(source, _build_topology(source, states), kind="topology")


def find_components(view: graphs.GraphView) -> tuple[tuple[str, ...], ...]:
    """Return the groups of nodes that have nothing to do with each other, largest first."""
    import networkx as nx

    found = nx.weakly_connected_components(_build(view.nodes, view.edges))
    groups = [tuple(sorted(group)) for group in found]
    return tuple(sorted(groups, key=lambda group: (-len(group), group)))


def find_critical_path(view: graphs.GraphView) -> tuple[str, ...]:
    """Return the longest chain of a dependency graph in the order of starting.

    Edges of the condition "planned" are no part of the order. Of equal chains, the first by name.
    """
    import networkx as nx

    ordered = [edge for edge in view.edges if edge.condition != "planned"]
    graph = _build(view.nodes, ordered)
    return tuple(reversed(nx.dag_longest_path(graph)))


def _build_dependencies(
    source: stacks.StackModel | plans.Plan, states: Mapping[str, str]
) -> "_Graph":
    if isinstance(source, plans.Plan):
        nodes, edges = _read_plan(source, states)
    else:
        nodes, edges = _read_stack(source, states)
    return _build(nodes, edges)


def _build_topology(source: stacks.StackModel | plans.Plan, states: Mapping[str, str]) -> "_Graph":
    services = _build_dependencies(source, states)
    nodes = [data["node"] for _, data in services.nodes(data=True)]
    links = [data["edge"] for _, _, data in services.edges(data=True)]
    hosts = {node.host: host_id(node.host) for node in nodes if node.host is not None}
    if isinstance(source, plans.Plan):
        hosts |= {host.name: host_id(host.name) for host in source.hosts}
    bridges = _find_bridges(source)
    machines = [
        graphs.GraphNode(id=hosts[name], kind="host", address=bridges.get(name))
        for name in sorted(hosts)
    ]
    edges = [
        graphs.GraphEdge(source=hosts[node.host], target=node.id, kind="runs")
        for node in nodes
        if node.host is not None
    ]
    calls = _list_calls(source, {node.id: node.host for node in nodes}, hosts)
    told = [edge for edge in links if edge.kind != _ORDER]
    return _build([*machines, *nodes], [*edges, *calls, *told])


def _find_bridges(source: stacks.StackModel | plans.Plan) -> dict[str, str]:
    """Return the bridge network of each machine that has one."""
    if not isinstance(source, plans.Plan):
        return {}
    return {host: network.subnet for host, network in source.networks}


def host_id(name: str) -> str:
    """Return a machine's node id; a machine and a service may have the same name."""
    return f"host:{name}"


def _list_calls(
    source: stacks.StackModel | plans.Plan,
    host_of: Mapping[str, str | None],
    hosts: Mapping[str | None, str],
) -> list[graphs.GraphEdge]:
    """Return one edge for each pair of machines whose services call each other."""
    if not isinstance(source, plans.Plan):
        return []
    owners = _map_owners(source)
    calls: dict[tuple[str, str], graphs.GraphEdge] = {}
    for link in source.links:
        caller = host_of.get(owners[link.source])
        callee = host_of.get(owners[link.target])
        if caller is None or callee is None or caller == callee:
            continue
        ends = (hosts[caller], hosts[callee])
        address = link.address.rpartition(":")[0]
        calls.setdefault(
            ends,
            graphs.GraphEdge(source=ends[0], target=ends[1], kind=link.kind, address=address),
        )
    return [calls[ends] for ends in sorted(calls)]


def _map_owners(plan: plans.Plan) -> dict[str, str]:
    """Return the service of each replica, and each service itself."""
    owners = {replica.name: replica.service for replica in plan.services}
    return owners | {replica.service: replica.service for replica in plan.services}


def _read_plan(
    plan: plans.Plan, states: Mapping[str, str]
) -> tuple[list[graphs.GraphNode], list[graphs.GraphEdge]]:
    owners = _map_owners(plan)
    told: dict[tuple[str, str], plans.Link] = {}
    for link in plan.links:
        told.setdefault((owners[link.source], owners[link.target]), link)
    nodes: list[graphs.GraphNode] = []
    edges: list[graphs.GraphEdge] = []
    replicas: dict[str, list[str]] = {}
    for replica in plan.services:
        replicas.setdefault(replica.service, []).append(replica.name)
    for replica in plan.services:
        if replica.index > 0:
            continue
        name = replica.service
        nodes.append(
            graphs.GraphNode(
                id=name,
                kind=replica.kind,
                host=replica.host or None,
                state=_find_state(name, replicas[name], states),
                vantage=replica.vantage,
                place=replica.target,
                stage=replica.stage,
                replicas=len(replicas[name]),
                ports=tuple(_say_port(port.name, port.port) for port in replica.ports),
                address=_find_address(replica),
            )
        )
        for need in replica.needs:
            tells = told.get((name, need.name))
            edges.append(_make_edge(name, need, tells, is_told=tells is not None))
    return nodes, edges


def _find_state(name: str, replicas: Sequence[str], states: Mapping[str, str]) -> str | None:
    """Return a service's state: that of the replica that is worst off."""
    found = [states[one] for one in replicas if one in states]
    if not found:
        return states.get(name)
    return min(found, key=lambda state: _WORST.index(state) if state in _WORST else len(_WORST))


def _find_address(replica: plans.PlannedService) -> str | None:
    for port in replica.ports:
        if port.host:
            return f"{port.host}:{port.told_port}"
    return None


def _say_port(name: str, number: int) -> str:
    return str(number) if name == "default" else f"{name} {number}"


def _read_stack(
    stack: stacks.StackModel, states: Mapping[str, str]
) -> tuple[list[graphs.GraphNode], list[graphs.GraphEdge]]:
    nodes: list[graphs.GraphNode] = []
    edges: list[graphs.GraphEdge] = []
    stages = _find_stages(stack)
    for service in stack.services:
        name, stand = service.name, placing.find_stand(service)
        nodes.append(
            graphs.GraphNode(
                id=name,
                kind=service.kind,
                host=stand.host or None,
                state=_find_state(name, service.replica_names(), states),
                vantage=stand.vantage,
                place=str(service.runs_on),
                stage=stages.get(name, 0),
                replicas=len(service.replica_names()),
                ports=tuple(_say_port(port.name, port.number) for port in service.ports),
            )
        )
        for need in service.needs:
            callee = stack.service(need.name)
            if callee is None:
                continue
            is_told = bool(callee.ports) or isinstance(callee.runs_on, places.External)
            planned = plans.PlannedNeed(
                name=callee.name,
                condition=need.condition,
                is_addressed=need.is_addressed or need.parameter is not None,
            )
            edges.append(_make_edge(name, planned, None, is_told=is_told))
    return nodes, edges


def _find_stages(stack: stacks.StackModel) -> Mapping[str, int]:
    order: dict[str, list[str]] = {service.name: [] for service in stack.services}
    for service in stack.services:
        for need in service.needs:
            callee = stack.service(need.name)
            if callee is not None and need.condition != "planned":
                order[service.name].append(callee.name)
    return orders.find_stages(order)


def _make_edge(
    name: str, need: plans.PlannedNeed, link: plans.Link | None, *, is_told: bool
) -> graphs.GraphEdge:
    """Return an edge; who serves nothing, as most tasks, has no address to tell."""
    kind: str = "link" if need.is_addressed and is_told else _ORDER
    address, reason = None, ""
    if link is not None and need.is_addressed:
        kind, address, reason = link.kind, link.address, link.reason
    return graphs.GraphEdge(
        source=name,
        target=need.name,
        kind=kind,
        address=address,
        condition=need.condition,
        reason=reason,
    )


def _build(nodes: Iterable[graphs.GraphNode], edges: Iterable[graphs.GraphEdge]) -> "_Graph":
    """Return a networkx graph; of several edges between two nodes the one that tells more stays."""
    import networkx as nx

    graph: _Graph = nx.DiGraph()
    for node in sorted(nodes, key=lambda node: node.id):
        graph.add_node(node.id, node=node)
    for edge in sorted(edges, key=_edge_key):
        if not graph.has_edge(edge.source, edge.target):
            graph.add_edge(edge.source, edge.target, edge=edge)
    return graph


def _edge_key(edge: graphs.GraphEdge) -> tuple[str, str, bool, bool, str]:
    is_planned = edge.condition == "planned"
    return edge.source, edge.target, is_planned, edge.kind == _ORDER, edge.condition or ""


def _make_view(
    source: stacks.StackModel | plans.Plan,
    graph: "_Graph",
    kind: Literal["dependency", "topology"] = "dependency",
) -> graphs.GraphView:
    return graphs.GraphView(
        name=source.stack if isinstance(source, plans.Plan) else source.name,
        kind=kind,
        nodes=tuple(data["node"] for _, data in graph.nodes(data=True)),
        edges=tuple(data["edge"] for _, _, data in graph.edges(data=True)),
    )
