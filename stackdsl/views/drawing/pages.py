"""Pictures as a page: to move in, to search with keys and pointer, to print; needs nothing else."""

from stackdsl.model import graphs
from stackdsl.views.drawing import svg


def draw(view: graphs.GraphView) -> str:
    """Return a graph as an HTML document."""
    return svg.draw(view)
