"""Graphs as text: a tree for terminals, Mermaid and DOT for documents, JSON for programs."""

from collections.abc import Mapping, Sequence

from stackdsl.model import graphs

_MERMAID_ESCAPES = {ord(char): f"#{ord(char)};" for char in '"#&<>[]{}()|`\\'}
_NODE_SHAPES = {"task": ("([", "])"), "host": ("[[", "]]")}
_DOT_SHAPES = {"task": "oval", "host": "box3d"}


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


def graph_tree(view: graphs.GraphView) -> str:
    """Return a graph as a tree: what is needed stands below who needs it.

    A node's own branch is drawn once; wherever it comes up again it is marked "(above)".
    """
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


def graph_mermaid(view: graphs.GraphView) -> str:
    """Return a graph as a Mermaid flowchart; names may hold any character.

    Source: mermaid.js.org/syntax/flowchart.html (entity codes inside quoted labels).
    """
    ids = _number_nodes(view)
    lines = ["flowchart LR"]
    for node in view.nodes:
        opening, closing = _NODE_SHAPES.get(node.kind, ("[", "]"))
        rows = "<br/>".join(text.translate(_MERMAID_ESCAPES) for text in _list_label(node))
        lines.append(f'  {ids[node.id]}{opening}"{rows}"{closing}')
    for edge in view.edges:
        arrow = "-.->" if edge.condition == "planned" else "-->"
        label = _describe_edge(edge).translate(_MERMAID_ESCAPES)
        text = f'|"{label}"|' if label else ""
        lines.append(f"  {ids[edge.source]} {arrow}{text} {ids[edge.target]}")
    return "\n".join(lines)


def graph_dot(view: graphs.GraphView) -> str:
    """Return a graph in DOT, the language of Graphviz.

    Source: graphviz.org/doc/info/lang.html (quoted strings).
    """
    lines = [f"digraph {_quote(view.name)} {{", "  rankdir=LR;"]
    for node in view.nodes:
        label = "\\n".join(_escape(text) for text in _list_label(node))
        shape = _DOT_SHAPES.get(node.kind, "box")
        lines.append(f'  {_quote(node.id)} [label="{label}", shape={shape}];')
    for edge in view.edges:
        style = ", style=dashed" if edge.condition == "planned" else ""
        label = _quote(_describe_edge(edge))
        ends = f"{_quote(edge.source)} -> {_quote(edge.target)}"
        lines.append(f"  {ends} [label={label}{style}];")
    return "\n".join([*lines, "}"])


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
    return " ".join([node.id, *(f"[{text}]" for text in _list_label(node)[1:])])


def _list_label(node: graphs.GraphNode) -> list[str]:
    """Return a node's name and what else is known of it, a line each."""
    lines = [node.id.removeprefix("host:") if node.kind == "host" else node.id]
    if node.kind != "service":
        lines.append(node.kind)
    if node.host is not None:
        lines.append(node.host)
    elif node.kind == "service":
        lines.append("external")
    if node.state is not None:
        lines.append(node.state)
    return lines


def _describe_need(edge: graphs.GraphEdge) -> str:
    """Return what a line of the tree says of a need; its words differ from those of a state."""
    words = _describe_edge(edge)
    return words if edge.condition in (None, "planned") else f"when {words}"


def _describe_edge(edge: graphs.GraphEdge) -> str:
    words = [edge.condition or edge.kind, edge.address or ""]
    return " ".join(word for word in words if word)


def _number_nodes(view: graphs.GraphView) -> dict[str, str]:
    return {node.id: f"n{number}" for number, node in enumerate(view.nodes)}


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _quote(text: str) -> str:
    return f'"{_escape(text)}"'
