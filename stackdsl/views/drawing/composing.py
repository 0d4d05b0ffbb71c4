"""From a graph to a picture: columns, lanes, heights, lines and frames, one after the other."""

from collections.abc import Mapping, Sequence

from stackdsl.model import graphs
from stackdsl.views.drawing import (
    cards,
    layering,
    pictures,
    positioning,
    routing,
    weaving,
)

MARGIN = 28.0
_TITLE = 64.0
_STAGE_HEADING = 40.0
_NO_HEADING = 14.0
_FRAME_PAD = 16.0
_FRAME_HEADER = 30.0
_BRIDGE_HEADER = 26.0
_FRAME_GAP = 22.0
_REFINEMENTS = 2


def compose(view: graphs.GraphView) -> pictures.Picture:
    """Return a picture of a graph; O(V² + E log E) for the sizes that people look at."""
    nodes = [node for node in view.nodes if node.kind != "host"]
    names = {node.id for node in nodes}
    edges = [edge for edge in view.edges if edge.source in names and edge.target in names]
    has_lanes = view.kind == "topology"
    made = _make_cards(nodes, has_lanes=has_lanes)
    grid = layering.make_grid(nodes, edges, has_lanes=has_lanes)
    said = {node.id: node.address for node in nodes if has_lanes}
    styles = {edge: _find_style(edge, view.kind, said.get(edge.target)) for edge in edges}
    cloth = weaving.weave(grid, edges, styles)
    arrivals = routing.list_arrivals(cloth)
    height_of = {
        name: max(card.height, routing.measure_box(name, cloth, arrivals))
        for name, card in made.items()
    }
    needed = positioning.measure_bands(cloth, height_of)
    has_stages = len(set(grid.stages)) > 1
    top = _TITLE + (_STAGE_HEADING if has_stages else _NO_HEADING)
    spans, bottom = _stack_bands(grid.lanes, needed, top, has_frames=has_lanes)
    y_of = _place(cloth, made, height_of, spans)
    channels = routing.measure_channels(cloth, arrivals, y_of)
    columns = _place_columns(grid, made, channels, has_frames=has_lanes)
    boxes = positioning.make_boxes(cloth, made, height_of, y_of, columns)
    routes, arrows = routing.route(cloth, boxes, y_of, columns, channels)
    width = columns[-1][0] + columns[-1][1] + channels[-1].width if columns else 0.0
    frames = _make_frames(view, grid, spans, boxes) if has_lanes else ()
    return pictures.Picture(
        width=width + MARGIN + (_FRAME_PAD if has_lanes else 0.0),
        height=bottom + MARGIN,
        boxes=tuple(boxes[name] for name in sorted(boxes)),
        routes=tuple(routes),
        arrows=tuple(arrows),
        frames=frames,
        headings=_head_stages(grid, columns) if has_stages else (),
    )


def _place(
    cloth: weaving.Cloth,
    made: Mapping[str, pictures.Card],
    height_of: Mapping[str, float],
    spans: Mapping[int, positioning.Span],
) -> dict[weaving.Item, float]:
    """Return all heights: first by middles, then such that lines that can be level are."""
    y_of = positioning.place_items(cloth, height_of, spans, {})
    for _ in range(_REFINEMENTS):
        columns = [(0.0, 0.0)] * len(cloth.columns)
        boxes = positioning.make_boxes(cloth, made, height_of, y_of, columns)
        offsets = routing.measure_offsets(cloth, boxes, y_of)
        y_of = positioning.place_items(cloth, height_of, spans, offsets)
    return y_of


def _make_cards(nodes: Sequence[graphs.GraphNode], *, has_lanes: bool) -> dict[str, pictures.Card]:
    several = len({node.host for node in nodes if node.host is not None}) > 1
    return {
        node.id: cards.make_card(node, has_hosts=several and not has_lanes, has_addresses=has_lanes)
        for node in nodes
    }


def _find_style(edge: graphs.GraphEdge, kind: str, said: str | None) -> pictures.Style:
    """Return how a line is drawn: its label is the condition, or in a topology the address, if
    that is not the one that the box says."""
    label = edge.condition if kind == "dependency" else edge.address
    label = None if label == said else label
    return pictures.Style(
        kind=edge.kind,
        is_planned=edge.condition == "planned",
        label=cards.shorten(label or "", "label", 150.0),
    )


def _stack_bands(
    lanes: Sequence[layering.Lane], needed: Mapping[int, float], top: float, *, has_frames: bool
) -> tuple[dict[int, positioning.Span], float]:
    """Return each band's upper and lower end, and where the last one ends."""
    spans: dict[int, positioning.Span] = {}
    y = top

    def add(band: int) -> None:
        nonlocal y
        spans[band] = positioning.Span(top=y, bottom=y + needed.get(band, 0.0))
        y += needed.get(band, 0.0)

    for index, lane in enumerate(lanes):
        before = lanes[index - 1].host if index else None
        is_first = before != lane.host
        if has_frames and is_first and index:
            y += _FRAME_PAD + _FRAME_GAP
        elif has_frames and index:
            y += _FRAME_PAD
        add(2 * index)
        if has_frames:
            y += _FRAME_HEADER if is_first else 0.0
            y += _BRIDGE_HEADER if lane.is_bridge else 0.0
        add(2 * index + 1)
        if has_frames and lane.is_bridge:
            y += _FRAME_PAD
    y += _FRAME_PAD if has_frames else 0.0
    add(2 * len(lanes))
    return spans, y


def _place_columns(
    grid: layering.Grid,
    made: Mapping[str, pictures.Card],
    channels: Sequence[routing.Channel],
    *,
    has_frames: bool,
) -> list[tuple[float, float]]:
    """Return each column's left end and width."""
    widths = [0.0] * len(grid.stages)
    for name, column in grid.column_of.items():
        widths[column] = max(widths[column], made[name].width)
    x = MARGIN + (2 * _FRAME_PAD if has_frames else 0.0)
    columns: list[tuple[float, float]] = []
    for width, channel in zip(widths, channels, strict=True):
        columns.append((x, width))
        x += width + max(channel.width, 2 * _FRAME_PAD if has_frames else MARGIN)
    return columns


def _make_frames(
    view: graphs.GraphView,
    grid: layering.Grid,
    spans: Mapping[int, positioning.Span],
    boxes: Mapping[str, pictures.Box],
) -> tuple[pictures.Frame, ...]:
    """Return a frame for each machine, for each bridge within one, and for what is outside."""
    if not boxes:
        return ()
    left = min(box.x for box in boxes.values()) - 2 * _FRAME_PAD
    right = max(box.x + box.width for box in boxes.values()) + 2 * _FRAME_PAD
    networks = {node.id.removeprefix("host:"): node.address for node in view.nodes}
    frames: list[pictures.Frame] = []
    for host in dict.fromkeys(lane.host for lane in grid.lanes):
        own = [index for index, lane in enumerate(grid.lanes) if lane.host == host]
        is_outside = host == layering.OUTSIDE
        top = spans[2 * own[0] + 1].top - _FRAME_HEADER
        if grid.lanes[own[0]].is_bridge:
            top -= _BRIDGE_HEADER
        last = grid.lanes[own[-1]]
        bottom = spans[2 * own[-1] + 1].bottom + _FRAME_PAD * (2 if last.is_bridge else 1)
        frames.append(
            pictures.Frame(
                kind="outside" if is_outside else "host",
                label="outside the stack" if is_outside else host,
                x=left,
                y=top,
                width=right - left,
                height=bottom - top,
            )
        )
        if last.is_bridge:
            frames.append(_frame_bridge(networks.get(host), spans[2 * own[-1] + 1], left, right))
    return tuple(frames)


def _frame_bridge(
    network: str | None, span: positioning.Span, left: float, right: float
) -> pictures.Frame:
    """Return the frame of a bridge, within that of its machine."""
    return pictures.Frame(
        kind="bridge",
        label=f"bridge {network}" if network else "bridge",
        x=left + _FRAME_PAD / 2,
        y=span.top - _BRIDGE_HEADER,
        width=right - left - _FRAME_PAD,
        height=span.bottom - span.top + _BRIDGE_HEADER + _FRAME_PAD,
    )


def _head_stages(
    grid: layering.Grid, columns: Sequence[tuple[float, float]]
) -> tuple[pictures.Heading, ...]:
    """Return a heading over the columns of each stage."""
    headings: list[pictures.Heading] = []
    for stage in dict.fromkeys(grid.stages):
        own = [columns[index] for index, one in enumerate(grid.stages) if one == stage]
        left, right = own[0][0], own[-1][0] + own[-1][1]
        text = "starts first" if stage == 0 else f"stage {stage}"
        headings.append(pictures.Heading(text=text, x=left, y=_TITLE + 6.0, width=right - left))
    return tuple(headings)
