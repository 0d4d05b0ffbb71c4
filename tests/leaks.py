"""What a test may have left on the machine: processes, sockets, interfaces, control groups, files.

A process is a test's own if its environment, folder or an open file names the test's state folder,
or if it is a child of pytest that was not there before: marks that hold for tests side by side.
"""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CGROUPS = (
    "/sys/fs/cgroup",
    "/sys/fs/cgroup/unified",
    "/sys/fs/cgroup/memory",
    "/sys/fs/cgroup/cpu",
)
ENGINE = "dockerd --host unix:///tmp/sd-engine-"
TEMPORARY = ("/tmp", "/run", "/dev/shm")


@dataclass(frozen=True, kw_only=True)
class Mine:
    """What this pytest process itself holds."""

    children: frozenset[int]
    listeners: frozenset[str]


def look_at_machine() -> frozenset[str]:
    """Return the interfaces, network namespaces, our control groups and our temporary files.

    A control group counts when it is empty: one with processes is someone's who still works, or is
    found by its processes.
    """
    return frozenset(
        [f"interface {name}" for _, name in socket.if_nameindex()]
        + [f"namespace {name}" for name in _names("/run/netns")]
        + [f"cgroup {r}/{n}" for r in CGROUPS for n in _names(r) if _is_ours(n) and _is_empty(r, n)]
        + [f"file {root}/{n}" for root in TEMPORARY for n in _names(root) if _is_ours(n)]
    )


def look_at_self() -> Mine:
    """Return the child processes and listening TCP sockets of this process."""
    listening = _listening_inodes()
    links = [_link(f"/proc/self/fd/{fd}") for fd in _names("/proc/self/fd")]
    sockets = {link[8:-1] for link in links if link.startswith("socket:[")}
    tasks = Path("/proc/self/task").glob("*/children")
    return Mine(
        children=frozenset(int(pid) for task in tasks for pid in _read(task).split()),
        listeners=frozenset(sockets & listening),
    )


def find_processes(home: str) -> dict[int, str]:
    """Return the processes, by pid, that carry a test's state folder; their command lines."""
    return {pid: _command(pid) for pid in _pids() if pid != os.getpid() and _carries(pid, home)}


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # the thread has ended
        return ""


def name_children(pids: frozenset[int]) -> dict[int, str]:
    """Return those processes that live, zombies left out, with their command lines.

    The session's engine, which a test may have started again, ends with the session.
    """
    named = {pid: _command(pid) for pid in pids}
    return {pid: text for pid, text in named.items() if text and not text.startswith(ENGINE)}


def _is_ours(name: str) -> bool:
    return name.startswith("stackdsl")


def _is_empty(root: str, name: str) -> bool:
    try:
        return not Path(root, name, "cgroup.procs").read_text()
    except OSError:
        return False  # just removed


def _carries(pid: int, home: str) -> bool:
    proc = f"/proc/{pid}"
    try:
        if f"={home}".encode() in Path(proc, "environ").read_bytes():
            return True
    except OSError:
        return False  # ended, or someone else's
    files = [f"{proc}/cwd", *(f"{proc}/fd/{fd}" for fd in _names(f"{proc}/fd"))]
    return any(_link(file).startswith(home) for file in files)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def _pids() -> Iterator[int]:
    return (int(name) for name in _names("/proc") if name.isdigit())


def _names(folder: str) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(folder)]
    except OSError:
        return []


def _link(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""


def _listening_inodes() -> set[str]:
    rows = Path("/proc/self/net/tcp").read_text().splitlines()[1:]
    return {fields[9] for row in rows if (fields := row.split())[3] == "0A"}
