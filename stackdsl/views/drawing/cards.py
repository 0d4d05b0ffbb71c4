"""What a box says, and how much room it needs: widths are those of a wide font, so texts fit."""

import functools
import unicodedata

from stackdsl.model import graphs
from stackdsl.views.drawing import pictures

WIDTH_MIN = 132.0
WIDTH_MAX = 250.0
TEXT_X = 34.0  # the icon stands before it
PAD_RIGHT = 12.0
PAD_Y = 9.0
# Font size and line height of each way to write.
SIZES = {"name": (13.0, 18.0), "task": (13.0, 18.0), "note": (11.0, 15.0), "state": (11.0, 15.0)}
SIZES |= {"address": (11.0, 15.0), "label": (10.0, 12.0), "frame": (12.0, 16.0)}
_BOLD = frozenset({"name", "task", "frame"})
_BOLD_FACTOR = 1.2
# Characters by their width in hundredths of the font size: DejaVu Sans, as wide as they come.
_WIDTHS = {
    28: "'ijl", 29: "IJ", 34: " ,./:;\\|", 39: "f-()[]t", 41: "!r", 50: '"*_`', 56: "szcL?",
    61: "FkvxyPTYao", 64: "eESbdghnpqu$0123456789{}", 70: "KAVBRXZC", 79: "UHNDG&OQ",
    86: "w#+<=>^~M", 100: "%mW@",
}  # fmt: skip
_BY_CHARACTER = {char: width / 100 for width, chars in _WIDTHS.items() for char in chars}
_NARROW_OTHER = 0.8  # Latin with accents, Greek, Cyrillic
_WIDE_OTHER = 1.3  # ideographs and pictures


@functools.cache
def _measure_character(char: str) -> float:
    known = _BY_CHARACTER.get(char)
    if known is not None:
        return known
    if unicodedata.combining(char) or unicodedata.category(char) in {"Cf", "Mn"}:
        return 0.0
    if ord(char) < 0x0500 and unicodedata.east_asian_width(char) not in "WF":
        return _NARROW_OTHER if unicodedata.category(char) == "Ll" else 1.0
    return _WIDE_OTHER


def measure(text: str, style: str) -> float:
    """Return how wide a text is at most, in pixels."""
    size = SIZES[style][0] * (_BOLD_FACTOR if style in _BOLD else 1.0)
    return size * sum(map(_measure_character, text))


def shorten(text: str, style: str, width: float) -> str:
    """Return a text that is no wider, its middle left out: both ends of a name tell it apart."""
    text = " ".join(text.split())
    if measure(text, style) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        head = (kept + 1) // 2
        short = f"{text[:head]}…{text[len(text) - (kept - head) :]}"
        if measure(short, style) <= width:
            return short
    return "…"


def make_card(node: graphs.GraphNode, *, has_hosts: bool, has_addresses: bool) -> pictures.Card:
    """Return what a box says. ``has_hosts``: the machine is told; else a frame tells it.
    ``has_addresses``: its own address is told."""
    lines = _list_lines(node, has_hosts=has_hosts, has_addresses=has_addresses)
    room = WIDTH_MAX - TEXT_X - PAD_RIGHT
    rows = tuple(
        pictures.Row(text=shorten(row.text, row.style, room - _indent(row)), style=row.style)
        for row in lines
        if row.text
    )
    text_width = max(measure(row.text, row.style) + _indent(row) for row in rows)
    return pictures.Card(
        node=node,
        rows=rows,
        title=_describe(node),
        width=min(WIDTH_MAX, max(WIDTH_MIN, TEXT_X + text_width + PAD_RIGHT)),
        height=2 * PAD_Y + sum(SIZES[row.style][1] for row in rows),
    )


def _indent(row: pictures.Row) -> float:
    return 12.0 if row.style == "state" else 0.0  # the dot before it


def _list_lines(
    node: graphs.GraphNode, *, has_hosts: bool, has_addresses: bool
) -> list[pictures.Row]:
    name = node.id + (f"  \u00d7{node.replicas}" if node.replicas > 1 else "")
    words = [name_place(node)]
    if node.vantage != "outside":  # its place is its address
        words += [f":{port}" if port.isdigit() else port for port in node.ports]
    lines = [
        pictures.Row(text=name, style="task" if node.kind == "task" else "name"),
        pictures.Row(text="  ".join(word for word in words if word), style="note"),
    ]
    if has_addresses and node.address not in {None, words[0]} and node.kind != "task":
        lines.append(pictures.Row(text=node.address or "", style="address"))
    if has_hosts and node.host is not None:
        lines.append(pictures.Row(text=f"on {node.host}", style="note"))
    if node.state is not None:
        lines.append(pictures.Row(text=node.state, style="state"))
    return lines


def name_place(node: graphs.GraphNode) -> str:
    """Return in a word or two what runs there."""
    if node.kind == "task":
        return "task" if node.vantage != "container" else f"task {_name_image(node.place)}"
    if node.vantage == "outside":
        return node.place.removeprefix("external ") or "external"
    if node.place.startswith("attach"):
        return node.place.replace("attach", "attached", 1)
    if node.vantage == "container":
        return _name_image(node.place) or "container"
    if node.vantage == "isolated":
        return "isolated process"
    return node.place if node.place.startswith("systemd") else "process"


def _name_image(place: str) -> str:
    """Return an image without the registry and folders that it comes from."""
    image = place.removeprefix("docker ").partition(" on ")[0].strip()
    return image.rpartition("/")[2] or image


def _describe(node: graphs.GraphNode) -> str:
    lines = [node.id, f"{node.kind}, {name_place(node)}"]
    if node.vantage == "container" and node.place:
        lines[1] = f"{node.kind}, {node.place}"
    if node.host is not None:
        lines.append(f"on {node.host}")
    if node.replicas > 1:
        lines.append(f"{node.replicas} replicas")
    if node.ports:
        lines.append("ports " + ", ".join(node.ports))
    if node.address:
        lines.append(f"at {node.address}")
    if node.state is not None:
        lines.append(node.state)
    return "\n".join(lines)
