"""What /proc tells of processes: state, parents, start times, marks. Source: proc(5).

Laws: a process that is gone, or that may not be read, is None or empty, never an error.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass

_LOOKS = 5


@dataclass(frozen=True, slots=True)
class Stat:
    """One process: ``state`` is a letter (Z is a zombie), ``start_ticks`` tells it apart from a
    later one with the same pid."""

    pid: int
    state: str
    ppid: int
    pgid: int
    session: int
    start_ticks: int

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self.state not in "ZX"


def read_stat(pid: int) -> Stat | None:
    """Return what is known of one process."""
    data = _read(f"/proc/{pid}/stat")
    if not data:
        return None
    fields = data[data.rindex(b")") + 2 :].split()
    return Stat(
        pid, fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19])
    )


def start_ticks(pid: int) -> int:
    """Return when a living process started, in clock ticks after boot; 0 if there is none."""
    stat = read_stat(pid)
    return stat.start_ticks if stat is not None and stat.is_alive else 0


def list_pids() -> list[int]:
    """Return every process."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def read_parents() -> dict[int, int]:
    """Return the parent of every process that runs, zombies left out."""
    stats = (read_stat(pid) for pid in list_pids())
    return {stat.pid: stat.ppid for stat in stats if stat is not None and stat.is_alive}


def children(pid: int) -> list[int]:
    """Return the children of a process, zombies included."""
    for _ in range(_LOOKS):
        found: list[int] = []
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            return found
        for thread in threads:
            data = _read(f"/proc/{pid}/task/{thread}/children")
            if data is None:
                break
            found.extend(map(int, data.split()))
        else:
            return found
        if os.path.exists(f"/proc/{pid}/task/{thread}"):
            break  # a kernel without these lists
        # it ended meanwhile, and what it had started is another thread's by now: once more
    return _children_by_parent(pid)


def _children_by_parent(pid: int) -> list[int]:
    """Find children where the kernel has no list of them (CONFIG_PROC_CHILDREN)."""
    if not os.path.exists(f"/proc/{pid}"):
        return []
    stats = (read_stat(each) for each in list_pids())
    return [stat.pid for stat in stats if stat is not None and stat.ppid == pid]


def descendants(pids: Iterable[int]) -> list[int]:
    """Return everything below the given processes, themselves not included."""
    found: list[int] = []
    pending = list(pids)
    while pending:
        below = children(pending.pop())
        found.extend(below)
        pending.extend(below)
    return found


def read_environ(pid: int) -> bytes:
    """Return the environment a process was started with, entries ended by NUL."""
    return _read(f"/proc/{pid}/environ") or b""


def read_command(pid: int) -> list[str]:
    """Return a process's argv, or its name in brackets where there is none (kernel threads)."""
    data = _read(f"/proc/{pid}/cmdline")
    if data:
        return [part.decode(errors="replace") for part in data.rstrip(b"\0").split(b"\0")]
    return [f"[{read_name(pid)}]"]


def read_name(pid: int) -> str:
    """Return a process's short name (comm, at most 15 bytes)."""
    return (_read(f"/proc/{pid}/comm") or b"").decode(errors="replace").removesuffix("\n")


def open_path(pid: int, fd: int) -> str:
    """Return what one of a process's descriptors points to."""
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return ""


def socket_inodes(pid: int) -> set[int]:
    """Return the inodes of the sockets that a process holds."""
    inodes: set[int] = set()
    try:
        fds = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return inodes
    for fd in fds:
        target = open_path(pid, int(fd))
        if target.startswith("socket:["):
            inodes.add(int(target[8:-1]))
    return inodes


def boot_id() -> str:
    """Return what tells this boot from others: start times count from it."""
    return (_read("/proc/sys/kernel/random/boot_id") or b"").decode().strip()


def _read(path: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        parts: list[bytes] = []
        while chunk := os.read(fd, 65536):
            parts.append(chunk)
        return b"".join(parts)
    except OSError:
        return None
    finally:
        os.close(fd)
