"""The threads of a picture: each edge's way over the columns, and the order of what stands in
each, such that few lines cross (barycentre sweeps; Sugiyama, Tagawa and Toda 1981)."""

import bisect
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from stackdsl.model import graphs
from stackdsl.model.data import dataclass
from stackdsl.views.drawing import layering, pictures

_SWEEPS = 16
_SWAPS = 4


class Bend(NamedTuple):
    """A place that lines of one style to one target keep free where they pass a column."""

    style: pictures.Style
    target: str
    heading: int
    band: int
    column: int


Item = str | Bend


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """An edge's way: the items that it passes, from the source's to the target's column."""

    edge: graphs.GraphEdge
    style: pictures.Style
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloth:
    """Columns of items from top to bottom. ``band_of``: odd ones are lanes, even ones the gutters
    around them, from 0 at the top."""

    threads: tuple[Thread, ...]
    columns: tuple[tuple[Item, ...], ...]
    band_of: Mapping[Item, int]
    column_of: Mapping[Item, int]

    def list_steps(self) -> list[tuple[Item, Item]]:
        """Return each pair of neighbours on a line once, the left one first."""
        found: dict[tuple[Item, Item], None] = {}
        for thread in self.threads:
            for a, b in itertools.pairwise(thread.items):
                if self.column_of[a] != self.column_of[b]:
                    found[(a, b) if self.column_of[a] < self.column_of[b] else (b, a)] = None
        return list(found)


def weave(
    grid: layering.Grid,
    edges: Sequence[graphs.GraphEdge],
    style_of: Mapping[graphs.GraphEdge, pictures.Style],
) -> Cloth:
    """Return every edge's way and the order in each column."""
    column_of: dict[Item, int] = dict(grid.column_of.items())
    band_of: dict[Item, int] = {name: 2 * lane + 1 for name, lane in grid.lane_of.items()}
    threads = [_spin(edge, style_of[edge], grid, column_of, band_of) for edge in edges]
    columns: list[list[Item]] = [[] for _ in grid.stages]
    for item, column in column_of.items():
        columns[column].append(item)
    for items in columns:
        items.sort(key=lambda item: band_of[item])
    cloth = Cloth(
        threads=tuple(threads),
        columns=tuple(map(tuple, columns)),
        band_of=band_of,
        column_of=column_of,
    )
    ordered = _order(columns, cloth.list_steps(), band_of)
    return Cloth(
        threads=cloth.threads,
        columns=tuple(map(tuple, ordered)),
        band_of=band_of,
        column_of=column_of,
    )


def _spin(
    edge: graphs.GraphEdge,
    style: pictures.Style,
    grid: layering.Grid,
    column_of: dict[Item, int],
    band_of: dict[Item, int],
) -> Thread:
    """Return an edge's way; lines of one style to one target share their bends."""
    start, end = grid.column_of[edge.source], grid.column_of[edge.target]
    own, other = grid.lane_of[edge.source], grid.lane_of[edge.target]
    band = 2 * other + 1 + (other < own) - (other > own)
    step = 1 if end > start else -1
    items: list[Item] = [edge.source]
    for column in range(start + step, end, step) if start != end else ():
        bend = Bend(style, edge.target, step, band, column)
        column_of[bend] = column
        band_of[bend] = band
        items.append(bend)
    return Thread(edge=edge, style=style, items=(*items, edge.target))


class _Loom:
    """The columns while they are put in order."""

    def __init__(
        self,
        columns: Sequence[Sequence[Item]],
        steps: Iterable[tuple[Item, Item]],
        band_of: Mapping[Item, int],
    ) -> None:
        self.columns = [list(items) for items in columns]
        self.band_of = band_of
        self.left: dict[Item, list[Item]] = {item: [] for items in columns for item in items}
        self.right: dict[Item, list[Item]] = {item: [] for items in columns for item in items}
        for a, b in steps:
            self.right[a].append(b)
            self.left[b].append(a)
        self.place: dict[Item, int] = {}
        for column in range(len(self.columns)):
            self.number(column)

    def number(self, column: int) -> None:
        for place, item in enumerate(self.columns[column]):
            self.place[item] = place

    def sort(self, column: int, neighbours: Mapping[Item, Sequence[Item]]) -> None:
        """Put a column in the order of its neighbours' middles, within each band."""

        def key(item: Item) -> tuple[int, float, int]:
            near = neighbours[item]
            own = self.place[item]
            middle = sum(self.place[one] for one in near) / len(near) if near else float(own)
            return self.band_of[item], middle, own

        self.columns[column].sort(key=key)
        self.number(column)

    def count(self) -> int:
        """Return how many steps cross each other."""
        total = 0
        for items in self.columns:
            seen: list[int] = []
            for item in items:
                ends = sorted(self.place[one] for one in self.right[item])
                total += sum(len(seen) - bisect.bisect_right(seen, end) for end in ends)
                for end in ends:
                    bisect.insort(seen, end)
        return total

    def swap(self, column: int) -> bool:
        """Exchange neighbours of a column where that saves crossings."""
        items = self.columns[column]
        is_changed = False
        for upper in range(len(items) - 1):
            a, b = items[upper], items[upper + 1]
            if self.band_of[a] != self.band_of[b]:
                continue
            if self._cross(a, b) > self._cross(b, a):
                items[upper], items[upper + 1] = b, a
                self.place[a], self.place[b] = upper + 1, upper
                is_changed = True
        return is_changed

    def _cross(self, above: Item, below: Item) -> int:
        total = 0
        for side in (self.left, self.right):
            ends = sorted(self.place[one] for one in side[below])
            total += sum(bisect.bisect_left(ends, self.place[one]) for one in side[above])
        return total


def _order(
    columns: Sequence[Sequence[Item]],
    steps: Sequence[tuple[Item, Item]],
    band_of: Mapping[Item, int],
) -> list[list[Item]]:
    """Return the best order met in some sweeps to and fro."""
    loom = _Loom(columns, steps, band_of)
    best, fewest = [list(items) for items in loom.columns], loom.count()
    for sweep in range(_SWEEPS):
        if sweep % 2 == 0:
            for column in range(1, len(columns)):
                loom.sort(column, loom.left)
        else:
            for column in range(len(columns) - 2, -1, -1):
                loom.sort(column, loom.right)
        for _ in range(_SWAPS):
            changes = [loom.swap(column) for column in range(len(columns))]
            if not any(changes):
                break
        crossings = loom.count()
        if crossings < fewest:
            best, fewest = [list(items) for items in loom.columns], crossings
        if fewest == 0:
            break
    return best
