"""`exec`, `shell` and `do`: programs in the surroundings of a service, and tasks run again."""

import asyncio
import dataclasses
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from stackdsl.cli import choosing, streams
from stackdsl.model import errors, specs, states
from stackdsl.session import background, outputs, visiting
from stackdsl.views import statuses

if TYPE_CHECKING:
    from stackdsl.registry import store as stores


def execute(words: Sequence[str], option: str | None) -> int:
    """Become a command in the surroundings of a service; its exit code is ours."""
    record, rest = _find(words, option)
    if len(rest) < 2:
        what = f'"{rest[0]}" is there, but no command' if rest else "no service was named"
        raise errors.UsageError(
            "usage.exec",
            f"cannot run a command: {what}",
            do="stackdsl exec [STACK] SERVICE -- COMMAND [ARGUMENT]...",
        )
    try:
        spec = asyncio.run(_ask_surroundings(record, rest[0]))
    except errors.UsageError as error:
        if error.code != "usage.far-surroundings":
            raise
        return asyncio.run(_execute_far(record, rest[0], rest[1:]))
    return _enter(record, spec, list(rest[1:]), rest[0])


async def _execute_far(record: "stores.Record", name: str, argv: Sequence[str]) -> int:
    """Run a command on another machine, by its node; its output comes at the end."""
    async with background.connect(record) as client:
        done = await client.execute(name, argv, None)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    return done.exit_code


def shell(words: Sequence[str], option: str | None) -> int:
    """Become $SHELL in the surroundings of a service."""
    record, rest = _find(words, option)
    if len(rest) != 1:
        raise errors.UsageError(
            "usage.shell",
            f"cannot open a shell: {'one service at a time' if rest else 'no service was named'}",
            do="stackdsl shell [STACK] SERVICE",
        )
    spec = asyncio.run(_ask_surroundings(record, rest[0]))
    shell = os.environ.get("SHELL") or "/bin/sh"
    if visiting.find_container(spec) is not None:
        shell = "/bin/sh"  # the person's own need not be in the image
    return _enter(record, spec, [shell], rest[0])


def _find(words: Sequence[str], option: str | None) -> "tuple[stores.Record, list[str]]":
    with choosing.open_records() as (_, records):
        return choosing.choose_run(words, option, records)


async def _ask_surroundings(record: "stores.Record", name: str) -> specs.ServiceSpec:
    async with background.connect(record) as client:
        return await client.surroundings(name)


def _enter(record: "stores.Record", spec: specs.ServiceSpec, argv: list[str], name: str) -> int:
    container = visiting.find_container(spec)
    if container is not None:
        return visiting.visit(record.folder, container, argv, name)
    if spec.namespace is not None:
        argv = asyncio.run(_lead_inside(record, spec, argv))
        spec = dataclasses.replace(spec, user=None)  # only who may enter may become another inside
    return _become(spec, argv, name)


async def _lead_inside(
    record: "stores.Record", spec: specs.ServiceSpec, argv: list[str]
) -> list[str]:
    """Return the command that runs ``argv`` in the namespaces of an isolated replica.

    Raises:
        UsageError: it does not run, and so has none.
    """
    async with background.connect(record) as client:
        status = await client.status()
    (one,) = (each for each in status.services if each.name == spec.name)
    if one.pid is None:
        raise errors.UsageError(
            "usage.no-surroundings",
            f'cannot run anything in "{spec.name}": it is {one.state}, and so has no namespace',
            do=f"start it: stackdsl start {spec.name}",
        )
    user = [] if spec.user is None else ["setpriv", "--reuid", spec.user, "--init-groups"]
    where = f"--wd={spec.cwd or spec.dir}"
    return ["nsenter", "--target", str(one.pid), "--net", "--mount", where, *user, *argv]


def _become(spec: specs.ServiceSpec, argv: list[str], name: str) -> int:
    """Replace this process by a command, so that signals and the terminal are its own.

    Raises:
        UsageError: it cannot be run there.
    """
    env = dict(os.environ)
    for key, value in spec.env:
        if value is None:
            env.pop(key, None)
        else:
            env[key] = value
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.chdir(spec.cwd or spec.dir)
        if spec.user is not None:
            _become_user(spec.user)
        os.execvpe(argv[0], argv, env)  # noqa: S606  # what exec is for
    except OSError as error:
        raise errors.UsageError(
            "usage.exec-failed",
            f'cannot run "{argv[0]}" in "{name}": {error.strerror or error}',
            why=_say_where(spec, env),
            do="name a program that is found there, with its full path if need be",
        ) from error


def _become_user(user: str) -> None:
    import pwd

    if user in (str(os.geteuid()), pwd.getpwuid(os.geteuid()).pw_name):
        return
    row = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    os.initgroups(row.pw_name, row.pw_gid)
    os.setgid(row.pw_gid)
    os.setuid(row.pw_uid)


def _say_where(spec: specs.ServiceSpec, env: Mapping[str, str]) -> str:
    return f'in folder "{spec.cwd or spec.dir}", PATH is {env.get("PATH", os.defpath)}'


def do(words: Sequence[str], option: str | None, *, as_json: bool) -> int:
    """Run a task again, print its output; return the exit code."""
    record, rest = _find(words, option)
    if len(rest) != 1:
        raise errors.UsageError(
            "usage.do",
            f"cannot do a task: {'one at a time' if rest else 'none was named'}",
            do="stackdsl do [STACK] TASK",
        )
    return asyncio.run(_do(record, rest[0], as_json=as_json))


async def _do(record: "stores.Record", name: str, *, as_json: bool) -> int:
    began_ns = time.time_ns()
    async with background.connect(record) as client:
        secrets = await client.secrets()
        try:
            ended: states.ServiceStatus | None = await client.do_task(name)
        except errors.ServiceError:
            if not as_json:
                _print_output(record.folder, name, secrets, began_ns)
            raise
    assert ended is not None
    if as_json:
        streams.print_json(statuses.service_json(ended))
    else:
        _print_output(record.folder, ended.name, secrets, began_ns)
    return 0 if ended.state == "completed" else 1


def _print_output(folder: str, name: str, secrets: Sequence[str], since_ns: int) -> None:
    for chunk in outputs.read_lines(folder, [name], secrets, since_ns=since_ns):
        stream = sys.stdout if chunk.stream == "out" else sys.stderr
        stream.write("".join(f"{line}\n" for line in chunk.lines))
    sys.stdout.flush()
