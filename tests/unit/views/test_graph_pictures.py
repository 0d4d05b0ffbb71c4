"""Pictures of graphs, measured: what overlaps, what leaves its box, what runs through another."""

import itertools
import xml.etree.ElementTree as ET

import pytest

from stackdsl.model import graphs
from stackdsl.views import graphs as views
from tests.unit.views import drawings

# How wide letters and digits of wide fonts are on average, in font sizes: DejaVu Sans, bold or not.
# The real ones are measured by a browser in tests/integration/test_graph_renderers.py.
WIDE = {"name": 0.74, "task-name": 0.74, "note": 0.65, "address": 0.65, "state": 0.65}
SIZES = {"name": 13, "task-name": 13, "note": 11, "address": 11, "state": 11}

CASES = [
    pytest.param(shape, count, hosts, topology, id=f"{shape}-{count}-{hosts}-{kind}")
    for shape in drawings.SHAPES
    for count in (50, 120)
    for hosts, topology, kind in (
        (1, False, "dependency"),
        (1, True, "topology"),
        (9, True, "topology"),
    )
]


@pytest.fixture(scope="module")
def drawn() -> dict[tuple[str, int, int, bool], ET.Element]:
    return {}


@pytest.fixture
def root(
    request: pytest.FixtureRequest, drawn: dict[tuple[str, int, int, bool], ET.Element]
) -> ET.Element:
    """Return the picture of a case; each is drawn once."""
    shape, count, hosts, topology = request.param
    if request.param not in drawn:
        view = drawings.make_graph(shape, count, hosts=hosts, topology=topology, states=hosts > 1)
        drawn[request.param] = drawings.read(views.graph_svg(view))
    return drawn[request.param]


every_case = pytest.mark.parametrize(
    "root",
    [pytest.param(case.values, id=case.id) for case in CASES],
    indirect=True,
)


@every_case
def test_no_two_boxes_overlap(root: ET.Element) -> None:
    boxes = drawings.boxes_of(root)

    assert len(boxes) in {50, 120}
    assert [
        (a, b)
        for (a, one), (b, other) in itertools.combinations(boxes.items(), 2)
        if one.overlaps(other)
    ] == []


@every_case
def test_every_edge_begins_and_ends_at_its_boxes(root: ET.Element) -> None:
    boxes = drawings.boxes_of(root)

    for edge in drawings.find(root, "edge"):
        points = drawings.points_of(edge)
        for (x, y), name in ((points[0], "data-from"), (points[-1], "data-to")):
            box = boxes[edge.get(name, "")]
            assert min(abs(x - box.left), abs(x - box.right)) < 0.2
            assert box.top <= y <= box.bottom


@every_case
def test_no_edge_runs_through_a_box(root: ET.Element) -> None:
    boxes = drawings.boxes_of(root)
    crossed = set()

    for edge in drawings.find(root, "edge"):
        points = drawings.points_of(edge)
        reach = drawings.Area(
            min(x for x, _ in points), min(y for _, y in points),
            max(x for x, _ in points), max(y for _, y in points),
        )  # fmt: skip
        near = [(name, box) for name, box in boxes.items() if box.overlaps(reach, by=-1.0)]
        crossed |= {
            (edge.get("data-from"), edge.get("data-to"), name)
            for name, box in near
            for x, y in points
            if box.left + 0.2 < x < box.right - 0.2 and box.top - 2 < y < box.bottom + 2
        }

    assert crossed == set()


@every_case
def test_no_text_leaves_its_box(root: ET.Element) -> None:
    for node in drawings.find(root, "node"):
        box = drawings.area_of(drawings.find(node, "box")[0])
        for text in node.iter(f"{drawings.SVG}text"):
            assert box.holds(area_of_text(text)), text.text


def area_of_text(text: ET.Element) -> drawings.Area:
    """Return the room of a text in a wide font."""
    style = text.get("class", "")
    size, x, y = SIZES[style], float(text.get("x", 0)), float(text.get("y", 0))
    widths = [0.4 if char in "iljtfr.,:;'|! -()[]/" else 1.0 for char in text.text or ""]
    width = sum(widths) * size * WIDE[style]
    return drawings.Area(x, y - 0.76 * size, x + width, y + 0.24 * size)


@every_case
def test_labels_of_lines_overlap_neither_each_other_nor_boxes(root: ET.Element) -> None:
    boxes = list(drawings.boxes_of(root).values())
    labels = []
    for text in drawings.find(root, "label"):
        x, y = float(text.get("x", 0)), float(text.get("y", 0))
        half = len(text.text or "") * 10 * 0.62 / 2
        labels.append(drawings.Area(x - half, y - 7.6, x + half, y + 2.4))

    assert not [1 for a, b in itertools.combinations(labels, 2) if a.overlaps(b)]
    assert not [1 for label in labels for box in boxes if label.overlaps(box)]


@every_case
def test_boxes_stand_within_one_machine_each(root: ET.Element) -> None:
    frames = [
        drawings.area_of(one)
        for one in drawings.find(root, "frame")
        if "bridge" not in one.get("class", "")
    ]
    boxes = drawings.boxes_of(root).values()

    assert not [1 for a, b in itertools.combinations(frames, 2) if a.overlaps(b)]
    if frames:
        assert all(sum(frame.holds(box) for frame in frames) == 1 for box in boxes)


@every_case
def test_everything_stands_on_the_page(root: ET.Element) -> None:
    page = drawings.Area(0, 0, float(root.get("width", 0)), float(root.get("height", 0)))

    assert all(page.holds(box) for box in drawings.boxes_of(root).values())
    for edge in drawings.find(root, "edge"):
        assert all(page.holds(drawings.Area(x, y, x, y)) for x, y in drawings.points_of(edge))


def test_callers_stand_left_of_what_they_need() -> None:
    root = drawings.read(views.graph_svg(drawings.make_graph("layered", 50)))
    boxes = drawings.boxes_of(root)

    for edge in drawings.find(root, "edge"):
        if "planned" not in edge.get("class", ""):
            assert boxes[edge.get("data-from", "")].right < boxes[edge.get("data-to", "")].left


def test_containers_and_isolated_ones_stand_on_the_bridge_and_the_outside_apart() -> None:
    view = drawings.make_graph("layered", 50, hosts=3, topology=True)
    root = drawings.read(views.graph_svg(view))
    boxes = drawings.boxes_of(root)
    bridges = [drawings.area_of(one) for one in drawings.find(root, "bridge") if one.get("rx")]
    (outside,) = [
        drawings.area_of(one) for one in drawings.find(root, "outside") if one.get("rx") == "12"
    ]

    for node in view.nodes:
        if node.kind == "host":
            continue
        is_bridged = any(bridge.holds(boxes[node.id]) for bridge in bridges)
        assert is_bridged == (node.vantage in {"container", "isolated"})
        assert outside.holds(boxes[node.id]) == (node.host is None)


@pytest.mark.parametrize("kind", ["dependency", "topology"])
def test_texts_of_any_kind_stay_texts(kind: str) -> None:
    root = drawings.read(views.graph_svg(drawings.make_nasty(kind)))

    tags = {one.tag.removeprefix(drawings.SVG) for one in root.iter()}
    assert tags <= {"svg", "style", "rect", "text", "g", "path", "circle", "title"}
    assert not [key for one in root.iter() for key in one.attrib if key.startswith("on")]
    ids = {one.get("data-id", "") for one in drawings.find(root, "node")}
    assert {"</text><script>alert(1)</script>", "a & b &lt; c", "]]>"} <= ids


def test_a_page_holds_one_script_of_its_own_and_fetches_nothing() -> None:
    text = views.graph_html(drawings.make_nasty("topology"))

    assert text.count("<script") == 1
    assert "default-src 'none'" in text
    links = [word for word in ("href=", "src=", "url(", "@import") if word in text]
    assert links == []


def test_a_picture_fetches_nothing() -> None:
    text = views.graph_svg(drawings.make_graph("layered", 12))

    assert text.count("http") == text.count("http://www.w3.org/2000/svg") == 1


def test_the_same_graph_is_the_same_picture() -> None:
    view = drawings.make_graph("dense", 50)

    assert views.graph_svg(view) == views.graph_svg(view)


def test_an_edge_tells_its_address_and_reason_when_pointed_at() -> None:
    view = drawings.make_graph("star", 8)
    root = drawings.read(views.graph_svg(view))

    edge = next(one for one in view.edges if one.address and one.reason)
    title = next(
        one.findtext(f"{drawings.SVG}title", "")
        for one in drawings.find(root, "edge")
        if (one.get("data-from"), one.get("data-to")) == (edge.source, edge.target)
    )
    assert edge.address is not None
    assert edge.address in title
    assert edge.reason in title


def test_states_colour_boxes_and_stand_in_words_too() -> None:
    view = graphs.GraphView(
        name="shop", nodes=(graphs.GraphNode(id="api", kind="service", state="failed"),)
    )
    (node,) = drawings.find(drawings.read(views.graph_svg(view)), "node")

    assert "is-failed" in node.get("class", "")
    assert [text.text for text in drawings.find(node, "state")] == ["failed"]


def test_the_legend_names_what_occurs_and_nothing_else() -> None:
    root = drawings.read(views.graph_svg(drawings.make_graph("star", 2)))

    words = {text.text for text in drawings.find(root, "legend")}
    assert "planned: the address, without waiting" in words
    assert "WireGuard" not in words


def test_a_graph_of_nothing_is_a_picture_with_a_title() -> None:
    root = drawings.read(views.graph_svg(graphs.GraphView(name="empty")))

    assert [text.text for text in drawings.find(root, "title") if text.text] == ["empty"]


@pytest.mark.parametrize("topology", [False, True])
def test_two_services_that_need_each_other_are_drawn(topology: bool) -> None:
    edges = tuple(
        graphs.GraphEdge(source=a, target=b, kind="loopback", condition="planned")
        for a, b in (("a", "b"), ("b", "a"), ("a", "a"))
    )
    view = graphs.GraphView(
        name="ring",
        kind="topology" if topology else "dependency",
        nodes=tuple(graphs.GraphNode(id=one, kind="service", host="local") for one in "ab"),
        edges=edges,
    )
    root = drawings.read(views.graph_svg(view))

    assert len(drawings.find(root, "edge")) == 3
