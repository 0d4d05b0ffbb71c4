"""Where each node belongs: a column by its stage, a lane by its machine; tall stages are split."""

import math
from collections.abc import Mapping, Sequence

from stackdsl.model import graphs, orders
from stackdsl.model.data import dataclass

OUTSIDE = ""
_ASPECT = 1.6  # of width to height, as screens and walls have it
_COLUMN_WIDTH = 330.0  # a box and the lines beside it, about
_ROW_HEIGHT = 72.0
_LANE_HEIGHT = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A band of rows: a machine (``host``), its bridge apart from the rest; "" is outside."""

    host: str
    is_bridge: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Each node's column (0 is leftmost) and lane, and each column's stage."""

    lanes: tuple[Lane, ...]
    column_of: Mapping[str, int]
    lane_of: Mapping[str, int]
    stages: tuple[int, ...]


def make_grid(
    nodes: Sequence[graphs.GraphNode], edges: Sequence[graphs.GraphEdge], *, has_lanes: bool
) -> Grid:
    """Return a place in the grid for each node: who needs stands left of what is needed."""
    lanes, lane_of = _find_lanes(nodes, edges) if has_lanes else _find_no_lanes(nodes)
    stages = _find_stages(nodes, edges)
    members: dict[int, dict[int, list[str]]] = {}
    for name in _sort_by_calls(nodes, edges):
        members.setdefault(stages[name], {}).setdefault(lane_of[name], []).append(name)
    rows_max = _choose_height(members, len(lanes))
    column_of: dict[str, int] = {}
    heads: list[int] = []
    for stage in sorted(members, reverse=True):
        count = max(math.ceil(len(names) / rows_max) for names in members[stage].values())
        for names in members[stage].values():
            chunks = math.ceil(len(names) / rows_max)
            first = len(heads) + count - chunks
            for place, name in enumerate(names):
                column_of[name] = first + place * chunks // len(names)
        heads.extend([stage] * count)
    return Grid(lanes=lanes, column_of=column_of, lane_of=lane_of, stages=tuple(heads))


def _find_no_lanes(
    nodes: Sequence[graphs.GraphNode],
) -> tuple[tuple[Lane, ...], dict[str, int]]:
    return (Lane(host=OUTSIDE),), {node.id: 0 for node in nodes}


def _find_stages(
    nodes: Sequence[graphs.GraphNode], edges: Sequence[graphs.GraphEdge]
) -> dict[str, int]:
    """Return each node's stage: as planned, else by who needs whom."""
    if any(node.stage for node in nodes):
        found = {node.id: node.stage for node in nodes}
    else:
        order: dict[str, list[str]] = {node.id: [] for node in nodes}
        for edge in edges:
            if edge.condition != "planned":
                order[edge.source].append(edge.target)
        found = dict.fromkeys(order, 0) | orders.find_stages(order)
    ranks = {stage: rank for rank, stage in enumerate(sorted(set(found.values())))}
    return {name: ranks[stage] for name, stage in found.items()}


def _sort_by_calls(
    nodes: Sequence[graphs.GraphNode], edges: Sequence[graphs.GraphEdge]
) -> list[str]:
    """Return names such that, where a stage is split, who is much needed stands further left."""
    balance = {node.id: 0 for node in nodes}
    for edge in edges:
        balance[edge.target] -= 1
        balance[edge.source] += 1
    return sorted(balance, key=lambda name: (balance[name], name))


def _choose_height(members: Mapping[int, Mapping[int, Sequence[str]]], lanes: int) -> int:
    """Return how many nodes may stand above each other in a lane, for a picture of good shape."""
    tallest = max((len(names) for row in members.values() for names in row.values()), default=1)

    def judge(rows_max: int) -> tuple[float, int]:
        columns = 0
        heights = [0] * lanes
        for row in members.values():
            columns += max(math.ceil(len(names) / rows_max) for names in row.values())
            for lane, names in row.items():
                chunks = math.ceil(len(names) / rows_max)
                heights[lane] = max(heights[lane], math.ceil(len(names) / chunks))
        height = sum(heights) * _ROW_HEIGHT + lanes * _LANE_HEIGHT
        return max(columns * _COLUMN_WIDTH / _ASPECT, height), -rows_max

    return min(range(1, tallest + 1), key=judge)


def _find_lanes(
    nodes: Sequence[graphs.GraphNode], edges: Sequence[graphs.GraphEdge]
) -> tuple[tuple[Lane, ...], dict[str, int]]:
    """Return the lanes: machines that call each other are near, what is outside is at the end."""
    lane_by_name = {node.id: _find_lane(node) for node in nodes}
    calls: dict[tuple[str, str], int] = {}
    for edge in edges:
        pair = (lane_by_name[edge.source].host, lane_by_name[edge.target].host)
        if pair[0] != pair[1]:
            calls[pair] = calls.get(pair, 0) + 1
    hosts = sorted({lane.host for lane in lane_by_name.values()} - {OUTSIDE})
    ordered = [*_arrange(hosts, calls), OUTSIDE]
    present = set(lane_by_name.values())
    lanes = [
        lane
        for host in ordered
        for lane in (Lane(host=host), Lane(host=host, is_bridge=True))
        if lane in present
    ]
    return tuple(lanes), {name: lanes.index(lane) for name, lane in lane_by_name.items()}


def _find_lane(node: graphs.GraphNode) -> Lane:
    if node.host is None:
        return Lane(host=OUTSIDE)
    return Lane(host=node.host, is_bridge=node.vantage in {"container", "isolated"})


def _arrange(hosts: Sequence[str], calls: Mapping[tuple[str, str], int]) -> list[str]:
    """Return machines in an order with short ways: each to its best place, until none gains."""
    order = list(hosts)

    def measure(tried: Sequence[str]) -> int:
        at = {host: place for place, host in enumerate((*tried, OUTSIDE))}
        return sum(count * abs(at[a] - at[b]) for (a, b), count in calls.items())

    for _ in range(len(order)):
        before = measure(order)
        for host in hosts:
            rest = [one for one in order if one != host]
            tries = [[*rest[:place], host, *rest[place:]] for place in range(len(order))]
            order = min([order, *tries], key=measure)
        if measure(order) == before:
            break
    return order
