"""Graphs in DOT, read by Graphviz itself."""

import subprocess

import pytest

from stackdsl.model import graphs
from stackdsl.views import graphs as views

pytestmark = [pytest.mark.programs("dot"), pytest.mark.usefixtures("needs_programs")]

NAMES = ("api", 'a "quoted" one', "back\\slash", "end", "<b>", "{record|field}", "umläut")


def test_graphviz_draws_any_name() -> None:
    nodes = tuple(graphs.GraphNode(id=name, kind="task", host="h\\n") for name in NAMES)
    edges = tuple(
        graphs.GraphEdge(source=NAMES[0], target=name, kind="link", condition="planned")
        for name in NAMES
    )
    text = views.graph_dot(graphs.GraphView(name='the "shop"', nodes=nodes, edges=edges))

    done = subprocess.run(
        ["dot", "-Tplain"], check=False, input=text, text=True, capture_output=True
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert sum(line.startswith("node ") for line in done.stdout.splitlines()) == len(NAMES)
