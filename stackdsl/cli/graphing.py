"""`graph`: who needs whom, or what runs where; as text, as a picture, as a page."""

import os
import sys
from collections.abc import Sequence

from stackdsl.cli import asides, choosing
from stackdsl.model import errors, graphs, plans
from stackdsl.registry import store as stores
from stackdsl.session import stacks

FORMS = ("tree", "mermaid", "dot", "json", "svg", "html")
KINDS = ("dependency", "topology")
# Which form a file's name asks for.
SUFFIXES = {
    ".svg": "svg", ".html": "html", ".htm": "html", ".mmd": "mermaid", ".mermaid": "mermaid",
    ".dot": "dot", ".gv": "dot", ".json": "json", ".txt": "tree", "": "tree",
}  # fmt: skip


def graph(
    words: Sequence[str], option: str | None, *, form: str | None, kind: str, output: str | None
) -> int:
    """Draw a stack, with the states of its run if it lives; return the exit code.

    ``form`` None: what the name of ``output`` asks for, else a tree.
    """
    if form is None:
        form = _find_form(output)
    _check_choice("--format", form, FORMS)
    _check_choice("--kind", kind, KINDS)
    text = _draw(_view(words, option, kind), form)
    if output is None or output == "-":
        print(text)
        return 0
    try:
        with open(output, "w", encoding="utf-8", errors="replace") as file:
            file.write(text + "\n")
    except OSError as error:
        raise errors.UsageError(
            "usage.output",
            f'cannot write the graph to "{output}": {error.strerror}',
            do="name a file in a folder that exists and may be written to",
        ) from error
    print(f"wrote {output}", file=sys.stderr)
    return 0


def _find_form(output: str | None) -> str:
    """Return the form that a file's name asks for.

    Raises:
        UsageError: it asks for one that there is not.
    """
    suffix = os.path.splitext(output or "")[1].lower()
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    known = ", ".join(filter(None, SUFFIXES))
    raise errors.UsageError(
        "usage.choice",
        f'cannot draw a graph into "{output}": "{suffix}" is the suffix of no form',
        why=f"known are {known}",
        do=f"name a file with one of them, or say --format: {', '.join(FORMS)}",
    )


def _view(words: Sequence[str], option: str | None, kind: str) -> graphs.GraphView:
    with choosing.open_records() as (_, records):
        chosen = choosing.choose_file(words, option, records)
        choosing.refuse_rest(chosen.rest, "graph")
    assert chosen.file is not None
    if kind == "topology" and chosen.file.endswith("_lab.py"):
        from stackdsl.session import labs

        return labs.view_topology(chosen.file)
    record = next((one for one in records if one.run == chosen.run), None)
    made: plans.Plan | None = None
    states: dict[str, str] = {}
    if record is not None and record.has_controller:
        import asyncio  # here and below: a wrong call ends without them

        made, states = asyncio.run(_ask_run(record))
    with asides.beside():
        source = made or stacks.load(chosen.file).plan()
    from stackdsl.plan import graphs as planned

    look = planned.view_dependencies if kind == "dependency" else planned.view_topology
    return look(source, states)


def _draw(view: graphs.GraphView, form: str) -> str:
    import json

    from stackdsl.views import graphs as views

    if form == "json":
        return json.dumps(views.graph_json(view), indent=2, ensure_ascii=False)
    draw = {
        "tree": views.graph_tree,
        "mermaid": views.graph_mermaid,
        "dot": views.graph_dot,
        "svg": views.graph_svg,
        "html": views.graph_html,
    }[form]
    return draw(view)


async def _ask_run(record: stores.Record) -> tuple[plans.Plan, dict[str, str]]:
    """Return what a run does, and the state of each of its replicas."""
    from stackdsl.session import background

    async with background.connect(record) as client:
        plan, status = await client.plan(), await client.status()
    return plan, {one.name: one.state for one in status.services}


def _check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    if value in choices:
        return
    import difflib  # only on the way out

    near = difflib.get_close_matches(value, choices, n=1)
    raise errors.UsageError(
        "usage.choice",
        f'cannot read {option} "{value}": it is none of {", ".join(choices)}',
        why=f"near: {near[0]}" if near else "",
        do=f"choose one of {', '.join(choices)}",
    )
