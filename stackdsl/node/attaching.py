"""Taking hold of a process that someone else started: watched and probed, never signalled."""

import os
from collections.abc import Callable

from stackdsl.model import errors, specs
from stackdsl.node import processes, proctable


def attach(
    spec: specs.ServiceSpec, spawner: processes.Spawner, on_exit: Callable[[], None]
) -> processes.Process:
    """Watch the process that a spec names by pid or by name.

    Raises:
        ServiceError: there is none, or several have that name.
    """
    pid = spec.attach_pid
    if pid is None:
        pid = _find(spec.attach_process or "")
    try:
        return spawner.adopt(pid, on_exit)
    except ProcessLookupError as error:
        raise errors.ServiceError(
            "start.no-process",
            f"process {pid} does not exist",
            do="start it, or correct attach(pid=…)",
        ) from error


def _find(name: str) -> int:
    found = [
        pid
        for pid in proctable.list_pids()
        if pid != os.getpid() and _is_called(pid, name) and proctable.start_ticks(pid)
    ]
    # Of a server and its forked workers, all of one name, the one above is meant.
    tops = [pid for pid in found if _parent(pid) not in found]
    if len(tops) == 1:
        return tops[0]
    if not found:
        raise errors.ServiceError(
            "start.no-process",
            f'no process is named "{name}"',
            why="compared with each process's short name and the last part of its argv[0]",
            do="start it, or correct attach(process=…); `ps -eo pid,comm,args` lists names",
        )
    raise errors.ServiceError(
        "start.ambiguous-process",
        f'{len(tops)} processes are named "{name}"',
        why="\n".join(f"{pid} {' '.join(proctable.read_command(pid))[:100]}" for pid in tops[:10]),
        do="name one: attach(pid=…)",
    )


def _is_called(pid: int, name: str) -> bool:
    if proctable.read_name(pid) == name:
        return True
    return os.path.basename(proctable.read_command(pid)[0]) == name


def _parent(pid: int) -> int:
    stat = proctable.read_stat(pid)
    return 0 if stat is None else stat.ppid
