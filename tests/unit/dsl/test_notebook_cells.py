"""Stacks written in a notebook's cells: a cell that is run again says anew what it said."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from stackdsl.dsl import loading
from stackdsl.model import errors, stacks

HEAD = "from stackdsl import Ref, Stack, secret, service, started\n"


@dataclass
class Shell:
    """What a cell sees of its notebook."""

    has_cell_ids: bool
    execution_count: int = 0
    parent_header: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.namespace: dict[str, Any] = {"__name__": "__main__", "get_ipython": lambda: self}

    def run(self, cell: str, text: str) -> None:
        self.execution_count += 1
        self.parent_header = {"metadata": {"cellId": cell} if self.has_cell_ids else {}}
        code = compile(HEAD + text, f"/tmp/ipykernel_1/{self.execution_count}.py", "exec")
        exec(code, self.namespace)

    def load(self) -> stacks.StackModel:
        self.execution_count += 1
        self.parent_header = {}
        return loading.load_namespace(self.namespace)

    def names(self) -> list[str]:
        return sorted(one.name for one in self.load().services)


def declare(name: str, parameters: str = "", keywords: str = "") -> str:
    return f"@service({keywords})\ndef {name}({parameters}):\n    return 'sleep 1'\n"


@pytest.fixture(params=[True, False], ids=["cell ids", "no cell ids"])
def shell(request: pytest.FixtureRequest) -> Shell:
    return Shell(request.param)


def test_cells_together_make_the_stack(shell: Shell) -> None:
    shell.run("a", declare("db"))
    shell.run("b", declare("api", "db: Ref"))

    assert shell.names() == ["api", "db"]


def test_a_cell_that_is_run_again_is_no_second_declaration(shell: Shell) -> None:
    shell.run("a", "Stack('shop')\n" + declare("db"))
    shell.run("b", declare("api", "db: Ref", "port=80"))
    shell.run("a", "Stack('shop')\n" + declare("db", keywords="port=1"))

    assert shell.names() == ["api", "db"]
    assert shell.load().name == "shop"


def test_what_an_edited_cell_no_longer_declares_is_gone() -> None:
    shell = Shell(has_cell_ids=True)
    shell.run("a", declare("db"))
    shell.run("a", declare("store"))

    assert shell.names() == ["store"]


def test_who_needs_an_earlier_declaration_gets_the_new_one(shell: Shell) -> None:
    shell.run("a", declare("db"))
    shell.run("b", declare("api", keywords="needs=[started(db)]"))
    shell.run("a", declare("db", keywords="port=5432"))

    stack = shell.load()

    db = stack.service("db")
    assert len(stack.services) == 2
    assert db is not None
    assert [port.number for port in db.ports] == [5432]


def test_two_of_one_name_in_one_cell_are_an_error(shell: Shell) -> None:
    shell.run("a", declare("db") + declare("db"))

    with pytest.raises(errors.DefinitionError):
        shell.load()


def test_a_fault_is_gone_when_its_cell_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(has_cell_ids=True)
    shell.run("a", "secret('NOT_SET_YET')\n" + declare("db"))
    with pytest.raises(errors.DefinitionError):
        shell.load()

    monkeypatch.setenv("NOT_SET_YET", "pw")
    shell.run("a", "secret('NOT_SET_YET')\n" + declare("db"))

    assert shell.load().secrets == ("pw",)
