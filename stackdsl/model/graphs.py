"""Graphs to look at: nodes and edges as plain data, whatever they were found with."""

from typing import Literal

from stackdsl.model.data import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """A service, a task or a machine (``kind`` "host", id ``host:NAME``). ``host`` is where it
    runs, None outside the stack or where it is a machine itself; ``state`` None: not running.

    For pictures: ``vantage`` is how it stands on its machine, ``place`` what runs there
    ("docker postgres:16"), ``stage`` its place in the order of starting, 0 first, ``ports`` are
    texts ("8080", "admin 9090"), ``address`` is its own one; a machine's is that of its bridge.
    """

    id: str
    kind: str
    host: str | None = None
    state: str | None = None
    vantage: Literal["native", "container", "isolated", "outside"] = "native"
    place: str = ""
    stage: int = 0
    replicas: int = 1
    ports: tuple[str, ...] = ()
    address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphEdge:
    """``source`` needs ``target`` (kind "needs": order only; the link's kind: it is told the
    address; "link": it will be), a machine runs a service ("runs"), or services of one machine
    call another (the link's kind). ``reason`` is why it is that address."""

    source: str
    target: str
    kind: str
    address: str | None = None
    condition: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphView:
    """A graph, its nodes sorted by id and its edges by their ends."""

    name: str
    kind: Literal["dependency", "topology"] = "dependency"
    nodes: tuple[GraphNode, ...] = ()
    edges: tuple[GraphEdge, ...] = ()
