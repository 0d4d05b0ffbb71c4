"""What an editor completes and flags, pinned through mypy."""

import re
from pathlib import Path

import pytest
from mypy import api

HERE = Path(__file__).parent
REVEALED = re.compile(r':(\d+): note: Revealed type is "([^"]+)"')
FLAGGED = re.compile(r":(\d+): error:")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    files = [str(HERE / name) for name in ("stack_typed.py", "stack_mistyped.py")]
    cache = tmp_path_factory.mktemp("mypy")
    out, err, _ = api.run(
        ["--strict", "--hide-error-context", "--no-error-summary", f"--cache-dir={cache}", *files]
    )
    assert err == ""
    return out


def lines(report: str, name: str, pattern: re.Pattern[str]) -> list[tuple[str, ...]]:
    rows = [row for row in report.splitlines() if name in row]
    return [match.groups() for row in rows if (match := pattern.search(row))]


def test_every_attribute_has_its_type(report: str) -> None:
    source = (HERE / "stack_typed.py").read_text().splitlines()
    seen = lines(report, "stack_typed.py", REVEALED)
    told = [(source[int(line) - 1].partition("# ")[2], kind) for line, kind in seen]
    assert len(told) == 15
    assert [(want, got) for want, got in told if short(got) != want] == []


def short(kind: str) -> str:
    """Return a type without the modules that its names come from."""
    return re.sub(r"[\w.]+\.(?=\w)", "", kind)


def test_a_right_stack_has_no_errors(report: str) -> None:
    assert lines(report, "stack_typed.py", FLAGGED) == []


def test_every_mistake_is_flagged_and_nothing_else(report: str) -> None:
    source = (HERE / "stack_mistyped.py").read_text().splitlines()
    wrong = {number for number, line in enumerate(source, 1) if "# wrong" in line}
    flagged = {int(line) for (line,) in lines(report, "stack_mistyped.py", FLAGGED)}
    assert flagged == wrong
