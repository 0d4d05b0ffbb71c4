"""The house itself: laws that no single room can keep."""

import ast
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import stackdsl
from stackdsl.model import plans

PACKAGE = Path(stackdsl.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
HEAVY = (
    "networkx", "rich", "asyncssh", "docker", "pyroute2", "websockets", "ipywidgets", "pydantic",
    "sqlite3", "pytest",
)  # fmt: skip
LINES_MAX = 500
COMMAND = Path(sys.executable).with_name("stackdsl")


def handled_by(source: str) -> set[str]:
    """Return the classes of `plans` that stand as keys in a dictionary of a module."""
    keys = [
        key
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Dict)
        for key in node.keys
    ]
    return {
        key.attr
        for key in keys
        if isinstance(key, ast.Attribute) and ast.unparse(key.value) == "plans"
    }


def test_every_step_of_a_plan_has_a_handler_in_the_engine() -> None:
    steps = {step.__name__ for step in typing.get_args(plans.Step)}

    assert steps == handled_by((PACKAGE / "run" / "engine.py").read_text())


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_file_is_too_long_to_read(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= LINES_MAX


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_every_module_opens_with_a_plain_sentence(file: Path) -> None:
    docstring = ast.get_docstring(ast.parse(file.read_text()))

    assert docstring
    assert docstring.partition("\n\n")[0].endswith((".", ":"))


def imported_by(*arguments: str) -> set[str]:
    """Return the top-level names that a stackdsl command imports."""
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "importtime",
            Path(sys.executable).with_name("stackdsl"),
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [row.rpartition("|")[2].strip() for row in done.stderr.splitlines()]
    return {row.partition(".")[0] for row in rows}


@pytest.mark.parametrize("arguments", [["--help"], ["validate", "stacks/demo.py"]])
def test_heavy_packages_are_not_loaded_by_commands_that_do_not_use_them(
    arguments: list[str],
) -> None:
    assert imported_by(*arguments) & set(HEAVY) == set()
