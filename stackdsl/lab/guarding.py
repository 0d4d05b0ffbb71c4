"""The lab's guard: starts the keeper in namespaces of its own, and clears up behind its owner.

Laws: it lives outside of the lab, as the owner's child; its one tie is a socket that closes with
the owner, however that ends. If the guard itself is killed, the kernel ends the keeper, and
everything of the lab with it; its folder then waits for `registering.sweep`.
"""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

FILE = "lab.json"
LOCK = "lock"
LOG = "lab.log"
PREFIX = "stackdsl-lab-"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CLEAR_TIMEOUT_S = 10.0
_LARGEST = {"cgroup": "262144", "cgroup2": "10000"}
_Hierarchy = tuple[str, str, str]


def main() -> None:
    """Be the guard. Arguments: the lab's folder, the descriptor of the owner's socket."""
    folder, owner_fd = sys.argv[1], int(sys.argv[2])
    os.set_inheritable(owner_fd, False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the owner says when it is over
    _hold(folder)
    _remove_stale_groups()
    with open(os.path.join(folder, FILE), encoding="utf-8") as file:
        told = json.load(file)
    groups = _make_groups(os.path.basename(folder)) if not told["is_rootless"] else []
    keeper: subprocess.Popen[bytes] | None = None
    try:
        _note(folder, told, groups)
        keeper, telling = _start_keeper(folder, told["unshare"], [path for path, _ in groups])
        _guard(keeper, telling, owner_fd, folder, groups)
    finally:
        _end(keeper)
        remove_groups([path for path, _ in groups])
        shutil.rmtree(folder, ignore_errors=True)


def _hold(folder: str) -> None:
    """Lock the folder for as long as we live; the lock is not seen before it is held."""
    path = os.path.join(folder, LOCK)
    lock = os.open(f"{path}.new", os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(lock, False)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(f"{path}.new", path)


def _note(folder: str, told: dict[str, Any], groups: list[tuple[str, _Hierarchy]]) -> None:
    """Write down what was found out here, for the keeper and for those who enter."""
    told["cgroups"] = [hierarchy for _, hierarchy in groups]
    told["groups"] = [_inner(path, hierarchy) for path, hierarchy in groups]
    with open(os.path.join(folder, f"{FILE}.new"), "w", encoding="utf-8") as file:
        json.dump(told, file)
    os.rename(os.path.join(folder, f"{FILE}.new"), os.path.join(folder, FILE))


def _start_keeper(
    folder: str, unshare: list[str], groups: list[str]
) -> tuple[subprocess.Popen[bytes], int]:
    """Start the keeper inside its namespaces and control groups."""
    telling, told = os.pipe()
    code = "from stackdsl.lab import keeping; keeping.main()"
    here = _list_groups()
    _join(groups)
    try:
        with open(os.path.join(folder, LOG), "ab") as log:
            keeper = subprocess.Popen(
                # --pdeathsig: if we are killed, so is it
                ["setpriv", "--pdeathsig", "KILL", *unshare, *python(code), folder, str(told)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[told],
                env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:{_PATH}"},
            )
    finally:
        _join(here)
        os.close(told)
    return keeper, telling


def _inner(path: str, hierarchy: _Hierarchy) -> str:
    """Return the control group for the lab's processes. In version 2 it is one further down: a
    group that shares out controllers has no processes itself. Source: cgroups(7), "no internal
    processes"."""
    return f"{path}/all" if hierarchy[1] == "cgroup2" else path


def _share_controllers(groups: list[tuple[str, _Hierarchy]]) -> None:
    """Let groups inside the lab's (Docker's) have the controllers of version 2."""
    for path, hierarchy in groups:
        if hierarchy[1] == "cgroup2":
            with open(f"{path}/cgroup.controllers", encoding="ascii") as file:
                names = file.read().split()
            for name in names:
                with contextlib.suppress(OSError):
                    _set(f"{path}/cgroup.subtree_control", f"+{name}")


def python(code: str) -> list[str]:
    """Return a command that runs ``code`` with this package and nothing else imported."""
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    seen = f"import sys; sys.path.insert(0, {top!r}); {code}"
    return [sys.executable, "-S", "-E", "-c", seen]


def _guard(
    keeper: subprocess.Popen[bytes],
    telling: int,
    owner_fd: int,
    folder: str,
    groups: list[tuple[str, _Hierarchy]],
) -> None:
    """Return when the owner is gone or the keeper has ended."""
    ended = os.pidfd_open(keeper.pid)
    watched = {telling, owner_fd, ended}
    said = b""
    while True:
        ready, _, _ = select.select(watched, [], [])
        if owner_fd in ready and not os.read(owner_fd, 4096):
            return
        if telling in ready:
            said += os.read(telling, 4096)  # `unshare` has the other end too: no end of file
            if said.endswith(b"\n"):
                _join(_list_groups(), keeper.pid)  # what waits for the keeper need not be in there
                _share_controllers(groups)
                watched.discard(telling)
                _tell(owner_fd, said)
        elif ended in ready:
            if telling in watched:
                _tell(owner_fd, _say_end(keeper.wait(), folder))
            return


def _say_end(code: int, folder: str) -> bytes:
    with open(os.path.join(folder, LOG), encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()[-20:]
    said = {"error": f"its keeper ended with {code}", "lines": lines}
    return json.dumps(said).encode() + b"\n"


def _tell(owner_fd: int, said: bytes) -> None:
    with contextlib.suppress(OSError):  # the owner has gone meanwhile
        os.write(owner_fd, said)


def _end(keeper: subprocess.Popen[bytes] | None) -> None:
    """Kill the keeper; when it can be waited for, everything in its PID namespace is gone."""
    if keeper is None:
        return
    for pid in _children_of(keeper.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    try:
        keeper.wait(_CLEAR_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        keeper.kill()
        keeper.wait()


def _children_of(parent: int) -> list[int]:
    try:
        with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def _list_hierarchies() -> list[tuple[str, str, str, str]]:
    """Return (our group's folder, mount point, type, options) of each hierarchy that is mounted.
    Source: cgroups(7), proc(5)."""
    ours: dict[str, str] = {}
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        for row in file:
            _, controllers, path = row.rstrip("\n").split(":", 2)
            ours[controllers] = path
    found = []
    with open("/proc/self/mounts", encoding="utf-8") as file:
        for row in file:
            _, place, kind, options = row.split()[:4]
            if kind == "cgroup2" and "" in ours:
                found.append((place + ours[""].rstrip("/"), place, kind, ""))
            elif kind == "cgroup":
                for controllers, path in ours.items():
                    if controllers and set(controllers.split(",")) <= set(options.split(",")):
                        told = f"none,{controllers}" if "name=" in controllers else controllers
                        found.append((place + path.rstrip("/"), place, kind, told))
    return found


def _list_groups() -> list[str]:
    return [ours for ours, _, _, _ in _list_hierarchies()]


def _make_groups(name: str) -> list[tuple[str, _Hierarchy]]:
    """Make the lab's control group in every hierarchy that lets us."""
    made = []
    for ours, place, kind, options in _list_hierarchies():
        path = f"{ours}/{PREFIX}{name}-{os.getpid()}"
        try:
            os.mkdir(path)
        except OSError:
            continue
        for rule in ("cpuset.cpus", "cpuset.mems"):  # empty ones take no process
            if kind == "cgroup" and os.path.exists(f"{path}/{rule}"):
                with open(f"{ours}/{rule}", encoding="ascii") as above:
                    value = above.read()
                _set(f"{path}/{rule}", value)
        # Or the uplinks would be late on a machine that is busy with something else.
        with contextlib.suppress(OSError):
            _set(f"{path}/{'cpu.shares' if kind == 'cgroup' else 'cpu.weight'}", _LARGEST[kind])
        if kind == "cgroup2":
            os.mkdir(f"{path}/all")
        made.append((path, (place, kind, options)))
    return made


def _remove_stale_groups() -> None:
    """Remove what labs left whose guards were killed: their names end with the guard's id."""
    for top in _list_groups():
        with contextlib.suppress(OSError):
            names = [name for name in os.listdir(top) if name.startswith(PREFIX)]
            gone = [name for name in names if not os.path.exists(f"/proc/{name.split('-')[-1]}")]
            _remove_trees([f"{top}/{name}" for name in gone])


def _remove_trees(groups: list[str]) -> None:
    """Remove groups as far as they are empty."""
    for top in groups:
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def _set(path: str, value: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)  # never made: the kernel's files are there
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write(value)


def _join(groups: list[str], pid: int = 0) -> None:
    for path in groups:
        with contextlib.suppress(OSError), open(f"{path}/cgroup.procs", "w") as file:
            file.write(str(pid or os.getpid()))


def remove_groups(groups: list[str]) -> None:
    """Remove control groups and those made in them: each is empty as soon as its last process is
    taken in."""
    deadline = time.monotonic() + _CLEAR_TIMEOUT_S
    left = groups
    while left and time.monotonic() < deadline:
        _remove_trees(left)
        left = [top for top in left if os.path.exists(top)]
        if left:
            time.sleep(0.01)
