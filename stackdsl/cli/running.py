"""`run`: a stack in front, in this process."""

import asyncio
import os
import socket
import sys
from collections.abc import Sequence

from stackdsl.cli import asides, choosing, showing, streams
from stackdsl.model import errors
from stackdsl.session import controlling, fronting, nodes, stacks
from stackdsl.views import problems


def run(
    words: Sequence[str],
    option: str | None,
    copy: str | None,
    *,
    node: tuple[int, socket.socket],
    until_ready: bool,
    debug: str | None,
) -> int:
    """Run a stack until it ends; return the exit code. ``node`` was started ahead of all else."""
    spawned = nodes.NodeProcess(*node)
    try:
        with choosing.open_records() as (_, records):
            chosen = choosing.choose_file(words, option, records)
    except errors.StackError:
        spawned.discard()
        raise
    assert chosen.file is not None
    file, names = chosen.file, chosen.rest

    def load() -> stacks.Stack:
        stack = stacks.load(file)
        return stack.only(*names) if names else stack

    view = showing.FrontView(is_until_ready=until_ready, is_plain=debug is not None)
    options = controlling.Options(
        copy=copy,
        crash="reap",
        is_crash_forced=True,
        debug=debug,
        stdin=_find_stdin() if debug is not None else None,
    )
    try:
        with asides.beside():
            code = asyncio.run(
                fronting.run_in_front(
                    load,
                    options=options,
                    reload=stacks.load,
                    view=view,
                    until_ready=until_ready,
                    spawned=spawned,
                )
            )
    except errors.StackError as error:
        _tell([*view.failures, error])
        return error.exit_code
    _tell(view.failures)
    return code


def _find_stdin() -> str:
    """Return the path of our standard input, for another process to open."""
    try:
        return os.ttyname(0)
    except OSError:  # no terminal
        return f"/proc/{os.getpid()}/fd/0"


def _tell(failures: Sequence[errors.StackError]) -> None:
    paint = streams.paint_for(sys.stderr)
    told: set[str] = set()
    for failure in failures:
        text = problems.format_error(failure, paint)
        if text not in told:
            print(text, file=sys.stderr)
            told.add(text)
