"""Whose socket it is: a replica is not ready because someone else listens where it should.

Laws: only what is known counts. A holder that may not be seen, or that stands for a container,
is believed to be the replica's own.
"""

import os
from collections.abc import Collection

from stackdsl.node import ending, proctable

# They hold ports for containers, which a service may well have started (`docker run -p …`).
_STAND_INS = frozenset(
    {
        *("docker-proxy", "dockerd", "containerd", "containerd-shim", "conmon", "gvproxy"),
        *("rootlesskit", "rootlessport", "slirp4netns", "pasta", "pasta.avx2"),
    }
)


def find_stranger(
    inodes: Collection[int], main: int | None, name: str, families: ending.Families
) -> str:
    """Return who holds listening sockets in the stead of replica ``name``, as "python3" (pid 12).

    Empty if a process of the replica holds one (``main`` is its main process), or if it cannot be
    known.
    """
    if not inodes or main is None:
        return ""
    wanted = frozenset(inodes)
    if _holds(main, wanted) or any(_holds(pid, wanted) for pid in proctable.descendants([main])):
        return ""
    holder = _find_holder(wanted)
    if holder is None or _stands_in(holder) or families.has(name, holder, main):
        return ""
    command = " ".join(" ".join(proctable.read_command(holder)).split())
    return f'"{command[:80]}" (pid {holder})'


def _holds(pid: int, wanted: frozenset[int]) -> bool:
    return not wanted.isdisjoint(proctable.socket_inodes(pid))


def _find_holder(wanted: frozenset[int]) -> int | None:
    return next((pid for pid in proctable.list_pids() if _holds(pid, wanted)), None)


def _stands_in(pid: int) -> bool:
    if proctable.read_name(pid) in _STAND_INS:
        return True
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") != os.readlink("/proc/self/ns/pid")
    except OSError:
        return True  # gone, or not ours to look at
