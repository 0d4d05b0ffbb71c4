"""The subnets that this machine has routes to: a bridge of ours must overlap none of them."""

import os
import socket
import struct
from collections.abc import Iterator

_ALIASES = "/sys/class/net"
_MARK = "stackdsl "


def list_subnets(run_id: str) -> list[str]:
    """Return the subnets of all routing tables in CIDR form, loopback, the default route and the
    bridge of run ``run_id`` left out. Source: /proc/net/fib_trie, where a leaf is an address below
    which stand its prefixes: "/24 link UNICAST"."""
    own = set(_list_own(run_id)) if run_id else set()
    found: set[str] = set()
    for address, prefix, kind in _list_leaves():
        if kind in ("UNICAST", "BLACKHOLE", "UNREACHABLE", "PROHIBIT") and prefix:
            found.add(f"{address}/{prefix}")
    return sorted(found - own)


def mark_of(run_id: str) -> str:
    """Return the alias that a bridge of a run carries."""
    return f"{_MARK}{run_id}"


def list_bridges(run_id: str) -> list[str]:
    """Return the interfaces that carry the mark of a run."""
    return [name for name, alias in _list_aliases() if alias == mark_of(run_id)]


def _list_leaves() -> Iterator[tuple[str, int, str]]:
    """Yield (address, prefix length, kind of route)."""
    address = ""
    try:
        with open("/proc/net/fib_trie", encoding="ascii") as file:
            for line in file:
                words = line.split()
                if words[0] == "|--":
                    address = words[1]
                elif words[0].startswith("/") and not address.startswith("127."):
                    yield address, int(words[0][1:]), words[-1]
    except OSError:
        return


def _list_own(run_id: str) -> Iterator[str]:
    """Yield the subnets whose routes lead to the bridge of the run. Source: /proc/net/route."""
    bridges = set(list_bridges(run_id))
    try:
        with open("/proc/net/route", encoding="ascii") as file:
            rows = [line.split() for line in file][1:]
    except OSError:
        return
    for name, destination, *rest in rows:
        if name in bridges:
            address = socket.inet_ntoa(struct.pack("=I", int(destination, 16)))
            mask = int(rest[5], 16)
            yield f"{address}/{mask.bit_count()}"


def _list_aliases() -> Iterator[tuple[str, str]]:
    try:
        names = os.listdir(_ALIASES)
    except OSError:
        return
    for name in names:
        try:
            with open(f"{_ALIASES}/{name}/ifalias", encoding="utf-8") as file:
                yield name, file.read().strip()
        except OSError:
            continue  # it has just gone, or is none (bonding_masters)
