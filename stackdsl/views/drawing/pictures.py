"""What a picture is made of: boxes, lines and frames with their places, in pixels."""

from typing import NamedTuple

from stackdsl.model import graphs
from stackdsl.model.data import dataclass

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of text in a box; ``style`` names how it is written."""

    text: str
    style: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What the box of a node says, and how large it must be for that."""

    node: graphs.GraphNode
    rows: tuple[Row, ...]
    title: str
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A card at its place; ``x`` and ``y`` are the upper left corner."""

    card: Card
    x: float
    y: float
    width: float
    height: float


class Style(NamedTuple):
    """What tells lines apart: lines of one style that lead to one box are drawn as one at its
    end, with one arrow and one label."""

    kind: str
    is_planned: bool
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A part of a line: straight where both y are alike, else bent with level ends."""

    start: Point
    end: Point
    bulge: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An edge's line from box to box. ``heading`` is 1 where its arrow points right, -1 left."""

    edge: graphs.GraphEdge
    style: Style
    curves: tuple[Curve, ...]
    heading: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """Where lines of one style arrive at a box; the label stands above the last level part."""

    target: str
    style: Style
    tip: Point
    heading: int
    label_x: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A group of boxes: a machine, the bridge within it, or what is outside the stack."""

    kind: str
    label: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What stands above columns of one stage."""

    text: str
    x: float
    y: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Everything in its place; the origin is the upper left corner."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    routes: tuple[Route, ...]
    arrows: tuple[Arrow, ...]
    frames: tuple[Frame, ...]
    headings: tuple[Heading, ...]
