"""Pictures as SVG: one file that needs nothing else, on light and on dark, on screen and paper."""

import html
import re
import zlib
from collections.abc import Iterable

from stackdsl.model import graphs
from stackdsl.views.drawing import cards, composing, legends, palettes, pictures

_ROUNDING = 8.0
# XML 1.0 has no way to write these (www.w3.org/TR/xml/#charsets).
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Icons of 16 by 16: how a service stands on its machine; a task.
ICONS = {
    "native": "M2 3.5h12v9H2zM4.5 6.2l2 1.8-2 1.8M8.5 10h3",
    "container": "M8 1.8l5.6 3v6.4L8 14.2l-5.6-3V4.8zM2.4 4.8L8 7.8l5.6-3M8 7.8v6.4",
    "isolated": "M8 1.8l5.2 1.9v3.8c0 3.2-2.2 5.7-5.2 6.7-3-1-5.2-3.5-5.2-6.7V3.7zM6 7.8l1.5 1.5"
    "L10.2 6.4",
    "outside": "M4.6 12.5a3 3 0 0 1-.3-6 4 4 0 0 1 7.6-.5 3.3 3.3 0 0 1-.3 6.5z",
    "task": "M8 2a6 6 0 1 1-5.2 3M2.5 2v3.2h3.2M5.6 8.2l1.7 1.7 3.2-3.6",
}


def draw(view: graphs.GraphView) -> str:
    """Return a graph as an SVG document; names and all other texts may hold any character."""
    picture = composing.compose(view)
    scope = f"sd{zlib.crc32(repr(view).encode('utf-8', 'replace')):08x}"
    legend, size = legends.make_legend(picture, _draw_icon)
    subtitle = legends.describe(view)
    room = max(legends.measure_title(view.name), cards.measure(subtitle, "note") * 1.1)
    width = max(picture.width, size[0] + 2 * composing.MARGIN, room + 2 * composing.MARGIN)
    height = picture.height + size[1]
    shift = max(0.0, (width - picture.width) / 2)
    title = legends.shorten_title(view.name)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="{scope}" role="img"'
            f' aria-label="{escape(f"{view.name}: {subtitle}")}"'
            f' width="{number(width)}" height="{number(height)}"'
            f' viewBox="0 0 {number(width)} {number(height)}">'
        ),
        f"<style>{palettes.make_sheet(f'.{scope}')}</style>",
        f'<rect class="page" width="{number(width)}" height="{number(height)}"/>',
        f'<text class="title" x="{composing.MARGIN}" y="36">{escape(title)}</text>',
        f'<text class="subtitle" x="{composing.MARGIN}" y="54">{escape(subtitle)}</text>',
        f'<g transform="translate({number(shift)} 0)">',
        *_draw_layers(picture),
        "</g>",
        f'<g class="legend" transform="translate({composing.MARGIN} {number(picture.height)})">',
        *legend,
        "</g></svg>",
    ]
    return "\n".join(part for part in parts if part)


def _draw_layers(picture: pictures.Picture) -> list[str]:
    """Return everything but the words around it, what lies below first."""
    return [
        *_draw_headings(picture.headings),
        *map(_draw_frame, picture.frames),
        '<g class="lines">',
        *_draw_lines(picture.routes),
        *map(_draw_head, picture.arrows),
        '</g><g class="edges">',
        *map(_draw_edge, picture.routes),
        '</g><g class="nodes">',
        *map(_draw_box, picture.boxes),
        '</g><g class="labels">',
        *map(_draw_frame_label, picture.frames),
        *map(_draw_label, picture.arrows),
        "</g>",
    ]


def escape(text: str) -> str:
    """Return a text that stands for itself in XML and HTML, in attributes too."""
    return html.escape(_UNWRITABLE.sub("\ufffd", text), quote=True)


def number(value: float) -> str:
    """Return a number with one digit after the point, or none."""
    return f"{value:.1f}".removesuffix(".0")


def _draw_headings(headings: Iterable[pictures.Heading]) -> list[str]:
    lines: list[str] = []
    for one in headings:
        y, right = one.y + 20.0, one.x + one.width
        text = cards.shorten(one.text, "note", one.width)
        lines.append(
            f'<text class="heading" x="{number(one.x + one.width / 2)}" y="{number(one.y + 13)}">'
            f"{escape(text)}</text>"
            f'<path class="rule" d="M{number(one.x)} {number(y)}H{number(right)}"/>'
        )
    return lines


def _draw_frame(frame: pictures.Frame) -> str:
    return (
        f'<rect class="frame {frame.kind}" x="{number(frame.x)}" y="{number(frame.y)}"'
        f' width="{number(frame.width)}" height="{number(frame.height)}" rx="12"/>'
    )


def _draw_frame_label(frame: pictures.Frame) -> str:
    text = cards.shorten(frame.label, "frame", frame.width - 28.0)
    return (
        f'<text class="frame-label" x="{number(frame.x + 14)}" y="{number(frame.y + 19)}">'
        f"{escape(text)}</text>"
    )


def _draw_lines(routes: Iterable[pictures.Route]) -> list[str]:
    """Return what is seen of lines: parts that several share are drawn once, else dashes of one
    would fill the gaps of the other."""
    seen: set[tuple[pictures.Curve, pictures.Style]] = set()
    lines: list[str] = []
    for route in routes:
        run: list[pictures.Curve] = []
        for curve in route.curves:
            if (curve, route.style) not in seen:
                seen.add((curve, route.style))
                run.append(curve)
            elif run:
                lines.append(_draw_run(run, route.style))
                run = []
        if run:
            lines.append(_draw_run(run, route.style))
    return lines


def _draw_run(run: list[pictures.Curve], style: pictures.Style) -> str:
    return f'<path class="line {name_style(style)}" d="{trace(run)}"/>'


def name_style(style: pictures.Style) -> str:
    """Return the classes of a style."""
    kind = style.kind if style.kind in palettes.LINES else "needs"
    return f"{kind} planned" if style.is_planned else kind


def trace(curves: Iterable[pictures.Curve]) -> str:
    """Return curves that follow each other as the data of a path."""
    words: list[str] = []
    for curve in curves:
        (x, y), (end_x, end_y) = curve.start, curve.end
        if not words:
            words.append(f"M{number(x)} {number(y)}")
        if curve.bulge is None and abs(y - end_y) < 0.05:
            words.append(f"H{number(end_x)}")
            continue
        first = (x + end_x) / 2 if curve.bulge is None else x + curve.bulge
        second = (x + end_x) / 2 if curve.bulge is None else end_x + curve.bulge
        words.append(
            f"C{number(first)} {number(y)} {number(second)} {number(end_y)}"
            f" {number(end_x)} {number(end_y)}"
        )
    return "".join(words)


def _draw_head(arrow: pictures.Arrow) -> str:
    x, y = arrow.tip
    back = x - 8.0 * arrow.heading
    return (
        f'<path class="head {name_style(arrow.style)}"'
        f' d="M{number(x)} {number(y)}L{number(back)} {number(y - 3.8)}V{number(y + 3.8)}Z"/>'
    )


def _draw_label(arrow: pictures.Arrow) -> str:
    if not arrow.style.label:
        return ""
    return (
        f'<text class="label {name_style(arrow.style)}" data-to="{escape(arrow.target)}"'
        f' x="{number(arrow.label_x)}" y="{number(arrow.tip[1] - 3)}">'
        f"{escape(arrow.style.label)}</text>"
    )


def _draw_edge(route: pictures.Route) -> str:
    """Return what of an edge is pointed at: its whole line, wide and unseen, and what it says."""
    edge = route.edge
    words = [f"{edge.source} → {edge.target}"]
    words += [edge.address] if edge.address else []
    line = palettes.LINES.get(edge.kind)
    words.append(", ".join(part for part in (line and line[0], edge.condition) if part))
    words += [edge.reason] if edge.reason else []
    return (
        f'<path class="edge {name_style(route.style)}" data-from="{escape(edge.source)}"'
        f' data-to="{escape(edge.target)}" d="{trace(route.curves)}">'
        f"<title>{escape(chr(10).join(words))}</title></path>"
    )


def _draw_box(box: pictures.Box) -> str:
    node = box.card.node
    rounding = box.height / 2 if node.kind == "task" else _ROUNDING
    rounding = min(rounding, 24.0)
    classes = ["node", node.vantage, "task" if node.kind == "task" else "service"]
    if node.state in palettes.STATES:
        classes.append(f"is-{node.state}")
    parts = [
        (
            f'<g class="{" ".join(classes)}" data-id="{escape(node.id)}"><title>'
            f"{escape(box.card.title)}</title>"
        ),
        (
            f'<rect class="box" x="{number(box.x)}" y="{number(box.y)}" width="{number(box.width)}"'
            f' height="{number(box.height)}" rx="{number(rounding)}"/>'
        ),
    ]
    y = box.y + (box.height - box.card.height) / 2 + cards.PAD_Y
    icon = "task" if node.kind == "task" else node.vantage
    parts.append(_draw_icon(icon, box.x + 11.0, y + 1.5))
    for row in box.card.rows:
        size, line = cards.SIZES[row.style]
        baseline = y + line / 2 + size * 0.36
        x = box.x + cards.TEXT_X
        if row.style == "state":
            parts.append(
                f'<circle class="dot is-{escape(row.text)}" cx="{number(x + 4)}"'
                f' cy="{number(baseline - 4)}" r="4"/>'
            )
            x += 12.0
        style = "task-name" if row.style == "task" else row.style
        parts.append(
            f'<text class="{style}" x="{number(x)}" y="{number(baseline)}">'
            f"{escape(row.text)}</text>"
        )
        y += line
    return "".join([*parts, "</g>"])


def _draw_icon(name: str, x: float, y: float) -> str:
    return f'<path class="icon" transform="translate({number(x)} {number(y)})" d="{ICONS[name]}"/>'
