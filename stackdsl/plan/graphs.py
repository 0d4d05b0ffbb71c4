"""Graphs of a stack or a plan: who needs whom, what runs where, components, the critical path.

networkx is imported where it is used: it costs 75 to 200 ms, and no start waits for a graph.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from stackdsl.model import graphs, plans, stacks
from stackdsl.plan import placing

if TYPE_CHECKING:  # the name of a type, for mypy alone: see above
    import networkx as nx

    _Graph = nx.DiGraph[str]

_ORDER = "needs"
_NO_STATES: Mapping[str, str] = {}


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
    """Return machines, what each runs, and over which links they call each other."""
    return _make_view(source, _build_topology(source, states))


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
    hosts = {node.host: host_id(node.host) for node in nodes if node.host is not None}
    if isinstance(source, plans.Plan):
        hosts |= {host.name: host_id(host.name) for host in source.hosts}
    machines = [graphs.GraphNode(id=hosts[name], kind="host") for name in sorted(hosts)]
    edges = [
        graphs.GraphEdge(source=hosts[node.host], target=node.id, kind="runs")
        for node in nodes
        if node.host is not None
    ]
    calls = _list_calls(source, {node.id: node.host for node in nodes}, hosts)
    return _build([*machines, *nodes], [*edges, *calls])


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
    for replica in plan.services:
        if replica.index > 0:
            continue
        name = replica.service
        host, state = replica.host or None, states.get(name)
        nodes.append(graphs.GraphNode(id=name, kind=replica.kind, host=host, state=state))
        edges.extend(_make_edge(name, need, told.get((name, need.name))) for need in replica.needs)
    return nodes, edges


def _read_stack(
    stack: stacks.StackModel, states: Mapping[str, str]
) -> tuple[list[graphs.GraphNode], list[graphs.GraphEdge]]:
    nodes: list[graphs.GraphNode] = []
    edges: list[graphs.GraphEdge] = []
    for service in stack.services:
        name = service.name
        host, state = placing.find_stand(service).host or None, states.get(name)
        nodes.append(graphs.GraphNode(id=name, kind=service.kind, host=host, state=state))
        for need in service.needs:
            callee = stack.service(need.name)
            if callee is None:
                continue
            is_told = need.is_addressed or need.parameter is not None
            planned = plans.PlannedNeed(
                name=callee.name, condition=need.condition, is_addressed=is_told
            )
            edges.append(_make_edge(name, planned, None))
    return nodes, edges


def _make_edge(name: str, need: plans.PlannedNeed, link: plans.Link | None) -> graphs.GraphEdge:
    kind: str = "link" if need.is_addressed else _ORDER
    address: str | None = None
    if link is not None and need.is_addressed:
        kind, address = link.kind, link.address
    return graphs.GraphEdge(
        source=name, target=need.name, kind=kind, address=address, condition=need.condition
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


def _make_view(source: stacks.StackModel | plans.Plan, graph: "_Graph") -> graphs.GraphView:
    return graphs.GraphView(
        name=source.stack if isinstance(source, plans.Plan) else source.name,
        nodes=tuple(data["node"] for _, data in graph.nodes(data=True)),
        edges=tuple(data["edge"] for _, _, data in graph.edges(data=True)),
    )
