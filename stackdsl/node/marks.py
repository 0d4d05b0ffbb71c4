"""Finding everything that a run started, with no memory of it: by the marks that it carries.

The marks: the run's id in the environment; its cgroup; output into the run's logs; descent from a
marked one (PostgreSQL's children overwrite their environment, daemons close their output).
"""

import os

from stackdsl.node import cgroups, proctable

RUN_ID = "STACKDSL_RUN_ID"
REPLICA = "STACKDSL_REPLICA"


def find_marked(run_id: str, folder: str) -> list[int]:
    """Return the living processes of a run, the caller and those above it left out.

    Works from any process. ``folder`` is the run's folder. An empty ``run_id`` is one that is not
    known any more: the folder's logs and descent must do.
    """
    parents = proctable.read_parents()
    ours = _lineage(os.getpid(), parents)
    mark = f"{RUN_ID}={run_id}\0".encode() if run_id else b""
    logs = os.path.realpath(folder) + "/logs/"
    inside = {pid for path in cgroups.find_all(run_id) for pid in cgroups.list_pids(path)}
    marked = {
        pid for pid in parents if pid not in ours and (pid in inside or _is_marked(pid, mark, logs))
    }
    _add_descendants(marked, parents, ours)
    return sorted(marked & parents.keys())


def _is_marked(pid: int, mark: bytes, logs: str) -> bool:
    if mark and _has_entry(pid, mark):
        return True
    return any(proctable.open_path(pid, fd).startswith(logs) for fd in (1, 2))


def _has_entry(pid: int, entry: bytes) -> bool:
    environ = proctable.read_environ(pid)
    return environ.startswith(entry) or b"\0" + entry in environ


def is_of_run(pid: int, run_id: str) -> bool:
    """Whether a process carries a run's id in its environment."""
    return _has_entry(pid, f"{RUN_ID}={run_id}\0".encode())


def _lineage(pid: int, parents: dict[int, int]) -> set[int]:
    found = {0, 1}
    while pid not in found:
        found.add(pid)
        pid = parents.get(pid, 0)
    return found


def _add_descendants(marked: set[int], parents: dict[int, int], ours: set[int]) -> None:
    below: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        below.setdefault(parent, []).append(pid)
    pending = list(marked)
    while pending:
        for pid in below.get(pending.pop(), ()):
            if pid not in marked and pid not in ours:
                marked.add(pid)
                pending.append(pid)


def replica_of(pid: int, folder: str) -> str | None:
    """Return which replica a process belongs to, None where no mark tells."""
    prefix = REPLICA.encode() + b"="
    for entry in proctable.read_environ(pid).split(b"\0"):
        if entry.startswith(prefix):
            return entry[len(prefix) :].decode(errors="replace")
    logs = os.path.realpath(folder) + "/logs/"
    for fd in (1, 2):
        path = proctable.open_path(pid, fd)
        if path.startswith(logs):
            return path[len(logs) :].rpartition(".")[0]
    return None
