"""Generated graphs to draw, and the reading of what was drawn."""

import random
import re
import xml.etree.ElementTree as ET
from typing import Any, NamedTuple

from stackdsl.model import graphs, orders

SVG = "{http://www.w3.org/2000/svg}"
SHAPES = ("layered", "dense", "star", "chain", "free", "ring")
NASTY = (
    "</text><script>alert(1)</script>", "]]>", "<!--", '" onload="alert(1)', "a & b &lt; c",
    "'single' `tick`", "back\\slash \\N \\", "{{mustache}} ${x} %%{init: {}}%%", "end", "subgraph",
    "\u65e5\u672c\u8a9e\u306e\u30b5\u30fc\u30d3\u30b9", "e\u0301a\u0300 \u200f\u0639\u0631\u0628",
    "zero\x00bell\x07", "line\nbreak\ttab", "\ud800", "W" * 200, "#quot; #35;", "a|b|c", "-->",
    "style x fill:#f00", "graph TD;A-->B", "",
)  # fmt: skip
_IMAGES = ("postgres:16", "ghcr.io/acme/platform/order-processing-and-billing:2025.11.3")
_STATES = ("ready", "starting", "waiting", "failed", "unready", "restarting", "stopped", "odd")
_KINDS = ("lan", "wireguard", "tunnel")


def make_graph(
    shape: str, count: int, *, hosts: int = 1, topology: bool = False, states: bool = False
) -> graphs.GraphView:
    """Return a graph of a shape, the same for the same arguments."""
    dice = random.Random(f"{shape} {count} {hosts}")
    names = [f"service-{n}" for n in range(count)]
    names[count // 2] = "a_rather_long_service_name_for_reporting_and_reconciliation"
    calls = _list_calls(shape, names, dice)
    stages = orders.find_stages({one: [b for a, b in calls if a == one] for one in names})
    machines = ["local", *(f"edge-{n}" for n in range(1, hosts))]
    nodes = {
        name: _make_node(name, stages.get(name, 0), machines, dice, states=states) for name in names
    }
    edges = [_make_edge(nodes[a], nodes[b], dice) for a, b in sorted(calls)]
    for a, b in dice.sample(sorted(calls), min(3, len(calls))):
        if (b, a) not in calls:
            edges.append(_plan_edge(nodes[b], nodes[a]))
    if shape != "free":
        edges.append(_plan_edge(nodes[names[0]], nodes[names[0]]))
    drawn = list(nodes.values())
    if topology:
        edges = [edge for edge in edges if edge.kind != "needs"]
        drawn += [
            graphs.GraphNode(id=f"host:{one}", kind="host", address="10.128.7.0/24")
            for one in machines
        ]
        edges += [
            graphs.GraphEdge(source=f"host:{node.host}", target=node.id, kind="runs")
            for node in nodes.values()
            if node.host is not None
        ]
    return graphs.GraphView(
        name=f"{shape} {count}",
        kind="topology" if topology else "dependency",
        nodes=tuple(sorted(drawn, key=lambda node: node.id)),
        edges=tuple(sorted(edges, key=lambda edge: (edge.source, edge.target))),
    )


def make_nasty(kind: str) -> graphs.GraphView:
    """Return a graph whose every text is written to break something."""
    nodes = [
        graphs.GraphNode(
            id=name,
            kind=("service", "task")[place % 2],
            host=None if place % 5 == 0 else NASTY[place % 3],
            state=NASTY[-place] if place % 3 == 0 else "ready",
            vantage=("native", "container", "isolated")[place % 3] if place % 5 else "outside",
            place=f"docker {name}",
            ports=(name,),
            address=name,
        )
        for place, name in enumerate(NASTY)
    ]
    machines = [
        graphs.GraphNode(id=f"host:{name}", kind="host", address=name) for name in NASTY[:3]
    ]
    edges = [
        graphs.GraphEdge(
            source=NASTY[0], target=name, kind="bridge", address=name, reason=name,
            condition="planned" if place % 2 else name,
        )
        for place, name in enumerate(NASTY)
    ]  # fmt: skip
    if kind == "dependency":
        return graphs.GraphView(name=NASTY[0], nodes=tuple(nodes), edges=tuple(edges))
    edges += [
        graphs.GraphEdge(source=f"host:{node.host}", target=node.id, kind="runs")
        for node in nodes
        if node.host is not None
    ]
    return graphs.GraphView(
        name=NASTY[0], kind="topology", nodes=(*nodes, *machines), edges=tuple(edges)
    )


def _list_calls(shape: str, names: list[str], dice: random.Random) -> set[tuple[str, str]]:
    count = len(names)
    match shape:
        case "dense":
            return {(names[n], names[dice.randrange(n)]) for n in range(1, count) for _ in range(4)}
        case "star":
            return {(name, names[0]) for name in names[1:]}
        case "chain":
            return set(zip(names[1:], names, strict=False))
        case "ring":
            return {(names[n], names[n - 1]) for n in range(count)}
        case "free":
            return set()
    layers = [names[n :: max(2, count // 9)] for n in range(max(2, count // 9))]
    return {
        (name, dice.choice(layers[place - 1 if dice.random() < 0.7 else dice.randrange(place)]))
        for place in range(1, len(layers))
        for name in layers[place]
        for _ in range(dice.choice((1, 2, 3)))
    }


def _make_node(
    name: str, stage: int, machines: list[str], dice: random.Random, *, states: bool
) -> graphs.GraphNode:
    vantage: Any = dice.choice(("native", "native", "container", "isolated", "outside"))
    port = str(dice.randrange(1000, 60000))
    place = {"container": f"docker {dice.choice(_IMAGES)}", "outside": "external db:5432"}
    return graphs.GraphNode(
        id=name,
        kind="task" if vantage == "native" and dice.random() < 0.3 else "service",
        host=None if vantage == "outside" else dice.choice(machines),
        state=dice.choice(_STATES) if states else None,
        vantage=vantage,
        place=place.get(vantage, "local"),
        stage=stage,
        replicas=dice.choice((1, 1, 12)),
        ports=(port, "admin 9090"),
        address=f"127.80.12.{dice.randrange(256)}:{port}",
    )


def _make_edge(
    source: graphs.GraphNode, target: graphs.GraphNode, dice: random.Random
) -> graphs.GraphEdge:
    is_same = source.host == target.host
    kind = "needs" if dice.random() < 0.15 else "loopback" if is_same else dice.choice(_KINDS)
    if target.vantage == "outside" and kind != "needs":
        kind = "external"
    return graphs.GraphEdge(
        source=source.id,
        target=target.id,
        kind=kind,
        address=None if kind == "needs" else f"10.128.7.{dice.randrange(3)}:{8000}",
        condition=dice.choice(("ready", "ready", "started", "completed")),
        reason="same machine: the service's own loopback address",
    )


def _plan_edge(source: graphs.GraphNode, target: graphs.GraphNode) -> graphs.GraphEdge:
    return graphs.GraphEdge(
        source=source.id, target=target.id, kind="bridge", address=target.address,
        condition="planned",
    )  # fmt: skip


class Area(NamedTuple):
    """A rectangle by its sides."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Area", by: float = 0.05) -> bool:
        """Tell whether both share more than a border."""
        return (
            self.left < other.right - by
            and other.left < self.right - by
            and self.top < other.bottom - by
            and other.top < self.bottom - by
        )

    def holds(self, other: "Area") -> bool:
        """Tell whether the other is wholly within."""
        return (
            self.left <= other.left + 0.05
            and self.top <= other.top + 0.05
            and self.right >= other.right - 0.05
            and self.bottom >= other.bottom - 0.05
        )


def read(text: str) -> ET.Element:
    """Return what an SVG document holds."""
    return ET.fromstring(text)


def find(root: ET.Element, name: str) -> list[ET.Element]:
    """Return the elements of a class."""
    return [one for one in root.iter() if name in one.get("class", "").split()]


def area_of(rect: ET.Element) -> Area:
    x, y = float(rect.get("x", 0)), float(rect.get("y", 0))
    return Area(x, y, x + float(rect.get("width", 0)), y + float(rect.get("height", 0)))


def boxes_of(root: ET.Element) -> dict[str, Area]:
    """Return the box of each node."""
    return {node.get("data-id", ""): area_of(find(node, "box")[0]) for node in find(root, "node")}


def points_of(path: ET.Element, every: int = 24) -> list[tuple[float, float]]:
    """Return points along a path of M, H and C, close to each other where it bends."""
    points: list[tuple[float, float]] = []
    for letter, rest in re.findall("([MHC])([^MHC]*)", path.get("d", "")):
        values = [float(word) for word in re.findall(r"-?\d+(?:\.\d+)?", rest)]
        if letter == "M":
            points.append((values[0], values[1]))
            continue
        x, y = points[-1]
        if letter == "H":
            points += [(x + (values[0] - x) * n / every, y) for n in range(1, every + 1)]
            continue
        (ax, ay, bx, by, cx, cy) = values
        for n in range(1, every + 1):
            t = n / every
            k0, k1, k2, k3 = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
            points.append(
                (k0 * x + k1 * ax + k2 * bx + k3 * cx, k0 * y + k1 * ay + k2 * by + k3 * cy)
            )
    return points
