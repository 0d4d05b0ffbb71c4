"""Drawings of what people hold in a notebook: by kind of content, the plain text always among."""

from stackdsl.model import stacks
from stackdsl.plan import graphs
from stackdsl.views import graphs as graph_views


def draw_stack(stack: stacks.StackModel) -> dict[str, str]:
    """Return the graph of who needs whom, as text."""
    if not stack.services:
        return {"text/plain": f'stack "{stack.name}": nothing in it; load(…) returns what it holds'}
    view = graphs.view_dependencies(stack)
    count = len(stack.services)
    head = f'stack "{stack.name}": {count} service{"s" if count > 1 else ""}'
    return {"text/plain": f"{head}\n\n{graph_views.graph_tree(view)}"}
