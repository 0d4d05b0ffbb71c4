"""The ways of lines between columns: level beside boxes and past them, bent only between columns.

So no line runs through a box that is not its own: where there are boxes, every line is level, at a
height that was kept free for it.
"""

from collections.abc import Mapping, Sequence

from stackdsl.model.data import dataclass
from stackdsl.views.drawing import cards, pictures, weaving

ARROW = 9.0  # its length
ARRIVAL_GAP = 14.0  # room for a label
DEPARTURE_GAP = 7.0
_STUB = 10.0  # a level part without a label
_END_PAD = 13.0  # from a box's corner to the first line
_SAME_BULGE = 34.0

Arrival = tuple[str, int, pictures.Style]  # the box, where the arrow points, the style


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """The room right of a column: ``left`` and ``right`` are level, between them lines bend."""

    left: float
    bend: float
    right: float

    @property
    def width(self) -> float:
        """All of it."""
        return self.left + self.bend + self.right


def find_heading(thread: weaving.Thread, cloth: weaving.Cloth) -> int:
    """Return 1 where a line arrives from the left, -1 where from the right."""
    edge = thread.edge
    return 1 if cloth.column_of[edge.source] < cloth.column_of[edge.target] else -1


def list_arrivals(cloth: weaving.Cloth) -> list[Arrival]:
    """Return every place where lines of one style arrive together."""
    found = dict.fromkeys(
        (one.edge.target, find_heading(one, cloth), one.style) for one in cloth.threads
    )
    return list(found)


def measure_box(name: str, cloth: weaving.Cloth, arrivals: Sequence[Arrival]) -> float:
    """Return how high a box must be for the lines that begin and end at it."""
    height = 0.0
    for heading in (1, -1):
        arriving = sum(one[:2] == (name, heading) for one in arrivals)
        leaving = sum(_find_exit(one, cloth) == (name, heading) for one in cloth.threads)
        height = max(height, arriving * ARRIVAL_GAP + min(leaving, 8) * DEPARTURE_GAP)
    return height + 2 * _END_PAD - DEPARTURE_GAP if height else 0.0


def _find_exit(thread: weaving.Thread, cloth: weaving.Cloth) -> tuple[str, int]:
    """Return where a line begins: the box, and 1 for its left side, -1 for its right one; as lines
    that arrive there point."""
    edge = thread.edge
    is_left = cloth.column_of[edge.source] > cloth.column_of[edge.target]
    return edge.source, 1 if is_left else -1


def measure_channels(
    cloth: weaving.Cloth, arrivals: Sequence[Arrival], y_of: Mapping[weaving.Item, float]
) -> list[Channel]:
    """Return the room right of each column; the last one's is for lines that turn back."""
    count = len(cloth.columns)
    left, right = [_STUB] * count, [_STUB] * count
    bend = [0.0] * count
    for target, heading, style in arrivals:
        label = cards.measure(style.label, "label") + ARROW + 8.0 if style.label else 2 * _STUB
        column = cloth.column_of[target] - (heading > 0)
        if heading > 0 and column >= 0:
            right[column] = max(right[column], label)
        else:
            left[column] = max(left[column], label)
    steps: list[list[float]] = [[] for _ in range(count)]
    for a, b in cloth.list_steps():
        steps[cloth.column_of[a]].append(abs(y_of[a] - y_of[b]))
    for column, drops in enumerate(steps):
        if drops:
            bend[column] = 44.0 + min(110.0, 0.22 * max(drops)) + min(30.0, 0.6 * len(drops))
    for thread in cloth.threads:
        column = cloth.column_of[thread.edge.source]
        if column == cloth.column_of[thread.edge.target]:
            bend[column] = max(bend[column], _SAME_BULGE)
    return [
        Channel(left=a, bend=b, right=c if b else 0.0)
        for a, b, c in zip(left, bend, right, strict=True)
    ]


def route(
    cloth: weaving.Cloth,
    boxes: Mapping[str, pictures.Box],
    y_of: Mapping[weaving.Item, float],
    columns: Sequence[tuple[float, float]],
    channels: Sequence[Channel],
) -> tuple[list[pictures.Route], list[pictures.Arrow]]:
    """Return every edge's line, and the arrows at their ends."""
    ports = _place_ports(cloth, boxes, y_of)
    zones = [
        (x + width, x + width + channel.left, x + width + channel.left + channel.bend)
        for (x, width), channel in zip(columns, channels, strict=True)
    ]
    ground = _Ground(cloth=cloth, boxes=boxes, y_of=y_of, zones=zones, ports=ports)
    routes = [
        pictures.Route(
            edge=thread.edge,
            style=thread.style,
            curves=tuple(_draw(thread, ground)),
            heading=find_heading(thread, cloth),
        )
        for thread in cloth.threads
    ]
    arrows = []
    for target, heading, style in list_arrivals(cloth):
        box = boxes[target]
        x = box.x if heading > 0 else box.x + box.width
        middle = x - heading * (ARROW + 4.0 + cards.measure(style.label, "label") / 2)
        arrows.append(
            pictures.Arrow(
                target=target,
                style=style,
                tip=(x, ports[target, heading, style]),
                heading=heading,
                label_x=middle,
            )
        )
    return routes, arrows


def measure_offsets(
    cloth: weaving.Cloth,
    boxes: Mapping[str, pictures.Box],
    y_of: Mapping[weaving.Item, float],
) -> dict[tuple[weaving.Item, weaving.Item], float]:
    """Return how far below a box's middle its line to each neighbour begins."""
    ports = _place_ports(cloth, boxes, y_of)
    found: dict[tuple[weaving.Item, weaving.Item], list[float]] = {}
    for thread in cloth.threads:
        edge, (source, side) = thread.edge, _find_exit(thread, cloth)
        first, last = thread.items[1], thread.items[-2]
        leaving = ports[source, side, edge] - y_of[source]
        found.setdefault((source, first), []).append(leaving)
        arriving = ports[edge.target, find_heading(thread, cloth), thread.style]
        found.setdefault((edge.target, last), []).append(arriving - y_of[edge.target])
    return {pair: sum(all_of) / len(all_of) for pair, all_of in found.items()}


_Port = tuple[str, int, object]  # the box, its side, and an arrival's style or a thread's edge


def _place_ports(
    cloth: weaving.Cloth,
    boxes: Mapping[str, pictures.Box],
    y_of: Mapping[weaving.Item, float],
) -> dict[_Port, float]:
    """Return the height at which each line leaves or reaches a box, in the order of where they
    come from or go to."""
    near: dict[tuple[str, int], dict[object, list[float]]] = {}
    for thread in cloth.threads:
        edge = thread.edge
        heading = find_heading(thread, cloth)
        before, after = y_of[thread.items[-2]], y_of[thread.items[1]]
        near.setdefault((edge.target, heading), {}).setdefault(thread.style, []).append(before)
        near.setdefault(_find_exit(thread, cloth), {}).setdefault(edge, []).append(after)
    ports: dict[_Port, float] = {}
    for (name, side), found in near.items():
        box = boxes[name]
        keys = sorted(found, key=lambda key: sum(found[key]) / len(found[key]))
        gaps = [_gap(key) for key in keys[1:]]
        fixed = sum(gap for gap in gaps if gap == ARRIVAL_GAP)
        free = sum(gaps) - fixed
        room = max(0.0, box.height - 2 * _END_PAD - fixed)
        scale = min(1.0, room / free) if free else 1.0
        scaled = [gap if gap == ARRIVAL_GAP else gap * scale for gap in gaps]
        y = box.y + box.height / 2 - sum(scaled) / 2
        for key, gap in zip(keys, [*scaled, 0.0], strict=True):
            ports[name, side, key] = y
            y += gap
    return ports


def _gap(below: object) -> float:
    """Return the room between two lines; a label stands above the line that arrives."""
    return ARRIVAL_GAP if isinstance(below, pictures.Style) else DEPARTURE_GAP


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """Where everything is that lines go between; ``zones`` are, right of each column, where it
    ends, where lines begin to bend and where they end to."""

    cloth: weaving.Cloth
    boxes: Mapping[str, pictures.Box]
    y_of: Mapping[weaving.Item, float]
    zones: Sequence[tuple[float, float, float]]
    ports: Mapping[_Port, float]


def _draw(thread: weaving.Thread, ground: _Ground) -> list[pictures.Curve]:
    """Return a line's parts: level, bent, level, … from its source to its target."""
    cloth, boxes, ports = ground.cloth, ground.boxes, ground.ports
    edge, heading = thread.edge, find_heading(thread, cloth)
    source, target = boxes[edge.source], boxes[edge.target]
    exit_side = _find_exit(thread, cloth)[1]
    y = ports[edge.source, exit_side, edge]
    end_y = ports[edge.target, heading, thread.style]
    at = (source.x if exit_side > 0 else source.x + source.width, y)
    end = (target.x if heading > 0 else target.x + target.width, end_y)
    column, last = cloth.column_of[edge.source], cloth.column_of[edge.target]
    if column == last:
        turn = ground.zones[column][1]
        level, back = (turn, y), (turn, end_y)
        return [
            pictures.Curve(start=at, end=level),
            pictures.Curve(start=level, end=back, bulge=_SAME_BULGE),
            pictures.Curve(start=back, end=end),
        ]
    curves: list[pictures.Curve] = []
    for item, previous in zip(thread.items[1:], thread.items, strict=False):
        channel = min(cloth.column_of[item], cloth.column_of[previous])
        _, begin, finish = ground.zones[channel]
        first, second = (begin, finish) if heading > 0 else (finish, begin)
        y_next = end_y if item is thread.items[-1] else ground.y_of[item]
        curves.append(pictures.Curve(start=at, end=(first, at[1])))
        curves.append(pictures.Curve(start=(first, at[1]), end=(second, y_next)))
        at = (second, y_next)
    curves.append(pictures.Curve(start=at, end=end))
    return curves
