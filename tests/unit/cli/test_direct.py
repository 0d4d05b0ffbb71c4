"""Calls read without the parser: what is read is what the parser would read, or left to it."""

from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from stackdsl.cli import commands, direct


def options_of(command: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the parser's options of a command: those with a value, and flags."""
    group: Any = typer.main.get_command(commands.app)
    values: dict[str, str] = {}
    flags: dict[str, str] = {}
    for one in group.commands[command].params:
        for spelling in one.opts:
            if spelling.startswith("-"):
                (flags if one.is_flag else values)[spelling] = one.name
    return values, flags


def parse_by_parser(command: str, arguments: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Return the words and the options given, as the parser reads them."""
    group: Any = typer.main.get_command(commands.app)
    found = dict(group.commands[command].make_context(command, list(arguments)).params)
    words = [found.pop("file")] if "file" in found else []
    words += found.pop("words", None) or found.pop("names", None) or []
    return words, {name: one for name, one in found.items() if one not in (None, False)}


@pytest.mark.parametrize("command", direct.COMMANDS)
def test_the_options_are_the_parsers(command: str) -> None:
    known = direct.COMMANDS[command]

    assert (dict(known.values), dict(known.flags)) == options_of(command)


@given(st.data())
def test_what_is_read_is_what_the_parser_reads(data: st.DataObject) -> None:
    command = data.draw(st.sampled_from(sorted(direct.COMMANDS)))
    known = direct.COMMANDS[command]
    piece = st.sampled_from(["shop.py", "api", "", "a b", *known.values, *known.flags])
    arguments = data.draw(st.lists(piece, max_size=5))

    read = direct.parse([command, *arguments])

    if read is not None:
        assert (read.words, read.options) == parse_by_parser(command, arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["--traceback", "run"],
        ["run", "--help"],
        ["run", "-h"],
        ["run", "--copy"],
        ["run", "--copy=b"],
        ["run", "--copy", "--until-ready"],
        ["run", "--", "--odd"],
        ["run", "--untl-ready"],
        ["plan"],
        ["_controller"],
    ],
)
def test_whatever_is_unusual_is_left_to_the_parser(arguments: list[str]) -> None:
    assert direct.parse(arguments) is None


def test_words_and_options_may_be_mixed() -> None:
    assert direct.parse(["run", "shop.py", "--copy", "b", "api", "--until-ready"]) == direct.Call(
        "run", ["shop.py", "api"], {"copy": "b", "until_ready": True}
    )
