"""The program that starts a node on another machine: sent as text, run by the Python found there.

It imports the standard library only. It tells what it does on standard output, a JSON object a
line: ``need`` when the bundle is to be sent on standard input, then ``socket`` or ``error``.
"""

import errno
import hashlib
import json
import os
import pwd
import socket
import sys
import time
from typing import Any

# A socket's path may have 107 bytes. Source: unix(7).
_PATH_LIMIT = 100


def say(**fields: Any) -> None:
    """Tell the other end something."""
    os.write(1, json.dumps(fields).encode() + b"\n")


def read_bundle(size: int) -> bytes:
    """Return what is sent on standard input."""
    parts = []
    while size > 0:
        part = os.read(0, min(size, 1 << 20))
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def find_source(cache: str, digest: str, size: int) -> str:
    """Return where the node is loaded from: a folder, or the bundle, received if need be."""
    nodes = os.path.join(cache, "nodes")
    folder = os.path.join(nodes, digest)
    bundle = folder + ".zip"
    for known in (folder, bundle):
        if os.path.exists(known):
            os.utime(known)
            return known
    os.makedirs(nodes, mode=0o700, exist_ok=True)
    say(need=True)
    data = read_bundle(size)
    if hashlib.blake2b(data, digest_size=16).hexdigest() != digest:
        raise ValueError(f"{len(data)} of {size} bytes of the bundle came")
    part = f"{bundle}.{os.getpid()}.part"
    try:
        with open(part, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, bundle)
    except BaseException:
        if os.path.exists(part):
            os.unlink(part)
        raise
    return bundle


def make_listener(cache: str, token: str) -> socket.socket:
    """Return a socket that the user who logs in may connect to, and nobody else."""
    folder = os.path.join(cache, "s", token)
    owner = os.environ.get("SUDO_UID")
    if owner is not None or len(os.fsencode(folder)) > _PATH_LIMIT:
        folder = os.path.join("/tmp", "stackdsl-" + token)  # noqa: S108 - made anew, 0700, by a name nobody knows
    os.makedirs(folder, mode=0o700)
    path = os.path.join(folder, "n")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o600)
    if owner is not None:
        group = int(os.environ.get("SUDO_GID", "-1"))
        os.chown(path, int(owner), group)
        os.chown(folder, int(owner), group)
    listener.listen(16)
    return listener


def start(source: str, wanted: dict[str, Any], listener: socket.socket, log: str) -> int:
    """Start the node, away from this session; return its pid."""
    program = f"import sys; sys.path.insert(0, {source!r}); from stackdsl.node import __main__"
    os.set_inheritable(listener.fileno(), True)
    argv = [sys.executable, "-I", "-S", "-c", program, "--listen", str(listener.fileno())]
    argv += ["--token", wanted["token"], "--lease", str(wanted["lease"]), "--source", source]
    return os.posix_spawn(
        sys.executable,
        argv,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        ],
        setsid=True,
        setsigmask=[],
    )


def main(wanted: dict[str, Any]) -> None:
    """Start a node as ``wanted``; tell how to reach it."""
    user = pwd.getpwuid(os.geteuid())
    cache_home = os.environ.get("XDG_CACHE_HOME") or os.path.join(user.pw_dir, ".cache")
    state_home = os.environ.get("XDG_STATE_HOME") or os.path.join(user.pw_dir, ".local", "state")
    cache = os.path.join(cache_home, "stackdsl")
    state = os.environ.get("STACKDSL_STATE") or os.path.join(state_home, "stackdsl")
    try:
        source = find_source(cache, wanted["digest"], wanted["size"])
        listener = make_listener(cache, wanted["token"])
        path = str(listener.getsockname())
        log = os.path.join(os.path.dirname(path), "log")
        pid = start(source, wanted, listener, log)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        place = str(error.filename or cache)
        say(error="no-space" if full else "refused", path=place, text=str(error.strerror))
    except ValueError as error:
        say(error="cut", path=cache, text=str(error))
    else:
        say(
            socket=path, pid=pid, log=log, state=state, user=user.pw_name, uid=user.pw_uid,
            python=sys.version.split()[0], time=time.time(), source=source,
        )  # fmt: skip
