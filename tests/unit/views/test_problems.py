"""Errors: one printed form, coloured on terminals only; every code is explained."""

import ast
import re
from pathlib import Path

import stackdsl
from stackdsl.model import errors, plans
from stackdsl.views import explanations, lines, problems

ON, OFF = lines.Paint(True), lines.Paint(False)
ERROR = errors.ServiceError(
    "run.service-failed",
    'cannot run service "api": it exited with 3',
    where="shop.py:3 @service api",
    why="seen",
    do="mend it",
    lines=["last \x1b[2Jwords"],
)
PACKAGE = Path(stackdsl.__file__).parent
FAMILIES = "definition|usage|plan|host|internal|link|node|run|start|state|teardown"
NO_CODES = {"node.lock"}  # a file's name


def codes_in_source() -> set[str]:
    found: set[str] = set()
    for file in PACKAGE.rglob("*.py"):
        if file.name in ("explanations.py", "farmishaps.py", "mishaps.py"):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and re.fullmatch(rf"(?:{FAMILIES})\.[a-z][a-z-]+", text):
                found.add(text)
    return found - NO_CODES


def test_without_colours_an_error_is_its_own_text_made_harmless() -> None:
    assert problems.format_error(ERROR, OFF) == ERROR.text().replace("\x1b[2J", "")


def test_what_an_engine_says_moves_no_cursor() -> None:
    said = errors.ServiceError("x.y", "cannot\x1b[2J build", why="a\rb\n\x1b]0;t\x07c", do="see")

    assert problems.format_error(said, OFF).splitlines() == [
        "cannot build", "  why    a", "         b", "         c", "  do     see", "  code   x.y",
    ]  # fmt: skip


def test_with_colours_an_error_says_the_same() -> None:
    text = problems.format_error(ERROR, ON)

    assert re.sub(r"\x1b\[[0-9;]*m", "", text) == ERROR.text().replace("\x1b[2J", "")


def test_several_errors_stand_apart() -> None:
    both = errors.StackErrors([ERROR, ERROR])

    assert problems.format_error(both, OFF).count("\n\n") == 1


def test_a_warning_says_that_it_is_one() -> None:
    notice = plans.Notice(code="plan.x", what="a port changed", where="", why="taken", do="free it")

    assert problems.format_warning(notice, OFF).splitlines() == [
        "warning: a port changed",
        "  why    taken",
        "  do     free it",
        "  code   plan.x",
    ]


def test_every_code_in_the_source_is_explained() -> None:
    assert sorted(codes_in_source() - explanations.CODES) == []


def test_nothing_is_explained_that_no_error_has() -> None:
    assert sorted(explanations.CODES - codes_in_source()) == []


def test_a_code_named_by_its_last_word_is_near() -> None:
    assert "plan.cycle" in explanations.find_near("cycle")


def test_a_misspelt_code_is_near() -> None:
    assert explanations.find_near("definition.cycel")[0] == "definition.cycle"
