"""Graphs in every form: a tree for terminals, JSON for programs, diagrams and pictures."""

from collections.abc import Mapping, Sequence

from stackdsl.model import graphs
from stackdsl.views import diagrams


def graph_json(view: graphs.GraphView) -> dict[str, object]:
    """Return a graph as JSON values."""
    return {
        "nodes": [
            {"id": node.id, "kind": node.kind, "host": node.host, "state": node.state}
            for node in view.nodes
        ],
        "edges": [
            {
                "from": edge.source,
                "to": edge.target,
                "kind": edge.kind,
                "address": edge.address,
                "condition": edge.condition,
            }
            for edge in view.edges
        ],
    }


def graph_svg(view: graphs.GraphView) -> str:
    """Return a graph as an SVG document that needs nothing else; texts may hold any character."""
    from stackdsl.views.drawing import svg  # here: most who look at graphs want text

    return svg.draw(view)


def graph_html(view: graphs.GraphView) -> str:
    """Return a graph as an HTML page that needs nothing else: to move in, to search, to print."""
    from stackdsl.views.drawing import pages

    return pages.draw(view)


def graph_mermaid(view: graphs.GraphView) -> str:
    """Return a graph as a Mermaid flowchart; texts may hold any character."""
    return diagrams.make_mermaid(view)


def graph_dot(view: graphs.GraphView) -> str:
    """Return a graph in DOT, the language of Graphviz; texts may hold any character."""
    return diagrams.make_dot(view)


def graph_tree(view: graphs.GraphView) -> str:
    """Return a graph as a tree: what is needed stands below who needs it.

    A node's own branch is drawn once; wherever it comes up again it is marked "(above)". In a
    topology it is what machines run and which others they call.
    """
    if view.kind == "topology":
        view = _keep_machines(view)
    nodes = {node.id: node for node in view.nodes}
    below: dict[str, list[graphs.GraphEdge]] = {node.id: [] for node in view.nodes}
    for edge in view.edges:
        below[edge.source].append(edge)
    drawn: set[str] = set()
    lines: list[str] = []
    for root in _list_roots(view):
        if root not in drawn:
            lines.append(_describe_node(nodes[root]))
            drawn.add(root)
            _draw_branch(root, nodes, below, drawn, lines)
    return "\n".join(lines)


def _keep_machines(view: graphs.GraphView) -> graphs.GraphView:
    """Return a topology without the links between services."""
    machines = {node.id for node in view.nodes if node.kind == "host"}
    edges = tuple(edge for edge in view.edges if edge.source in machines)
    return graphs.GraphView(name=view.name, kind=view.kind, nodes=view.nodes, edges=edges)


def _list_roots(view: graphs.GraphView) -> list[str]:
    """Return where branches begin: whom nobody needs, then the rest for cycles' sake."""
    needed = {edge.target for edge in view.edges}
    names = [node.id for node in view.nodes]
    return sorted(names, key=lambda name: (name in needed, name))


def _draw_branch(
    root: str,
    nodes: Mapping[str, graphs.GraphNode],
    below: Mapping[str, Sequence[graphs.GraphEdge]],
    drawn: set[str],
    lines: list[str],
) -> None:
    """Draw what hangs below a node; without recursion, since chains may be long."""
    work = [(edge, "", edge is below[root][-1]) for edge in reversed(below[root])]
    while work:
        edge, indent, is_last = work.pop()
        is_again = edge.target in drawn
        text = _describe_node(nodes[edge.target])
        reason = _describe_need(edge)
        mark = " (above)" if is_again and below[edge.target] else ""
        connector = "└─ " if is_last else "├─ "
        lines.append(f"{indent}{connector}{text}{f'  {reason}' if reason else ''}{mark}")
        if is_again:
            continue
        drawn.add(edge.target)
        deeper = indent + ("   " if is_last else "│  ")
        own = below[edge.target]
        work.extend((child, deeper, child is own[-1]) for child in reversed(own))


def _describe_node(node: graphs.GraphNode) -> str:
    first = f"{node.id} \u00d7{node.replicas}" if node.replicas > 1 else node.id
    return " ".join([first, *(f"[{text}]" for text in diagrams.list_label(node)[1:])])


def _describe_need(edge: graphs.GraphEdge) -> str:
    """Return what a line of the tree says of a need; its words differ from those of a state."""
    words = diagrams.describe_edge(edge)
    return words if edge.condition in (None, "planned") else f"when {words}"
