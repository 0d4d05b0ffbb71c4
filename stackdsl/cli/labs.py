"""What the commands of `stackdsl lab` do: build a lab, run in it, enter it, show it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from stackdsl.cli import choosing, streams
from stackdsl.lab import entering, opening, registering, telling
from stackdsl.model import errors
from stackdsl.session import labs

_ENDED_BY_TERM = 143


def run(
    words: Sequence[str], option: str | None, topology: str | None, options: Sequence[str]
) -> int:
    """Build a lab, run a stack in it, return the run's exit code."""
    file, names = _find_stack(words, option)
    with _built(topology or labs.default_topology(file), os.path.dirname(file)) as net:
        argv = [sys.executable, "-m", "stackdsl", "run", "--stack", file, *options, *names]
        command = entering.command(
            net.record,
            entering.CONTROLLER,
            argv,
            user="root",
            env=labs.controller_env(),
            cwd=os.getcwd(),
        )
        return _wait_in_front(command)


def _find_stack(words: Sequence[str], option: str | None) -> tuple[str, tuple[str, ...]]:
    with choosing.open_records() as (_, records):
        chosen = choosing.choose_file(words, option, records)
    assert chosen.file is not None
    return os.path.realpath(chosen.file), tuple(chosen.rest)


@contextlib.contextmanager
def _built(topology: str, *folders: str) -> Iterator[labs.Net]:
    """Build a lab, tell of it, and end it; Ctrl-C is for what runs inside."""
    began_s = time.monotonic()
    with labs.open_net(topology, folders=folders) as net:
        took_s = time.monotonic() - began_s
        print(telling.format_up(net.name, net.topology, took_s), file=sys.stderr, flush=True)
        yield net


def _wait_in_front(command: Sequence[str]) -> int:
    """Run a command that has this terminal and its signals; return its exit code."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the way in must not end before it
    process = subprocess.Popen(command)

    def pass_on(number: int, _frame: Any) -> None:
        for pid in _children_of(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    kept = {one: signal.signal(one, pass_on) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
        for one, handler in kept.items():
            signal.signal(one, handler)
    return 128 - code if code < 0 else code


def _children_of(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:  # it has ended meanwhile
        return []


def up(words: Sequence[str], topology: str | None) -> int:
    """Build a lab and keep it until Ctrl-C or a polite end; return the exit code."""
    if topology is None:
        file, rest = _find_stack(words, None)
        choosing.refuse_rest(rest, "lab up")
        topology = labs.default_topology(file)
    elif words:
        choosing.refuse_rest(words, "lab up --topology")
    ended: list[int] = []
    kept = {
        one: signal.signal(one, lambda number, _: ended.append(number))
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    signal.pthread_sigmask(signal.SIG_BLOCK, kept)
    try:
        with _built(topology) as net:
            print(_format(net.record), flush=True)
            name = "" if net.name == net.topology.name else f" --lab {net.name}"
            print(
                f"up until Ctrl-C; from elsewhere: stackdsl lab shell{name} HOST", file=sys.stderr
            )
            number = signal.sigwait(kept)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, kept)
        for one, handler in kept.items():
            signal.signal(one, handler)
    return 128 + number


def shell(host: str, lab: str | None, user: str | None) -> int:
    """Become a shell on a host."""
    program = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
    _become(labs.find_lab(lab), host, [program, "-l"], user)
    return 0


def execute(words: Sequence[str], lab: str | None, user: str | None) -> int:
    """Become a command on a host; its exit code is ours."""
    if len(words) < 2:
        raise errors.UsageError(
            "usage.exec",
            f'cannot run a command: "{words[0]}" is there, but no command',
            do="stackdsl lab exec HOST -- COMMAND [ARGUMENT]...",
        )
    _become(labs.find_lab(lab), words[0], list(words[1:]), user)
    return 0


def _become(record: registering.Record, host: str, argv: Sequence[str], user: str | None) -> None:
    env = labs.controller_env() if host == entering.CONTROLLER and user in (None, "root") else None
    command = entering.command(record, host, argv, user=user, env=env)
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the way in must not end before the command
    os.execv(command[0], command)  # noqa: S606  # what exec is for


def status(lab: str | None, *, as_json: bool) -> int:
    """Print the labs that are up; return the exit code."""
    records = [labs.find_lab(lab)] if lab is not None else list(labs.list_labs())
    if as_json:
        streams.print_json(
            [
                telling.lab_json(one.name, one.folder, opening.layout_of(one), _ask(one))
                for one in records
            ]
        )
        return 0
    if not records:
        print("no lab is up", file=sys.stderr)
    for one in records:
        print(_format(one))
    return 0


def _ask(record: registering.Record) -> dict[str, Any]:
    told: dict[str, Any] = opening.ask(record, "status")
    return told


def _format(record: registering.Record) -> str:
    return telling.format_lab(record.name, opening.layout_of(record), _ask(record))
