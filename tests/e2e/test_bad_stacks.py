"""Stacks that are wrong: refused with exit 2 before anything starts, with place and advice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FAULTS = {
    "an empty file": ("", []),
    "a syntax error": ("def (:\n", ["shop.py:5"]),
    "an import that fails": ("import no_such_module_here\n", ["shop.py:5", "no_such_module_here"]),
    "a cycle of three": (
        """
        @service(port=1001)
        def a(b: Ref): return [PY]
        @service(port=1002)
        def b(c: Ref): return [PY]
        @service(port=1003)
        def c(a: Ref): return [PY]
        """,
        ["shop.py", "a", "b", "c", "planned"],
    ),
    "two services of one name": (
        """
        @service()
        def a(): return [PY]
        @service()
        def a(): return [PY]
        """,
        ['"a"', "shop.py:6", "shop.py:8"],
    ),
    "a keyword misspelt": (
        """
        @service(pot=1)
        def a(): return [PY]
        """,
        ['"pot"', '"port"'],
    ),
    "a need misspelt": (
        """
        @service(port=1001)
        def postgres(): return [PY]
        @service(needs=["postgrs"])
        def a(): return [PY]
        """,
        ['"postgrs"', '"postgres"', "shop.py:8"],
    ),
    "a parameter that is nothing": (
        """
        @service()
        def a(databse: Ref): return [PY]
        """,
        ['"databse"', "shop.py:6"],
    ),
    "a body that raises": (
        """
        @service()
        def a():
            return 1 / 0
        """,
        ["division by zero", "shop.py", "1 / 0"],
    ),
    "a body that returns nothing": (
        """
        @service()
        def a(): ...
        """,
        ['"a"', "command"],
    ),
    "an async body": (
        """
        @service()
        async def a(): return [PY]
        """,
        ['"a"', "async"],
    ),
    "a url without a scheme": (
        """
        @service(port=1001)
        def db(): return [PY]
        @service()
        def a(db: Ref): return [PY, db.url]
        """,
        [".url", "scheme", "db"],
    ),
    "two sources of one variable": (
        """
        @service(port=1001)
        def a_b(): return [PY]
        @service(ports={"b": 1002})
        def a(): return [PY]
        @service()
        def c(a: Ref, a_b: Ref): return [PY]
        """,
        ["A_B_PORT"],
    ),
    "a secret that is not set": (
        """
        key = secret("NO_SUCH_SECRET_SET")
        @service(env={"KEY": key})
        def a(): return [PY]
        """,
        ["NO_SUCH_SECRET_SET"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_with_its_place_and_what_to_do(
    cli: Any, write_stack: Callable[..., Path], fault: str
) -> None:
    text, told = FAULTS[fault]
    done = cli("validate", write_stack(text), code=2)

    assert done.stdout == ""
    assert done.stderr.startswith("cannot ")
    assert "  do  " in done.stderr
    assert "Traceback" not in done.stderr
    assert [word for word in told if word not in done.stderr] == []


def test_run_refuses_what_validate_refuses_and_starts_nothing(
    cli: Any, write_stack: Callable[..., Path], tmp_path: Path
) -> None:
    file = write_stack(
        """
        @service()
        def fine(): return ["touch", "started"]
        @service(needs=["nobody"])
        def a(): return [PY]
        """
    )
    cli("run", file, code=2)

    assert not (tmp_path / "started").exists()


def test_all_faults_of_a_stack_are_told_at_once(cli: Any, write_stack: Callable[..., Path]) -> None:
    file = write_stack(
        """
        @service(pot=1)
        def a(): return [PY]
        @service(needs=["nobody"])
        def b(): return [PY]
        @service()
        def c(): return 7
        """
    )
    done = cli("validate", file, code=2)

    assert done.stderr.count("cannot ") == 3


def test_a_stack_that_is_not_there_is_named(cli: Any) -> None:
    done = cli("run", "nowhere.py", code=2)

    assert '"nowhere.py"' in done.stderr


def test_with_no_stack_at_hand_the_choices_are_told(cli: Any) -> None:
    done = cli("run", code=2)

    assert "stack.py" in done.stderr
