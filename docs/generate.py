"""Write the pages of the reference that come from the code: the command line and the error codes.

python docs/generate.py            writes them
python docs/generate.py --check    exit 1 if they are not what would be written
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import typer

from stackdsl.cli import commands

TOP = Path(__file__).parents[1]
REFERENCE = TOP / "docs" / "reference"
WIDTH = 100
FAMILIES = {
    "DefinitionError": "The stack's file is wrong (exit 2)",
    "UsageError": "The call is wrong (exit 2)",
    "PlanError": "The stack cannot be laid out on what was seen (exit 2)",
    "HostError": "A host lacks something or is not reached (exit 3)",
    "ServiceError": "A service or step failed (exit 1)",
    "TeardownError": "Something could not be given back (exit 1)",
    "InternalError": "A bug of stackdsl",
}


def command_line() -> str:
    """Return the page of the command line: each command's own help."""
    group = typer.main.get_command(commands.app)
    context = group.make_context("stackdsl", [], resilient_parsing=True)
    pages = [
        "# Command line",
        "",
        "This page is made from the program's own help.",
        "",
        *block(group.get_help(context)),
    ]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if not command.hidden:
            inner = type(context)(command, info_name=name, parent=context, max_content_width=WIDTH)
            pages += ["", f"## {name}", "", *block(command.get_help(inner))]
    pages += [
        "",
        "## Exit codes",
        "",
        "| code | meaning |",
        "|---|---|",
        "| 0 | well |",
        "| 1 | a service or a step failed |",
        "| 2 | the stack or the call is wrong |",
        "| 3 | a host lacks something or is not reached |",
        "| 130 | Ctrl-C |",
        "| 143 | SIGTERM |",
    ]
    return "\n".join(pages) + "\n"


def block(text: str) -> list[str]:
    """Return help as a block of text."""
    return ["```text", *(row.rstrip() for row in text.strip().splitlines()), "```"]


def error_codes() -> str:
    """Return the page of error codes: what each says and advises, as written where it is raised."""
    rows: dict[str, dict[str, tuple[str, str]]] = {family: {} for family in FAMILIES}
    for file in sorted((TOP / "stackdsl").rglob("*.py")):
        for family, code, what, do in raised_in(file):
            rows[family].setdefault(code, (what, do))
    pages = [
        "# Error codes",
        "",
        "Every error has a code, printed last. This page is made from what stackdsl's own code says,",
        "with `…` for what differs.",
    ]
    for family, title in FAMILIES.items():
        if rows[family]:
            pages += ["", f"## {title}", "", "| code | says | do |", "|---|---|---|"]
            pages += [f"| `{c}` | {w} | {d} |" for c, (w, d) in sorted(rows[family].items())]
    return "\n".join(pages) + "\n"


def raised_in(file: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield family, code, fact and advice of each error that a file makes."""
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Call) or len(node.args) < 2:
            continue
        family = ast.unparse(node.func).rpartition(".")[2]
        if family in FAMILIES and isinstance(node.args[0], ast.Constant):
            advice = next((k.value for k in node.keywords if k.arg == "do"), None)
            yield family, str(node.args[0].value), wording(node.args[1]), wording(advice)


def wording(node: ast.expr | None) -> str:
    """Return the text of an expression, `…` for what is not known before it is run."""
    match node:
        case ast.Constant(value=str(text)):
            return text.replace("|", "\\|")
        case ast.JoinedStr(values=parts):
            return "".join(wording(part) for part in parts)
        case ast.BinOp(left=left, right=right):
            return wording(left) + wording(right)
        case ast.IfExp(body=body):
            return wording(body)
        case _:
            return "…"


def pages() -> dict[Path, str]:
    """Return the pages by file."""
    return {REFERENCE / "cli.md": command_line(), REFERENCE / "errors.md": error_codes()}


if __name__ == "__main__":
    stale = [
        file for file, text in pages().items() if not file.exists() or file.read_text() != text
    ]
    if "--check" in sys.argv[1:]:
        for file in stale:
            print(
                f"{file.relative_to(TOP)} is not what the code says: run ./just docs",
                file=sys.stderr,
            )
        sys.exit(1 if stale else 0)
    for file in stale:
        file.write_text(pages()[file])
        print(f"wrote {file.relative_to(TOP)}")
