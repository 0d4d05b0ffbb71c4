"""The legend: what the lines, icons and colours of a picture mean, as far as they occur in it."""

from collections.abc import Callable, Sequence

from stackdsl.model import graphs
from stackdsl.views.drawing import cards, palettes, pictures

_TITLE_FACTOR = 19 / 12  # of a title's size to that of a frame's label
_TITLE_MAX = 560.0
_ROW = 22.0
_GAP = 22.0
_WIDTH_MIN = 420.0
_SAMPLE = 30.0
_VANTAGES = {
    "native": "process", "container": "container", "isolated": "isolated process",
    "outside": "outside the stack",
}  # fmt: skip

DrawIcon = Callable[[str, float, float], str]
_Item = tuple[float, Callable[[float, float], str]]  # its width, and how to draw it at a place


def shorten_title(name: str) -> str:
    """Return a title that is not too long."""
    return cards.shorten(name, "frame", _TITLE_MAX / _TITLE_FACTOR)


def measure_title(name: str) -> float:
    """Return how wide it is."""
    return cards.measure(shorten_title(name), "frame") * _TITLE_FACTOR


def describe(view: graphs.GraphView) -> str:
    """Return in a line what a graph holds."""
    nodes = [node for node in view.nodes if node.kind != "host"]
    tasks = sum(node.kind == "task" for node in nodes)
    hosts = len({node.host for node in nodes if node.host is not None})
    counts = [(len(nodes) - tasks, "service"), (tasks, "task"), (hosts, "machine")]
    said = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts if count]
    what = "what runs where" if view.kind == "topology" else "who needs whom"
    return " · ".join([what, *said])


def make_legend(
    picture: pictures.Picture, draw_icon: DrawIcon
) -> tuple[list[str], tuple[float, float]]:
    """Return the legend's SVG, its origin at its upper left corner, and its width and height."""
    rows = [_list_boxes(picture, draw_icon), _list_lines(picture), _list_states(picture)]
    room = max(_WIDTH_MIN, picture.width - 60.0)
    lines: list[str] = []
    y, widest = 0.0, 0.0
    for items in filter(None, rows):
        x = 0.0
        for width, draw in items:
            if x > 0 and x + width > room:
                x = 0.0
                y += _ROW
            lines.append(draw(x, y + _ROW / 2))
            widest = max(widest, x + width)
            x += width + _GAP
        y += _ROW
    return lines, (widest, y + 20.0 if lines else 0.0)


def _write(text: str, x: float, y: float) -> str:
    return f'<text class="legend" x="{x:.1f}" y="{y + 4:.1f}">{text}</text>'


def _list_boxes(picture: pictures.Picture, draw_icon: DrawIcon) -> list[_Item]:
    nodes = [box.card.node for box in picture.boxes]
    vantages = {node.vantage for node in nodes if node.kind != "task"}
    found: list[tuple[str, str]] = [
        (name, words) for name, words in _VANTAGES.items() if name in vantages
    ]
    if any(node.kind == "task" for node in nodes):
        found.append(("task", "task: runs once"))

    def item(name: str, words: str) -> _Item:
        return 22.0 + cards.measure(
            words, "note"
        ), lambda x, y: draw_icon(name, x, y - 8) + _write(words, x + 22, y)

    return [item(name, words) for name, words in found]


def _list_lines(picture: pictures.Picture) -> list[_Item]:
    kinds = {route.style.kind for route in picture.routes}
    found = [(kind, line[0]) for kind, line in palettes.LINES.items() if kind in kinds]
    planned = next((route.style.kind for route in picture.routes if route.style.is_planned), None)
    if planned is not None:
        kind = planned if planned in palettes.LINES else "needs"
        found.append((f"{kind} planned", "planned: the address, without waiting"))

    def item(classes: str, words: str) -> _Item:
        return (
            _SAMPLE + 8 + cards.measure(words, "note"),
            lambda x, y: (
                f'<path class="line {classes}" d="M{x:.1f} {y:.1f}h{_SAMPLE - 8:.0f}"/>'
                f'<path class="head {classes}"'
                f' d="M{x + _SAMPLE:.1f} {y:.1f}l-8 -3.8v7.6z"/>'
                + _write(words, x + _SAMPLE + 8, y)
            ),
        )

    return [item(classes, words) for classes, words in found]


def _list_states(picture: pictures.Picture) -> Sequence[_Item]:
    present = {box.card.node.state for box in picture.boxes}

    def item(state: str) -> _Item:
        return (
            14.0 + cards.measure(state, "note"),
            lambda x, y: (
                f'<circle class="dot is-{state}" cx="{x + 4:.1f}" cy="{y:.1f}" r="4"/>'
                + _write(state, x + 14, y)
            ),
        )

    return [item(state) for state in palettes.STATES if state in present]
