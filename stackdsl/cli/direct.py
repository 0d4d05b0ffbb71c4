"""Calls that start and end runs, read without the parser: loading that takes longer than the rest.

Laws: whatever is unusual (help, faults, other commands, other spellings) is the parser's: `parse`
returns None then. A test holds the table against the parser's own options.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple


class Plain(NamedTuple):
    """A command that can be read here. ``values`` and ``flags`` are its options, each with the
    keyword that it is handed on as."""

    deed: Callable[..., int]
    values: Mapping[str, str]
    flags: Mapping[str, str]


class Call(NamedTuple):
    """A call that was read."""

    command: str
    words: list[str]
    options: dict[str, Any]


def run(
    words: list[str],
    *,
    stack: str | None = None,
    copy: str | None = None,
    until_ready: bool = False,
    debug: str | None = None,
) -> int:
    """Be `run`; return the exit code."""
    from stackdsl.session import first

    node = first.spawn_node()
    from stackdsl.cli import running

    return running.run(words, stack, copy, node=node, until_ready=until_ready, debug=debug)


def start(
    words: list[str], *, stack: str | None = None, copy: str | None = None, as_json: bool = False
) -> int:
    """Be `start`; return the exit code."""
    from stackdsl.cli import starting

    return starting.start(words, stack, copy, as_json=as_json)


def stop(words: list[str], *, stack: str | None = None, now: bool = False) -> int:
    """Be `stop`; return the exit code."""
    from stackdsl.cli import stopping

    return stopping.stop(words, stack, at_once=now)


def control(words: list[str], *, copy: str | None = None) -> int:
    """Be the controller that `start` leaves behind: a file, and the names of services."""
    from stackdsl.session import first

    node = first.spawn_node()
    from stackdsl.cli import starting

    return starting.control(words[0], copy, words[1:], node)


COMMANDS: Mapping[str, Plain] = {
    "run": Plain(
        run,
        {"--stack": "stack", "--copy": "copy", "--debug": "debug"},
        {"--until-ready": "until_ready"},
    ),
    "start": Plain(start, {"--stack": "stack", "--copy": "copy"}, {"--json": "as_json"}),
    "stop": Plain(stop, {"--stack": "stack"}, {"--now": "now"}),
    "_controller": Plain(control, {"--copy": "copy"}, {}),
}


def parse(arguments: Sequence[str]) -> Call | None:
    """Return what is to be called; None where the parser has to look."""
    command = COMMANDS.get(arguments[0]) if arguments else None
    if command is None:
        return None
    words: list[str] = []
    options: dict[str, Any] = {}
    rest = iter(arguments[1:])
    for word in rest:
        if not word.startswith("-"):
            words.append(word)
        elif word in command.flags:
            options[command.flags[word]] = True
        elif word in command.values:
            value = next(rest, "-")
            if value.startswith("-"):
                return None
            options[command.values[word]] = value
        else:
            return None
    if arguments[0] == "_controller" and not words:
        return None
    return Call(arguments[0], words, options)


def call(arguments: Sequence[str]) -> int | None:
    """Do a call that can be read here and return its exit code; None where it cannot.

    Raises:
        StackError: whatever went wrong.
    """
    parsed = parse(arguments)
    if parsed is None:
        return None
    return COMMANDS[parsed.command].deed(parsed.words, **parsed.options)
