"""What the pages say is true: stacks load, commands parse, links lead somewhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import markdown

COMMAND = Path(sys.executable).with_name("stackdsl")
PYTHON = markdown.blocks("python")
STACKS = [block for block in PYTHON if re.search(r"^@(service|task)\(", block.text, re.MULTILINE)]
CALLS = [
    pytest.param(row, id=f"{block}-{row}")
    for block in markdown.blocks("sh")
    for row in block.text.splitlines()
    if row.startswith("stackdsl ")
]
RECIPES = sorted(
    {word for page in markdown.PAGES for word in re.findall(r"\./just (\w+)", page.read_text())}
)


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_compiles(block: markdown.Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", STACKS, ids=str)
def test_a_stack_is_valid(block: markdown.Block, tmp_path: Path) -> None:
    (tmp_path / "stack.py").write_text(block.text)
    for name in re.findall(r'template\("([^"]+)"\)', block.text):  # its text stands beside it
        (tmp_path / name).write_text("")
    done = subprocess.run(
        [COMMAND, "validate", "stack.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("row", CALLS)
def test_a_command_can_be_called_so(row: str) -> None:
    import typer.core

    from stackdsl.cli import commands

    words = shlex.split(row.partition("#")[0])[1:]
    group = typer.main.get_command(commands.app)
    assert isinstance(group, typer.core.TyperGroup)
    context = group.make_context("stackdsl", [], resilient_parsing=True)
    command = group.get_command(context, words[0])

    assert command is not None
    command.make_context(words[0], words[1:], parent=context)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_there(recipe: str) -> None:
    justfile = (markdown.TOP / "justfile").read_text()

    assert re.search(rf"^{recipe}\b.*:", justfile, re.MULTILINE)


@pytest.mark.parametrize(
    "page", markdown.PAGES, ids=lambda page: str(page.relative_to(markdown.TOP))
)
def test_links_lead_somewhere(page: Path) -> None:
    for link in markdown.links(page):
        if link.startswith(("http:", "https:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page

        assert target.exists(), link
        assert not anchor or anchor in markdown.anchors(target), link


def test_every_page_is_reached_from_the_readme() -> None:
    reached, pending = set(), [markdown.TOP / "README.md"]
    while pending:
        page = pending.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        paths = [link.partition("#")[0] for link in markdown.links(page)]
        pending += [(page.parent / path).resolve() for path in paths if path and ":" not in path]

    assert set(markdown.PAGES) - reached == set()


def test_generated_pages_are_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"],
        cwd=markdown.TOP,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 0, done.stderr
