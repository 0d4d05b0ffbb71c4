"""Graphs as a tree, Mermaid, DOT and JSON."""

import itertools
import json

from stackdsl.model import graphs
from stackdsl.views import graphs as views


def node(
    name: str, kind: str = "service", host: str | None = "local", state: str | None = None
) -> graphs.GraphNode:
    return graphs.GraphNode(id=name, kind=kind, host=host, state=state)


def edge(
    source: str,
    target: str,
    kind: str = "link",
    address: str | None = None,
    condition: str | None = "ready",
) -> graphs.GraphEdge:
    return graphs.GraphEdge(
        source=source, target=target, kind=kind, address=address, condition=condition
    )


SHOP = graphs.GraphView(
    name="shop",
    nodes=(
        node("api", state="ready"),
        node("db"),
        node("mail", host=None),
        node("migrate", kind="task"),
        node("web"),
    ),
    edges=(
        edge("api", "db", address="127.1.2.3:5432"),
        edge("api", "mail", condition="planned"),
        edge("api", "migrate", kind="needs", condition="completed"),
        edge("migrate", "db"),
        edge("web", "api"),
        edge("web", "migrate", kind="needs", condition="completed"),
    ),
)
ODD = graphs.GraphView(
    name='a "b" \\ c',
    nodes=(node('x"y|<z>', host="h\\[1]"), node("end"), node("host:h", kind="host", host=None)),
    edges=(edge('x"y|<z>', "end"), edge("host:h", "end", kind="runs", condition=None)),
)
RING = graphs.GraphView(
    name="ring",
    nodes=(node("a"), node("b")),
    edges=(edge("a", "b", condition="planned"), edge("b", "a", condition="planned")),
)


def test_a_tree_draws_what_is_needed_below_who_needs_it() -> None:
    assert views.graph_tree(SHOP).splitlines() == [
        "web [local]",
        "├─ api [local] [ready]  when ready",
        "│  ├─ db [local]  when ready 127.1.2.3:5432",
        "│  ├─ mail [external]  planned",
        "│  └─ migrate [task] [local]  when completed",
        "│     └─ db [local]  when ready",
        "└─ migrate [task] [local]  when completed (above)",
    ]


def test_a_tree_of_a_ring_ends() -> None:
    assert views.graph_tree(RING).splitlines() == [
        "a [local]",
        "└─ b [local]  planned",
        "   └─ a [local]  planned (above)",
    ]


def test_a_tree_of_a_long_chain_is_drawn() -> None:
    names = [f"s{n:05}" for n in range(3000)]
    chain = graphs.GraphView(
        name="chain",
        nodes=tuple(node(name) for name in names),
        edges=tuple(edge(a, b) for a, b in itertools.pairwise(names)),
    )

    assert len(views.graph_tree(chain).splitlines()) == 3000


MACHINES = graphs.GraphView(
    name="far",
    kind="topology",
    nodes=(
        node("api"),
        graphs.GraphNode(
            id="db", kind="service", host="h", vantage="container", place="docker postgres:16",
            address="10.128.7.2:5432",
        ),
        graphs.GraphNode(id="host:h", kind="host", address="10.128.7.0/24"),
        node("host:local", kind="host", host=None),
    ),
    edges=(
        edge("api", "db", kind="lan", address="10.0.0.2:5432"),
        edge("host:h", "db", kind="runs", condition=None),
        edge("host:local", "api", kind="runs", condition=None),
        edge("host:local", "host:h", kind="lan", address="10.0.0.2", condition=None),
    ),
)  # fmt: skip


def test_a_tree_of_machines_tells_what_they_run_and_whom_they_call() -> None:
    assert views.graph_tree(MACHINES).splitlines() == [
        "host:local [host]",
        "├─ api [local]  runs",
        "└─ host:h [host]  lan 10.0.0.2",
        "   └─ db [docker postgres:16] [h]  runs",
    ]


def test_mermaid_groups_by_machine_and_bridge() -> None:
    assert views.graph_mermaid(MACHINES).splitlines()[:10] == [
        "flowchart LR",
        '  subgraph n2["h"]',
        '    subgraph n2b["bridge 10.128.7.0/24"]',
        '      n1[["db<br/>docker postgres:16<br/>10.128.7.2:5432"]]',
        "    end",
        "  end",
        '  subgraph n3["local"]',
        '    n0["api"]',
        "  end",
        '  n0 -->|"ready 10.0.0.2:5432"| n1',
    ]


def test_dot_groups_by_machine_and_bridge() -> None:
    lines = views.graph_dot(MACHINES).splitlines()

    assert "  subgraph cluster_0 {" in lines
    assert "    subgraph cluster_0_bridge {" in lines
    assert [line for line in lines if "->" in line] == [
        (
            '  "api" -> "db" [label="ready 10.0.0.2:5432", tooltip="ready 10.0.0.2:5432",'
            ' color="#4f8a10"];'
        )
    ]


def test_mermaid_draws_order_solid_and_planned_dashed() -> None:
    lines = views.graph_mermaid(SHOP).splitlines()

    assert lines[0] == "flowchart LR"
    assert '  n0["api<br/>local<br/>ready"]:::ready' in lines
    assert '  n3(["migrate<br/>task<br/>local"])' in lines
    assert '  n0 -->|"ready 127.1.2.3:5432"| n1' in lines
    assert '  n0 -.->|"planned"| n2' in lines


def test_mermaid_escapes_what_would_end_a_label() -> None:
    text = views.graph_mermaid(ODD)

    assert "x#34;y#124;#60;z#62;<br/>h#92;#8203;#91;1#93;" in text
    assert "  n1" in text  # "end" is a word of Mermaid, so ids are numbers


def test_dot_quotes_names() -> None:
    lines = views.graph_dot(ODD).splitlines()

    assert lines[0] == 'digraph "a \\"b\\" \\\\ c" {'
    assert '  "x\\"y|<z>" [label="x\\"y|<z>\\nh\\\\[1]", shape=box];' in lines
    assert '  "x\\"y|<z>" -> "end" [label="ready", tooltip="ready", color="#3b6fd4"];' in lines
    assert lines[-1] == "}"


def test_json_tells_nodes_and_edges() -> None:
    value = json.loads(json.dumps(views.graph_json(SHOP)))

    assert value["nodes"][0] == {
        "id": "api", "kind": "service", "host": "local", "state": "ready",
    }  # fmt: skip
    assert value["edges"][0] == {
        "from": "api", "to": "db", "kind": "link",
        "address": "127.1.2.3:5432", "condition": "ready",
    }  # fmt: skip


def test_how_many_replicas_there_are_is_told_in_every_text() -> None:
    node = graphs.GraphNode(id="load", kind="service", host="local", replicas=4)
    view = graphs.GraphView(name="shop", nodes=(node,))

    assert views.graph_tree(view) == "load \u00d74 [local]"
    assert "load \u00d74" in views.graph_mermaid(view)
    assert "load \u00d74" in views.graph_dot(view)
