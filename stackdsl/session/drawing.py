"""Drawings of what people hold in a notebook: by kind of content, the plain text always among."""

import base64
import re

from stackdsl.model import stacks
from stackdsl.plan import graphs
from stackdsl.views import graphs as graph_views

# A wide picture shrinks to the cell's width down to this; then it is scrolled.
_SHRUNK_MIN = 0.65
_WIDTH = re.compile(r'\bwidth="([\d.]+)"')


def draw_stack(stack: stacks.StackModel) -> dict[str, str]:
    """Return the graph of who needs whom, as a picture and as text."""
    if not stack.services:
        return {"text/plain": f'stack "{stack.name}": nothing in it; load(…) returns what it holds'}
    view = graphs.view_dependencies(stack)
    count = len(stack.services)
    head = f'stack "{stack.name}": {count} service{"s" if count > 1 else ""}'
    picture = graph_views.graph_svg(view)
    return {
        "text/plain": f"{head}\n\n{graph_views.graph_tree(view)}",
        "text/html": _frame(picture),
        "image/svg+xml": picture,
    }


def _frame(svg: str) -> str:
    """Return an SVG document for a page, no wider than the page. As an image, not inline: only so
    it is dark where the page is, whatever the reader's screen is set to."""
    found = _WIDTH.search(svg)
    width = float(found[1]) if found else 0.0
    data = base64.b64encode(svg.encode()).decode()
    return (
        '<div style="overflow-x: auto"><img alt="graph" style="height: auto; max-width:'
        f' max(100%, {width * _SHRUNK_MIN:.0f}px)" src="data:image/svg+xml;base64,{data}"></div>'
    )
