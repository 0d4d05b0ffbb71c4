"""A host from power on to power off: its namespaces, its files, its sshd, its first process.

The first process is a fork of the lab's keeper: it takes in what has lost its parent, starts the
Docker engine when it is first asked for, and ends with everything else when the power goes.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import time
from typing import Any, NoReturn

from stackdsl.lab import accounts, layouts, linking, namespaces, rooting
from stackdsl.model.data import dataclass

SSHD = "/usr/sbin/sshd"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DOCKER_SOCKET = "/run/docker.sock"
_SSHD_TIMEOUT_S = 20.0
_LISTENING_ON_22 = ":0016 00000000:0000 0A"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a host is made of: ``keys`` are folder and authorized key; ``readable`` and
    ``writable`` are paths of the machine to show; ``cgroups`` as `rooting.mount_cgroups` takes
    them; ``door`` is a socket that listens: whoever connects learns the first process's id."""

    layout: layouts.Layout
    net: layouts.HostNet
    disk: rooting.Disk
    keys: tuple[str, str]
    known_hosts: str
    readable: tuple[str, ...]
    writable: tuple[str, ...]
    cgroups: tuple[tuple[str, str, str], ...]
    door: str

    @property
    def is_controller(self) -> bool:
        """Whether runs are controlled from here."""
        return self.net is self.layout.controller


def power_on(machine: Machine) -> tuple[int, int]:
    """Fork a host; return the id of its first process and a descriptor that tells when it is up:
    JSON, an object with "error" if it is not.

    The network namespace must be there. The caller becomes the parent of the first process.
    """
    reading, writing = os.pipe()
    told, telling = os.pipe()
    between = os.fork()
    if between == 0:
        _leave(machine, telling, writing)
    os.close(writing)
    os.close(telling)
    with os.fdopen(told, "rb") as file:
        pid = int(file.read() or b"0")
    os.waitpid(between, 0)
    return pid, reading


def _leave(machine: Machine, telling: int, writing: int) -> NoReturn:
    """Enter a host's namespaces, and fork its first process into them."""
    try:
        namespaces.enter(f"/run/netns/{machine.net.namespace}")
        kinds = namespaces.NEWNS | namespaces.NEWPID | namespaces.NEWUTS | namespaces.NEWIPC
        namespaces.unshare(kinds)
        # `ip netns` shares its folder's mounts: ours must not take theirs along
        namespaces.mount("", "/", flags=namespaces.REC | namespaces.PRIVATE)
        pid = os.fork()
        if pid:
            os.write(telling, str(pid).encode())
            os._exit(0)
        _be_first(machine, writing)
    except OSError as error:
        os.write(writing, json.dumps({"error": str(error)}).encode())
    finally:
        os._exit(1)


def _be_first(machine: Machine, writing: int) -> NoReturn:
    """Be process 1 of a host."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    try:
        door = _open_door(machine.door)
        close_others({writing, door.fileno()})
        engine = _set_up(machine)
        os.write(writing, b"{}")
        os.close(writing)
    except (OSError, subprocess.SubprocessError, KeyError) as error:
        os.write(writing, json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
        os._exit(1)
    _serve(door, engine)


def close_others(kept: set[int]) -> None:
    """Close what belongs to the keeper, but for the standard streams."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in {0, 1, 2, *kept}:
            with contextlib.suppress(OSError):  # that of the listing itself
                os.close(int(name))


def _open_door(path: str) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    door = socket.socket(socket.AF_UNIX)
    door.bind(path)
    door.listen(64)
    return door


def _set_up(machine: Machine) -> socket.socket | None:
    """Make the host; return the engine's socket, if it has one."""
    host = machine.net.host
    if not host.python:
        rooting.take_python_away(machine.disk)
    root = rooting.assemble(machine.disk)
    rooting.furnish(root, machine.disk, has_tun=host.tun, has_docker=host.docker)
    rooting.mount_cgroups(root, machine.cgroups)
    people = _write_files(machine, root)
    outside = ""
    if machine.is_controller:
        rooting.show_outside(root)
    for path in machine.readable:
        _show_hidden(path, root)
    namespaces.change_root(root)
    if machine.is_controller:
        outside = rooting.OUTSIDE
        for path in machine.writable:
            rooting.show(path, outside, is_read_only=False)
    socket.sethostname(host.name)
    script = linking.host_script(machine.layout, machine.net)
    _run(["sh", "-ec", script])
    engine = _listen_for_docker(people) if host.docker else None
    _start_sshd()
    return engine


def _show_hidden(path: str, root: str) -> None:
    """Show a path that a host's own folders hide (the interpreter may live in a home)."""
    if path.startswith(("/root/", "/home/", "/tmp/", "/run/")) or os.path.ismount(path):  # noqa: S108
        target = root + path
        os.makedirs(target, exist_ok=True)
        with contextlib.suppress(OSError):
            namespaces.bind(path, target, is_read_only=True)


def _write_files(machine: Machine, root: str) -> accounts.Accounts:
    """Write what makes this host another than the machine."""
    host = machine.net.host
    shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
    with open("/etc/passwd", encoding="utf-8") as passwd, open("/etc/group") as group:
        people = accounts.Accounts(passwd.read(), group.read(), host, shell)
    is_alone = machine.disk.is_rootless and not _has_many_users()
    _write(root, "/etc/passwd", people.as_seen_by_one_user() if is_alone else people.passwd())
    _write(root, "/etc/group", people.group())
    _write(root, "/etc/shadow", people.shadow(), 0o640)
    _write(root, "/etc/hostname", f"{host.name}\n")
    _write(root, "/etc/hosts", layouts.hosts_file(machine.layout, host.name))
    _write(root, "/etc/resolv.conf", "# no name servers: /etc/hosts has all names of the lab\n")
    _write(root, "/etc/sudoers", accounts.sudoers(host), 0o440)
    _write(root, "/etc/ssh/lab/sshd_config", accounts.sshd_config())
    keys, authorized = machine.keys
    with open(os.path.join(keys, host.name), encoding="utf-8") as key:
        _write(root, accounts.KEY, key.read(), 0o600)
    os.makedirs(f"{root}/run/sshd", exist_ok=True)
    homes = {people.home: (people.uid, people.gid), "/root": (0, 0)}
    for home, owner in homes.items():
        _make_home(root, home, owner, authorized if home == people.home else "")
    if machine.is_controller:
        with open(os.path.join(keys, "id_ed25519"), encoding="utf-8") as key:
            _write(root, "/root/.ssh/id_ed25519", key.read(), 0o600)
        _write(root, "/root/.ssh/id_ed25519.pub", authorized)
        write_ssh_files(root, machine.layout, machine.known_hosts)
    return people


def write_ssh_files(root: str, layout: layouts.Layout, known_hosts: str) -> None:
    """Write where the controller finds the lab's hosts, below its root."""
    _write(root, "/root/.ssh/config", accounts.ssh_config(layout), 0o600)
    _write(root, "/root/.ssh/known_hosts", known_hosts, 0o600)


def _has_many_users() -> bool:
    with open("/proc/self/uid_map", encoding="utf-8") as file:
        return sum(int(row.split()[2]) for row in file) > 1


def _make_home(root: str, home: str, owner: tuple[int, int], authorized: str) -> None:
    os.makedirs(f"{root}{home}/.ssh", exist_ok=True)
    if authorized:
        _write(root, f"{home}/.ssh/authorized_keys", authorized, 0o600)
    for path in (home, f"{home}/.ssh"):
        os.chmod(root + path, 0o700)
    for path in (home, f"{home}/.ssh", f"{home}/.ssh/authorized_keys"):
        if os.path.exists(root + path):
            os.chown(root + path, *owner)


def _write(root: str, path: str, text: str, mode: int = 0o644) -> None:
    target = root + path
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(target)  # never through a link to somewhere else
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        os.fchmod(fd, mode)
        file.write(text)


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={"PATH": PATH})
    if done.returncode:
        raise OSError(f"{argv[0]} ended with {done.returncode}: {done.stderr.strip()}")


def _start_sshd() -> None:
    """Start the host's sshd; returns when it listens."""
    log = os.open("/var/log/sshd.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    process = subprocess.Popen(
        [SSHD, "-D", "-e", "-f", "/etc/ssh/lab/sshd_config"],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={"PATH": PATH},
        start_new_session=True,
    )
    os.close(log)
    deadline = time.monotonic() + _SSHD_TIMEOUT_S
    while not _is_listening():
        if process.poll() is not None or time.monotonic() > deadline:
            with open("/var/log/sshd.log", encoding="utf-8", errors="replace") as file:
                raise OSError(f"sshd does not listen: {file.read().strip()[-500:]}")
        time.sleep(0.003)
    process.returncode = 0  # the loop below takes its end in: no complaint when it is forgotten


def _is_listening() -> bool:
    with open("/proc/net/tcp", encoding="ascii") as file:
        return _LISTENING_ON_22 in file.read()


def _listen_for_docker(people: accounts.Accounts) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(_DOCKER_SOCKET)
    listener.listen(64)
    os.chmod(_DOCKER_SOCKET, 0o660)
    os.chown(_DOCKER_SOCKET, 0, people.gid_of("docker"))
    return listener


def _start_docker(listener: socket.socket) -> int:
    """Start the engine with the socket that somebody waits at; return its process id. Source:
    sd_listen_fds(3), which dockerd follows for ``--host fd://``."""
    pid = os.fork()
    if pid:
        return pid
    with contextlib.suppress(BaseException):
        log = os.open("/var/log/dockerd.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.setsid()
        # First out of the way: the listener may be the descriptor that it must be given as.
        copy = os.dup(listener.fileno())
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.dup2(copy, 3)
        os.closerange(4, 256)
        env = {"PATH": PATH, "LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "HOME": "/root"}
        os.execvpe("dockerd", _DOCKERD, env)  # noqa: S606 - a program that is looked for
    os._exit(127)


_DOCKERD = [
    "dockerd",
    *("--host", "fd://"),
    *("--exec-root", "/run/docker", "--pidfile", "/run/docker.pid"),
    *("--storage-driver", "overlay2"),
    *("--exec-opt", "native.cgroupdriver=cgroupfs"),
]


def _serve(door: socket.socket, engine: socket.socket | None) -> NoReturn:
    """Take in orphans, open the door, and start the engine when somebody asks for it; for good."""
    woken, waking = socket.socketpair()
    for each in (woken, waking):
        each.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking.fileno())
    watching = selectors.DefaultSelector()
    watching.register(woken, selectors.EVENT_READ)
    watching.register(door, selectors.EVENT_READ)
    if engine is not None:
        watching.register(engine, selectors.EVENT_READ)
    dockerd = 0
    while True:
        ready: list[Any] = [key.fileobj for key, _ in watching.select()]
        if woken in ready:
            woken.recv(4096)
        if door in ready:
            door.accept()[0].close()
        if engine in ready and not dockerd:
            assert engine is not None
            dockerd = _start_docker(engine)
            watching.unregister(engine)
        if dockerd in _reap() and engine is not None:
            watching.register(engine, selectors.EVENT_READ)
            dockerd = 0


def _reap() -> set[int]:
    ended = {-1}
    with contextlib.suppress(ChildProcessError):
        while pid := os.waitpid(-1, os.WNOHANG)[0]:
            ended.add(pid)
    return ended
