"""Commands that run on a host of a living lab, with this process's terminal, signals and streams.

The way in is the host's first process: whoever connects to its door is told its id by the kernel.
Sources: unix(7) (SO_PEERCRED), nsenter(1), setpriv(1).
"""

import os
import socket
import struct
import sys
from collections.abc import Mapping, Sequence

from stackdsl.lab import booting, needing, registering, topologies
from stackdsl.model import errors

CONTROLLER = topologies.CONTROLLER
_JOIN = 'for each in $1; do echo $$ >"$each/cgroup.procs" || :; done 2>/dev/null; shift; exec "$@"'
_GO = 'cd "$1" 2>/dev/null || cd /; shift; exec "$@"'
_PASSED_ON = ("TERM", "COLORTERM", "LANG", "LC_ALL", "NO_COLOR", "COLUMNS", "LINES", "TZ")


def find_pid(record: registering.Record, host: str) -> int:
    """Return the id of a host's first process.

    Raises:
        UsageError: the lab has no such host.
        HostError: it is powered off.
    """
    from stackdsl.dsl import faults  # only on the way out

    names = [one.name for one in record.topology.hosts]
    if host not in names:
        raise errors.UsageError(
            "usage.no-lab-host",
            f'cannot find host "{host}" in lab "{record.name}"',
            why=f"its hosts: {', '.join(names)}",
            do=f"{faults.nearest(host, names)}name one of them",
        )
    pid = _ask_pid(record.folder, f"{host}.sock")
    if pid is None:
        raise errors.HostError(
            "host.lab-off",
            f'cannot reach host "{host}" of lab "{record.name}": it is powered off',
            do="give it its power: power_on() in Python, powered=True in the topology",
        )
    return pid


def _ask_pid(folder: str, name: str) -> int | None:
    try:
        folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(f"/proc/self/fd/{folder_fd}/{name}")
            told = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    except OSError:
        return None
    finally:
        os.close(folder_fd)
    return int(struct.unpack("3i", told)[0])


def command(
    record: registering.Record,
    host: str,
    argv: Sequence[str],
    *,
    user: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> list[str]:
    """Return what to execute so that ``argv`` runs on a host, as ``user`` (its account, else), with
    the environment of a login there and ``env``, in ``cwd`` (the home, else).

    Raises:
        UsageError, HostError: there is no such host, or it is off.
    """
    pid = find_pid(record, host)
    declared = record.topology.host(host)
    name = user or declared.user
    home = "/root" if name == "root" else f"/home/{name}"
    shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
    known = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
    known |= {"HOME": home, "USER": name, "LOGNAME": name, "SHELL": shell, "PATH": booting.PATH}
    if host == CONTROLLER:
        known["PATH"] = f"{os.path.dirname(sys.executable)}:{booting.PATH}"
    known |= env or {}
    words = [find("nsenter"), "--target", str(pid), "--net", "--mount", "--pid", "--uts", "--ipc"]
    if record.is_rootless:
        words += ["--user", "--preserve-credentials"]
    else:
        words.append("--cgroup")
        words = ["/bin/sh", "-c", _JOIN, "sh", " ".join(record.groups), *words]
    words.append("--")
    if name != "root":
        # By name and inside: the accounts are the host's own.
        words += ["/usr/bin/setpriv", "--reuid", name, "--regid", name, "--init-groups"]
    words += ["/usr/bin/env", "-i"]
    # Whoever waits for it in front ignores Ctrl-C, and what it starts would too.
    words += ["--default-signal=INT", "--default-signal=QUIT"]
    words += [f"{key}={value}" for key, value in known.items()]
    return [*words, "/bin/sh", "-c", _GO, "sh", cwd or home, *argv]


def find(program: str) -> str:
    """Return the path of a program that a living lab has shown to be there."""
    return needing.find_program(program) or program


def controller_env() -> dict[str, str]:
    """Return what a run inside has of this process's environment: all, but what leads outside."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("STACKDSL_", "XDG_", "SSH_", "DOCKER_", "SUDO_"))
    }
    for key in (
        "HOME",
        "USER",
        "LOGNAME",
        "PWD",
        "OLDPWD",
        "MAIL",
        "TMPDIR",
        "DBUS_SESSION_BUS_ADDRESS",
    ):
        kept.pop(key, None)
    kept["PATH"] = f"{kept.get('PATH', '')}:{booting.PATH}".lstrip(":")
    return kept
