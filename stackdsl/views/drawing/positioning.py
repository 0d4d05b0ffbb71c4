"""Heights: where each item of a column stands, as near to its neighbours as order and room allow.

Within a band the wanted places are fitted by least squares under "below the one before, and this
far" (isotonic regression by pooling adjacent violators; de Leeuw, Hornik and Mair 2009).
"""

import itertools
from collections.abc import Mapping, Sequence

from stackdsl.model.data import dataclass
from stackdsl.views.drawing import pictures, weaving

BEND_GAP = 13.0
BOX_GAP = 18.0
NEAR_GAP = 15.0  # between a box and a line that passes it
_SLACK = 1.06  # room to keep lines straight, beyond what the fullest column needs
_SWEEPS = 24
_LEVELLINGS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A band's upper and lower end."""

    top: float
    bottom: float


def measure_bands(cloth: weaving.Cloth, height_of: Mapping[str, float]) -> dict[int, float]:
    """Return how high each band that holds something must be."""
    needed: dict[int, float] = {}
    for items in cloth.columns:
        for band, group in _split(items, cloth.band_of).items():
            gaps = _list_gaps(group, height_of)
            edge = _half(group[0], height_of) + _half(group[-1], height_of)
            needed[band] = max(needed.get(band, 0.0), sum(gaps) + edge)
    return {
        band: height * (_SLACK if band % 2 else 1.0) + (0.0 if band % 2 else BEND_GAP)
        for band, height in needed.items()
    }


def place_items(
    cloth: weaving.Cloth,
    height_of: Mapping[str, float],
    spans: Mapping[int, Span],
    offset_of: Mapping[tuple[weaving.Item, weaving.Item], float],
) -> dict[weaving.Item, float]:
    """Return the height of each item's middle. ``offset_of`` an item and its neighbour is how far
    below the item's middle the line to that neighbour begins."""
    left: dict[weaving.Item, list[weaving.Item]] = {}
    right: dict[weaving.Item, list[weaving.Item]] = {}
    for a, b in cloth.list_steps():
        right.setdefault(a, []).append(b)
        left.setdefault(b, []).append(a)
    groups = [_split(items, cloth.band_of) for items in cloth.columns]
    y_of: dict[weaving.Item, float] = {}
    for bands in groups:
        for band, group in bands.items():
            wanted = [(spans[band].top + spans[band].bottom) / 2] * len(group)
            y_of.update(_fit(group, wanted, [1.0] * len(group), height_of, spans[band]))
    for sweep in range(_SWEEPS + _LEVELLINGS):
        order = range(len(groups)) if sweep % 2 == 0 else range(len(groups) - 1, -1, -1)
        sides = (left, right) if sweep >= _SWEEPS // 2 else ((left, right)[sweep % 2],)
        for column in order:
            for band, group in groups[column].items():
                if sweep < _SWEEPS:
                    wanted, weights = _want(group, sides, y_of, offset_of)
                else:
                    wanted, weights = _level(group, left, right, y_of, offset_of)
                y_of.update(_fit(group, wanted, weights, height_of, spans[band]))
    return y_of


def _split(
    items: Sequence[weaving.Item], band_of: Mapping[weaving.Item, int]
) -> dict[int, list[weaving.Item]]:
    groups: dict[int, list[weaving.Item]] = {}
    for item in items:
        groups.setdefault(band_of[item], []).append(item)
    return groups


def _half(item: weaving.Item, height_of: Mapping[str, float]) -> float:
    return height_of[item] / 2 if isinstance(item, str) else 0.0


def _list_gaps(group: Sequence[weaving.Item], height_of: Mapping[str, float]) -> list[float]:
    """Return how far the middle of each item must at least be below that of the one before."""
    gaps: list[float] = []
    for above, below in itertools.pairwise(group):
        boxes = isinstance(above, str) + isinstance(below, str)
        free = (BEND_GAP, NEAR_GAP, BOX_GAP)[boxes]
        gaps.append(_half(above, height_of) + free + _half(below, height_of))
    return gaps


def _want(
    group: Sequence[weaving.Item],
    sides: Sequence[Mapping[weaving.Item, Sequence[weaving.Item]]],
    y_of: Mapping[weaving.Item, float],
    offset_of: Mapping[tuple[weaving.Item, weaving.Item], float],
) -> tuple[list[float], list[float]]:
    """Return where each item would like to be, and how much; lines like to be straight most."""
    wanted: list[float] = []
    weights: list[float] = []
    for item in group:
        total, weight = 0.0, 0.0
        for side in sides:
            for near in side.get(item, ()):
                bends = isinstance(item, weaving.Bend) + isinstance(near, weaving.Bend)
                pull = (1.0, 2.0, 8.0)[bends]
                shift = offset_of.get((near, item), 0.0) - offset_of.get((item, near), 0.0)
                total += pull * (y_of[near] + shift)
                weight += pull
        wanted.append(total / weight if weight else y_of[item])
        weights.append(weight or 0.1)
    return wanted, weights


def _level(
    group: Sequence[weaving.Item],
    left: Mapping[weaving.Item, Sequence[weaving.Item]],
    right: Mapping[weaving.Item, Sequence[weaving.Item]],
    y_of: Mapping[weaving.Item, float],
    offset_of: Mapping[tuple[weaving.Item, weaving.Item], float],
) -> tuple[list[float], list[float]]:
    """Return the same where boxes stay and lines want to be level with where they arrive: one
    bend is easier to follow than a drift over many columns."""
    wanted: list[float] = []
    for item in group:
        ahead: Sequence[weaving.Item] = ()
        if isinstance(item, weaving.Bend):
            ahead = (right if item.heading > 0 else left).get(item, ())
        places = [y_of[near] + offset_of.get((near, item), 0.0) for near in ahead]
        wanted.append(places[0] if places else y_of[item])
    return wanted, [1.0 if isinstance(item, weaving.Bend) else 20.0 for item in group]


def _fit(
    group: Sequence[weaving.Item],
    wanted: Sequence[float],
    weights: Sequence[float],
    height_of: Mapping[str, float],
    span: Span,
) -> dict[weaving.Item, float]:
    """Return places near the wanted ones, in order, apart, and within the band."""
    offsets = [0.0]
    for gap in _list_gaps(group, height_of):
        offsets.append(offsets[-1] + gap)
    low = span.top + _half(group[0], height_of)
    high = span.bottom - _half(group[-1], height_of) - offsets[-1]
    pools: list[tuple[float, float, int]] = []  # mean, weight, members
    for want, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, total, count = want - offset, weight, 1
        while pools and pools[-1][0] > mean:
            before, its_weight, members = pools.pop()
            mean = (before * its_weight + mean * total) / (its_weight + total)
            total += its_weight
            count += members
        pools.append((mean, total, count))
    fitted = [mean for mean, _, count in pools for _ in range(count)]
    return {
        item: min(max(place, low), max(low, high)) + offset
        for item, place, offset in zip(group, fitted, offsets, strict=True)
    }


def make_boxes(
    cloth: weaving.Cloth,
    cards: Mapping[str, pictures.Card],
    height_of: Mapping[str, float],
    y_of: Mapping[weaving.Item, float],
    columns: Sequence[tuple[float, float]],
) -> dict[str, pictures.Box]:
    """Return a box for each card; ``columns`` are left ends and widths."""
    boxes: dict[str, pictures.Box] = {}
    for name, card in cards.items():
        x, width = columns[cloth.column_of[name]]
        height = height_of[name]
        boxes[name] = pictures.Box(
            card=card, x=x, y=y_of[name] - height / 2, width=width, height=height
        )
    return boxes
