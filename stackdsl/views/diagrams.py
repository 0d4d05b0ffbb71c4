"""Graphs for other programs to draw: Mermaid for documents, DOT for Graphviz."""

import re
from collections.abc import Mapping, Sequence

from stackdsl.model import graphs
from stackdsl.model.data import dataclass
from stackdsl.views.drawing import palettes

_CONTROLS = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
# Entities are read as Markdown once they are decoded: a backslash must stand before no punctuation,
# and backticks have no way to stand for themselves.
_MERMAID_ESCAPES = {ord(char): f"#{ord(char)};" for char in "\"#&;<>[]{}()|'*~$%"}
_MERMAID_ESCAPES |= {ord("\\"): "#92;#8203;", ord("`"): "\u02cb"}
# Mermaid takes the last semicolon off a line that looks like a style.
_LIKE_A_STYLE = re.compile("style|classDef")
_MERMAID_SHAPES = {
    "task": ("([", "])"), "host": ("[[", "]]"), "container": ("[[", "]]"),
    "isolated": ("{{", "}}"), "outside": ("(", ")"), "native": ("[", "]"),
}  # fmt: skip
_DOT_SHAPES = {"task": "oval", "host": "box3d", "container": "box3d"}
_CLUSTER_COLOR = "#d3dae3"
_CLUSTER_FILL = "#f5f7fa"
_BRIDGE_COLOR = "#9fcbc6"
_BRIDGE_FILL = "#ebf5f4"
_TUNNEL, _EXTERNAL = "tunnel", "external"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """A machine and what it runs, what is on its bridge apart; or what is on no machine drawn."""

    machine: graphs.GraphNode | None
    natives: tuple[graphs.GraphNode, ...]
    bridged: tuple[graphs.GraphNode, ...] = ()


def make_mermaid(view: graphs.GraphView) -> str:
    """Return a graph as a Mermaid flowchart; names may hold any character.

    Source: mermaid.js.org/syntax/flowchart.html (entity codes inside quoted labels).
    """
    ids = {node.id: f"n{number}" for number, node in enumerate(view.nodes)}
    lines, styles = ["flowchart LR"], []
    for group in _group(view):
        if group.machine is None:
            lines += [f"  {_mermaid_node(node, ids)}" for node in group.natives]
            continue
        own = ids[group.machine.id]
        styles.append(f"  style {own} fill:{_CLUSTER_FILL},stroke:{_CLUSTER_COLOR}")
        lines.append(f'  subgraph {own}["{_quote_mermaid(list_label(group.machine)[:1])}"]')
        lines += [f"    {_mermaid_node(node, ids, is_grouped=True)}" for node in group.natives]
        if group.bridged:
            words = _name_bridge(group.machine)
            styles.append(f"  style {own}b fill:{_BRIDGE_FILL},stroke:{_BRIDGE_COLOR}")
            lines.append(f'    subgraph {own}b["{_quote_mermaid([words])}"]')
            lines += [
                f"      {_mermaid_node(node, ids, is_grouped=True)}" for node in group.bridged
            ]
            lines.append("    end")
        lines.append("  end")
    edges = list_drawn(view)
    for edge in edges:
        arrow = "-.->" if edge.condition == "planned" else "-->"
        label = _quote_mermaid([describe_edge(edge)])
        text = f'|"{label}"|' if label else ""
        lines.append(f"  {ids[edge.source]} {arrow}{text} {ids[edge.target]}")
    return "\n".join([*lines, *styles, *_mermaid_styles(view, edges)])


def make_dot(view: graphs.GraphView) -> str:
    """Return a graph in DOT, the language of Graphviz.

    Source: graphviz.org/doc/info/lang.html (quoted strings).
    """
    lines = [
        f"digraph {_quote(view.name)} {{",
        '  rankdir=LR; fontname="Helvetica";',
        '  node [fontname="Helvetica", fontsize=11, style="rounded,filled", fillcolor="white"];',
        '  edge [fontname="Helvetica", fontsize=9];',
    ]
    for number, group in enumerate(_group(view)):
        if group.machine is None:
            lines += [f"  {_dot_node(node)}" for node in group.natives]
            continue
        lines.append(f"  subgraph cluster_{number} {{")
        label = _label(list_label(group.machine)[:1])
        lines.append(f"    label={label}; {_dot_cluster(_CLUSTER_COLOR, _CLUSTER_FILL)}")
        lines += [f"    {_dot_node(node, is_grouped=True)}" for node in group.natives]
        if group.bridged:
            lines.append(f"    subgraph cluster_{number}_bridge {{")
            label = _label([_name_bridge(group.machine)])
            lines.append(f"      label={label}; {_dot_cluster(_BRIDGE_COLOR, _BRIDGE_FILL)}")
            lines += [f"      {_dot_node(node, is_grouped=True)}" for node in group.bridged]
            lines.append("    }")
        if not group.natives and not group.bridged:
            lines.append(f"    {_dot_node(group.machine)}")  # Graphviz leaves out empty clusters
        lines.append("  }")
    lines += [f"  {_dot_edge(edge)}" for edge in list_drawn(view)]
    return "\n".join([*lines, "}"])


def list_drawn(view: graphs.GraphView) -> list[graphs.GraphEdge]:
    """Return the edges that are lines; that a machine runs something is told by a group."""
    machines = {node.id for node in view.nodes if node.kind == "host"}
    return [one for one in view.edges if one.source not in machines and one.target not in machines]


def list_label(node: graphs.GraphNode) -> list[str]:
    """Return a node's name and what else is known of it, a line each."""
    lines = [node.id.removeprefix("host:") if node.kind == "host" else node.id]
    if node.replicas > 1:
        lines[0] += f" \u00d7{node.replicas}"
    if node.kind != "service":
        lines.append(node.kind)
    if node.vantage == "container" and node.place:
        lines.append(node.place)
    elif node.vantage == "isolated":
        lines.append("isolated")
    if node.host is not None:
        lines.append(node.host)
    elif node.kind == "service":
        lines.append("external")
    if node.state is not None:
        lines.append(node.state)
    return lines


def describe_edge(edge: graphs.GraphEdge) -> str:
    """Return what is written at a line: the condition, else the kind, and the address."""
    words = [edge.condition or edge.kind, edge.address or ""]
    return " ".join(word for word in words if word)


def _group(view: graphs.GraphView) -> list[_Group]:
    runs: dict[str, list[str]] = {node.id: [] for node in view.nodes if node.kind == "host"}
    for edge in view.edges:
        if edge.kind == "runs" and edge.source in runs:
            runs[edge.source].append(edge.target)
    nodes = {node.id: node for node in view.nodes}
    placed = {name for names in runs.values() for name in names} | set(runs)
    groups = [
        _Group(
            machine=nodes[machine],
            natives=tuple(nodes[name] for name in names if not _is_bridged(nodes[name])),
            bridged=tuple(nodes[name] for name in names if _is_bridged(nodes[name])),
        )
        for machine, names in runs.items()
    ]
    rest = tuple(node for node in view.nodes if node.id not in placed)
    return [*groups, _Group(machine=None, natives=rest)]


def _is_bridged(node: graphs.GraphNode) -> bool:
    return node.vantage in {"container", "isolated"}


def _name_bridge(machine: graphs.GraphNode) -> str:
    return f"bridge {machine.address}" if machine.address else "bridge"


def _list_rows(node: graphs.GraphNode, *, is_grouped: bool) -> list[str]:
    """Return a node's label; a group tells the machine."""
    rows = list_label(node)
    if is_grouped:
        rows = [row for place, row in enumerate(rows) if place == 0 or row != node.host]
        rows += [node.address] if node.address else []
    return rows


def _clean(text: str) -> str:
    return _CONTROLS.sub("\ufffd", text.replace("\r", "\n"))


def _quote_mermaid(rows: Sequence[str]) -> str:
    text = "<br/>".join(_clean(" ".join(row.split())).translate(_MERMAID_ESCAPES) for row in rows)
    return text.replace(":", "#58;") if _LIKE_A_STYLE.search(text) else text


def _mermaid_node(
    node: graphs.GraphNode, ids: Mapping[str, str], *, is_grouped: bool = False
) -> str:
    shape = node.kind if node.kind in _MERMAID_SHAPES else node.vantage
    opening, closing = _MERMAID_SHAPES[shape]
    label = _quote_mermaid(_list_rows(node, is_grouped=is_grouped))
    state = f":::{node.state}" if node.state in palettes.STATES else ""
    return f'{ids[node.id]}{opening}"{label}"{closing}{state}'


def _mermaid_styles(view: graphs.GraphView, edges: Sequence[graphs.GraphEdge]) -> list[str]:
    """Return the colours of lines by their kind, and of nodes by their state."""
    lines: list[str] = []
    for kind, (_, color, _, dashes, _) in palettes.LINES.items():
        own = [str(number) for number, edge in enumerate(edges) if edge.kind == kind]
        dash = f",stroke-dasharray:{dashes}" if dashes else ""
        if own:
            lines.append(f"  linkStyle {','.join(own)} stroke:{color}{dash}")
    present = {node.state for node in view.nodes}
    for state, (color, tint, _, _) in palettes.STATES.items():
        if state in present:
            lines.append(f"  classDef {state} fill:{tint},stroke:{color},color:#1b2430")
    return lines


def _dot_cluster(color: str, fill: str) -> str:
    return f'style="rounded,filled"; color="{color}"; fillcolor="{fill}"; fontsize=12;'


def _dot_node(node: graphs.GraphNode, *, is_grouped: bool = False) -> str:
    label = _label(_list_rows(node, is_grouped=is_grouped))
    shape = _DOT_SHAPES.get(node.kind) or _DOT_SHAPES.get(node.vantage, "box")
    more = ""
    if node.kind == "service" and node.vantage == "outside":
        more = ', style="rounded,dashed"'
    elif node.vantage == "isolated":
        more = ", peripheries=2"
    elif shape != "box":
        more = ', style="filled"'
    if node.state is not None and node.state in palettes.STATES:
        color, tint, _, _ = palettes.STATES[node.state]
        more += f', color="{color}", fillcolor="{tint}"'
    return f"{_quote(node.id)} [label={label}, shape={shape}{more}];"


def _dot_edge(edge: graphs.GraphEdge) -> str:
    words = describe_edge(edge)
    style = "dashed" if edge.condition == "planned" else ""
    style = style or {_TUNNEL: "dotted", _EXTERNAL: "dashed"}.get(edge.kind, "")
    parts = [f"label={_label([words])}", f"tooltip={_label([words, edge.reason])}"]
    line = palettes.LINES.get(edge.kind)
    if line is not None:
        parts.append(f'color="{line[1]}"')
    if style:
        parts.append(f"style={style}")
    return f"{_quote(edge.source)} -> {_quote(edge.target)} [{', '.join(parts)}];"


def _label(rows: Sequence[str]) -> str:
    """Return a quoted label; Graphviz reads entities there and breaks lines at its own marks."""
    texts = [_escape(" ".join(row.split()).replace("&", "&amp;")) for row in rows if row]
    return '"' + "\\n".join(texts) + '"'


def _escape(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return _CONTROLS.sub("\ufffd", text)


def _quote(text: str) -> str:
    return f'"{_escape(text)}"'
