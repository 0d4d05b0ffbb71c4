"""Graphs to look at: nodes and edges as plain data, whatever they were found with."""

from stackdsl.model.data import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """A service, a task or a machine (``kind`` "host", id ``host:NAME``). ``host`` is where it
    runs, None outside the stack or where it is a machine itself; ``state`` None: not running."""

    id: str
    kind: str
    host: str | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphEdge:
    """``source`` needs ``target`` (kind "needs": order only; the link's kind: it is told the
    address; "link": it will be), a machine runs a service ("runs"), or services of one machine
    call another (the link's kind)."""

    source: str
    target: str
    kind: str
    address: str | None = None
    condition: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphView:
    """A graph, its nodes sorted by id and its edges by their ends."""

    name: str
    nodes: tuple[GraphNode, ...] = ()
    edges: tuple[GraphEdge, ...] = ()
