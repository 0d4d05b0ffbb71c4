"""A run's cgroup, where the machine lets us make one: everything started stays inside.

Version 2 only (at /sys/fs/cgroup, or /sys/fs/cgroup/unified beside version 1). One cgroup for a
run: the node moves itself in, so that children are born inside; one each for services with limits.
Source: cgroups(7), Documentation/admin-guide/cgroup-v2.rst.
"""

import contextlib
import os
import threading
import time

from stackdsl.model import services

_ROOTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
PREFIX = "stackdsl-"


def find_root() -> str | None:
    """Return where version 2 is mounted and may be written by us."""
    for root in _ROOTS:
        if os.path.exists(f"{root}/cgroup.procs"):
            return (
                root
                if os.access(root, os.W_OK) and os.access(f"{root}/cgroup.procs", os.W_OK)
                else None
            )
    return None


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def own_path(root: str) -> str:
    """Return the cgroup that we are in."""
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        for line in file:
            if line.startswith("0::"):
                return root + line[3:].rstrip("\n").removesuffix("/")
    return root


def list_pids(path: str) -> list[int]:
    """Return the processes directly in a cgroup."""
    try:
        with open(f"{path}/cgroup.procs", encoding="utf-8") as file:
            return [int(line) for line in file]
    except OSError:
        return []


def find_all(run_id: str) -> list[str]:
    """Return a run's cgroups, its own first."""
    root = find_root()
    if root is None:
        return []
    own = PREFIX + run_id
    try:
        names = sorted(os.listdir(root))
    except OSError:
        return []
    return [f"{root}/{name}" for name in names if name == own or name.startswith(own + ".")]


def kill_all(run_id: str) -> None:
    """Kill everything in a run's cgroups; the caller must not be inside."""
    for path in find_all(run_id):
        try:
            _write(f"{path}/cgroup.kill", "1")
        except OSError:  # before Linux 5.14 there is no cgroup.kill
            for pid in list_pids(path):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, 9)


def remove_all(run_id: str) -> bool:
    """Remove a run's cgroups; return whether none is left."""
    for path in find_all(run_id):
        with contextlib.suppress(OSError):
            os.rmdir(path)
    for controller in ("memory", "cpu"):
        _remove_v1(controller, run_id)
    return not find_all(run_id)


def remove_deserted(age_s: float = 60.0, prefix: str = PREFIX) -> None:
    """Remove cgroups of any run that have been empty for a while: what made them was killed, and
    its state folder is gone. A living node stands in its own."""
    root = find_root()
    if root is None:
        return
    for name in os.listdir(root):
        path = f"{root}/{name}"
        with contextlib.suppress(OSError):  # it is not empty, or another removes it
            if name.startswith(prefix) and time.time() - os.stat(path).st_mtime > age_s:
                os.rmdir(path)


def _remove_v1(controller: str, run_id: str) -> None:
    root = f"/sys/fs/cgroup/{controller}"
    with contextlib.suppress(OSError):
        for name in os.listdir(root):
            if name.startswith(f"{PREFIX}{run_id}."):
                with contextlib.suppress(OSError):
                    os.rmdir(f"{root}/{name}")


def leave(root: str, home: str) -> None:
    """Move ourselves out of a run's cgroup, home or else to the root."""
    for path in (home, root):
        try:
            _write(f"{path}/cgroup.procs", str(os.getpid()))
        except OSError:
            continue
        return


class RunCgroup:
    """The cgroup of one run, with us inside."""

    def __init__(self, run_id: str, root: str, home: str) -> None:
        self.run_id = run_id
        self.path = f"{root}/{PREFIX}{run_id}"
        self._root = root
        self._home = home
        self._has_left = False
        # The kernel takes up to 20 ms to move a process: meanwhile there is other work.
        self._moving = threading.Thread(target=self._enter, name="enter cgroup", daemon=True)
        self._moving.start()

    def _enter(self) -> None:
        with contextlib.suppress(OSError):
            _write(f"{self.path}/cgroup.procs", str(os.getpid()))

    def settle(self) -> None:
        """Wait until we are inside (or may not be): children are born where we are."""
        self._moving.join()

    def begin_leaving(self) -> None:
        """Begin to move ourselves out, while there is other work."""
        if not self._has_left:
            self._has_left = True
            self.settle()
            self._moving = threading.Thread(target=self._leave, name="leave cgroup", daemon=True)
            self._moving.start()

    def _leave(self) -> None:
        leave(self._root, self._home)

    def leave(self) -> None:
        """Move ourselves out, so that what stays can be killed and the cgroup removed."""
        self.begin_leaving()
        self._moving.join()

    def pids(self) -> list[int]:
        """Return what runs inside, ourselves left out."""
        us = os.getpid()
        return [pid for path in find_all(self.run_id) for pid in list_pids(path) if pid != us]


def enter(run_id: str) -> RunCgroup | None:
    """Make a run's cgroup, or take it up, and begin to move ourselves in; None where we may
    not."""
    root = find_root()
    if root is None:
        return None
    home = own_path(root)
    if os.path.basename(home).startswith(PREFIX):
        # A run inside a run: when it ends we go to the top, not into what may be gone by then.
        home = root
    try:
        os.mkdir(f"{root}/{PREFIX}{run_id}")
    except FileExistsError:
        pass
    except OSError:
        return None
    return RunCgroup(run_id, root, home)


def can_limit(controller: str) -> bool:
    """Return whether services can be bounded by a controller ("memory", "cpu") here."""
    return _limit_root(controller) is not None


def _limit_root(controller: str) -> str | None:
    root = find_root()
    if root is not None:
        try:
            with open(f"{root}/cgroup.subtree_control", encoding="utf-8") as file:
                if controller in file.read().split():
                    return root
        except OSError:
            return None
    first = f"/sys/fs/cgroup/{controller}"
    return first if os.access(f"{first}/cgroup.procs", os.W_OK) else None


class Bounds:
    """The cgroups that bound one service; `enter` before its start, `leave` right after it."""

    def __init__(self, run_id: str, name: str, limits: services.Limits) -> None:
        self.has_memory = False
        self._paths: list[tuple[str, str]] = []
        wanted = {"memory": limits.memory_bytes, "cpu": limits.cpu}
        for controller, amount in wanted.items():
            root = _limit_root(controller) if amount is not None else None
            if root is None or amount is None:
                continue
            path = f"{root}/{PREFIX}{run_id}.{name}"
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(path)
                _set_limit(path, controller, amount)
            except OSError:
                continue
            self.has_memory = self.has_memory or controller == "memory"
            self._paths.append((path, root))

    def enter(self) -> None:
        """Move ourselves in, so that the child is born inside."""
        for path, _ in self._paths:
            _write(f"{path}/cgroup.procs", str(os.getpid()))

    def leave(self, own: RunCgroup | None) -> None:
        """Move ourselves back."""
        for _, root in self._paths:
            back = (
                own.path if own is not None and own.path.startswith(root + "/stackdsl-") else root
            )
            with contextlib.suppress(OSError):
                _write(f"{back}/cgroup.procs", str(os.getpid()))


def _set_limit(path: str, controller: str, amount: float) -> None:
    is_second = os.path.exists(f"{path}/cgroup.controllers")
    if controller == "memory":
        _write(f"{path}/{'memory.max' if is_second else 'memory.limit_in_bytes'}", str(int(amount)))
    elif is_second:
        _write(f"{path}/cpu.max", f"{int(amount * 100_000)} 100000")
    else:
        _write(f"{path}/cpu.cfs_period_us", "100000")
        _write(f"{path}/cpu.cfs_quota_us", str(int(amount * 100_000)))
