"""Write the pages of the reference that come from the code: the command line and the error codes.

python docs/generate.py            writes them
python docs/generate.py --check    exit 1 if they are not what would be written
"""

import sys
from pathlib import Path

import typer

from stackdsl.cli import commands
from stackdsl.views import explanations

TOP = Path(__file__).parents[1]
REFERENCE = TOP / "docs" / "reference"
WIDTH = 100
FAMILIES = {
    "definition": "The stack's file is wrong",
    "usage": "The call is wrong",
    "state": "The state folder",
    "plan": "The stack cannot be laid out on what was seen",
    "host": "A host lacks something or is not reached",
    "start": "A program cannot be started",
    "run": "A service or step failed",
    "teardown": "Something could not be given back",
    "internal": "A bug of stackdsl",
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
    pages += _sections(group, context, "")
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


def _sections(group, context, above: str) -> list[str]:
    """Return a section for each command of a group, and for those of groups in it."""
    rows: list[str] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command.hidden:
            continue
        inner = type(context)(command, info_name=name, parent=context, max_content_width=WIDTH)
        rows += ["", f"## {above}{name}", "", *block(command.get_help(inner))]
        if hasattr(command, "list_commands"):
            rows += _sections(command, inner, f"{name} ")
    return rows


def block(text: str) -> list[str]:
    """Return help as a block of text."""
    return ["```text", *(row.rstrip() for row in text.strip().splitlines()), "```"]


def error_codes() -> str:
    """Return the page of error codes, by family."""
    rows: dict[str, list[str]] = {family: [] for family in FAMILIES}
    for code in sorted(explanations.CODES):
        found = explanations.find(code)
        means, do = (text.replace("|", "\\|") for text in (found.means, found.do))
        rows.setdefault(code.partition(".")[0], []).append(f"| `{code}` | {means} | {do} |")
    pages = [
        "# Error codes",
        "",
        "Every error has a code, printed last; `stackdsl explain CODE` says what stands here.",
    ]
    for family, codes in rows.items():
        title = FAMILIES.get(family, family)
        if codes:
            pages += ["", f"## {title}", "", "| code | means | do |", "|---|---|---|", *codes]
    return "\n".join(pages) + "\n"


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
