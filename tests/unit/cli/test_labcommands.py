"""`stackdsl lab run` takes what `stackdsl run` takes."""

from typing import Any

import typer

from stackdsl.cli import commands


def options_of(command: Any) -> dict[str, str]:
    """Return the options of a command by spelling, with what they are helped with."""
    return {
        spelling: one.help
        for one in command.params
        for spelling in one.opts
        if spelling.startswith("-")
    }


def test_a_run_in_a_lab_has_the_options_of_a_run_and_the_topology() -> None:
    group: Any = typer.main.get_command(commands.app)
    inside = options_of(group.commands["lab"].commands["run"])

    del inside["--topology"]

    assert inside == options_of(group.commands["run"])
