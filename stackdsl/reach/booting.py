"""Starting a node on another machine: one command there finds a Python, takes the bundle if it is
missing, and leaves the node behind."""

import base64
import binascii
import functools
import inspect
import json
import secrets
import shlex
import zlib
from collections.abc import Mapping
from typing import Any

from stackdsl.model import errors
from stackdsl.model.data import dataclass
from stackdsl.reach import bootprogram, bundles, channels, connecting

LEASE_S = 30.0
_PYTHONS = (
    "python3", "python3.14", "python3.13", "python3.12", "python3.11", "/usr/local/bin/python3",
    "$HOME/.local/bin/python3", "$HOME/.pyenv/shims/python3", "/opt/homebrew/bin/python3",
)  # fmt: skip
_TOO_OLD = 97
_NONE = 98
_CLOCK_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A node that was started: its ``socket`` there, the ``token`` it lets in, where states are
    kept there. ``clock_s`` is how far its clock is ahead of ours."""

    socket: str
    token: str
    pid: int
    log: str
    state: str
    user: str
    uid: int
    python: str
    clock_s: float


async def boot(
    connection: connecting.Connection,
    bundle: bundles.Bundle,
    *,
    python: str | None = None,
    has_sudo: bool = False,
    lease_s: float = LEASE_S,
) -> Standing:
    """Start a node at the other end.

    Raises:
        HostError: no Python that will do, no space, no privileges, no connection.
    """
    token = secrets.token_hex(8)
    wanted = {
        "digest": bundle.digest, "size": len(bundle.data), "token": token, "lease": lease_s,
    }  # fmt: skip

    def feed(first: bytes) -> bytes | None:
        return bundle.data if _read_line(first).get("need") else None

    import time  # beside its use: the clock of this machine

    began = time.time()
    ran = await connection.run(make_command(wanted, python, has_sudo=has_sudo), feed)
    lines = ran.stdout.splitlines()
    said = _read_line(lines[-1]) if lines else {}
    if "socket" not in said:
        raise _explain(connection.name, ran, said, python, has_sudo=has_sudo)
    middle = (began + time.time()) / 2
    return Standing(
        socket=said["socket"],
        token=token,
        pid=said["pid"],
        log=said["log"],
        state=said["state"],
        user=said["user"],
        uid=said["uid"],
        python=said["python"],
        clock_s=said["time"] - middle,
    )


def make_command(wanted: Mapping[str, object], python: str | None, *, has_sudo: bool) -> str:
    """Return the command for sshd, whatever shell the account has: words in single quotes, without
    line ends, quotes or signs that shells read in them."""
    names = shlex.quote(python) if python else " ".join(_quote(name) for name in _PYTHONS)
    sudo = "sudo -n " if has_sudo else ""
    script = (
        "p=$1; a=$2; o=; set -- " + names.replace("'", '"') + "; for c; do"
        ' q=$(command -v "$c" 2>/dev/null) || continue;'
        f' {sudo}"$q" -I -S -c "$p" "$a"; r=$?;'
        f" [ $r = {_TOO_OLD} ] || exit $r; o=1;"
        f' done; [ -n "$o" ] && exit {_TOO_OLD}; exit {_NONE}'
    )
    asked = base64.b64encode(json.dumps(wanted).encode()).decode()
    return f"sh -c {shlex.quote(script)} stackdsl {shlex.quote(_program())} {asked}"


def _quote(name: str) -> str:
    return f'"{name}"'


@functools.cache
def _program() -> str:
    """Return the program as one line that any Python understands as far as the version is asked."""
    source = inspect.getsource(bootprogram) + (
        "\nmain(json.loads(__import__('binascii').a2b_base64(sys.argv[1])))\n"
    )
    packed = binascii.b2a_base64(zlib.compress(source.encode(), 9), newline=False).decode()
    minimum = "(3, 11)"
    return (
        "import sys, zlib, binascii; v = sys.version_info;"
        f" (v >= {minimum}) or (sys.stderr.write("
        '"old: %s is Python %d.%d.%d%s" % (sys.executable, v[0], v[1], v[2], chr(10))),'
        f" sys.exit({_TOO_OLD}));"
        f' exec(compile(zlib.decompress(binascii.a2b_base64("{packed}")), "stackdsl", "exec"))'
    )


def _read_line(line: bytes) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def check_clock(name: str, standing: Standing) -> str:
    """Return what to say about a clock that is far off, "" if it is not."""
    if abs(standing.clock_s) < _CLOCK_LIMIT_S:
        return ""
    side = "ahead of" if standing.clock_s > 0 else "behind"
    return f"the clock of {name} is {abs(standing.clock_s):.0f} s {side} the one here"


def _explain(
    name: str, ran: channels.Ran, said: Mapping[str, Any], python: str | None, *, has_sudo: bool
) -> errors.StackError:
    if said.get("error") == "no-space":
        return errors.HostError(
            "host.no-space",
            f'cannot start a node on host "{name}": its disk is full',
            why=f"{said['path']}: {said['text']}",
            do="make room there; some 8 MB are needed",
        )
    if "error" in said:
        return errors.HostError(
            "host.node-refused",
            f'cannot start a node on host "{name}": {said["text"]}',
            why=str(said["path"]),
            do="let the account write to its own folders (~/.cache, ~/.local/state)",
        )
    if ran.exit_code in (_TOO_OLD, _NONE):
        return _no_python(name, ran, python)
    if has_sudo and any(line.startswith("sudo:") for line in ran.lines):
        return errors.HostError(
            "host.no-sudo",
            f'cannot become root on host "{name}": sudo asks for a password or refuses',
            why=ran.lines[-1],
            do="allow the account sudo without a password (NOPASSWD), or leave sudo=True out",
        )
    return errors.HostError(
        "host.node-refused",
        f'cannot start a node on host "{name}": its command ended with {ran.exit_code}',
        why=ran.stdout.decode(errors="replace").strip()[-200:],
        lines=ran.lines,
        do="see its last lines; the account must be able to run `sh -c` and Python",
    )


def _no_python(name: str, ran: channels.Ran, python: str | None) -> errors.HostError:
    found = [line.removeprefix("old: ") for line in ran.lines if line.startswith("old: ")]
    if ran.exit_code == _NONE:
        asked = f'"{python}"' if python else "python3, python3.11 to python3.14"
        return errors.HostError(
            "host.no-python",
            f'cannot start a node on host "{name}": it has no Python',
            why=f"{asked} was not found on the PATH of the login",
            do='install Python 3.11 or newer there, or name it: ssh(…, python="/opt/python/bin/…")',
        )
    return errors.HostError(
        "host.python-old",
        f'cannot start a node on host "{name}": its Python is too old',
        why="; ".join(dict.fromkeys(found)),
        do='install Python 3.11 or newer there, or name one: ssh(…, python="python3.12")',
    )
