"""What this machine has routes to, and the bridges of runs: read, nothing changed.

Laws: what is read is that of the process's network namespace (/sys is not: it belongs to whoever
mounted it).
"""

import socket
import struct
from collections.abc import Iterator

_MARK = "stackdsl "
_ROUTED = ("UNICAST", "BLACKHOLE", "UNREACHABLE", "PROHIBIT")
_DUMP_LINKS = 18
_REQUEST_DUMP = 0x1 | 0x300
_DONE = 3
_ERROR = 2
_NAME = 3
_ALIAS = 20


def list_subnets(run_id: str = "") -> list[str]:
    """Return the subnets of all routing tables in CIDR form, loopback, the default route and the
    bridge of run ``run_id`` left out. Source: /proc/net/fib_trie, where a leaf is an address below
    which stand its prefixes: "/24 link UNICAST"."""
    own = set(_list_own(run_id)) if run_id else set()
    found = {f"{address}/{prefix}" for address, prefix in _list_leaves() if prefix}
    return sorted(found - own)


def find_way_out() -> str:
    """Return the interface of the default route, "" if there is none."""
    return next((name for name, net, mask in _list_routes() if net == mask == 0), "")


def mark_of(run_id: str) -> str:
    """Return the alias that a bridge of a run carries."""
    return f"{_MARK}{run_id}"


def list_bridges(run_id: str) -> list[str]:
    """Return the interfaces that carry the mark of a run."""
    return [name for name, alias in _list_links() if alias == mark_of(run_id)]


def _list_leaves() -> Iterator[tuple[str, int]]:
    """Yield address and prefix length of routes that lead somewhere else."""
    address = ""
    try:
        with open("/proc/net/fib_trie", encoding="ascii") as file:
            for line in file:
                words = line.split()
                if words[0] == "|--":
                    address = words[1]
                elif words[0].startswith("/") and words[-1] in _ROUTED:
                    yield address, int(words[0][1:])
    except OSError:
        return


def _list_own(run_id: str) -> Iterator[str]:
    bridges = set(list_bridges(run_id))
    for name, net, mask in _list_routes():
        if name in bridges:
            yield f"{socket.inet_ntoa(struct.pack('=I', net))}/{mask.bit_count()}"


def _list_routes() -> Iterator[tuple[str, int, int]]:
    """Yield interface, destination and mask (in the machine's byte order). Source:
    /proc/net/route."""
    try:
        with open("/proc/net/route", encoding="ascii") as file:
            rows = [line.split() for line in file][1:]
    except OSError:
        return
    for row in rows:
        yield row[0], int(row[1], 16), int(row[7], 16)


def _list_links() -> Iterator[tuple[str, str]]:
    """Yield name and alias of every interface. Source: rtnetlink(7), RTM_GETLINK."""
    request = struct.pack("=IHHIIBxHiII", 32, _DUMP_LINKS, _REQUEST_DUMP, 1, 0, 0, 0, 0, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as stream:
        stream.send(request)
        while True:
            data = stream.recv(262144)
            position = 0
            while position < len(data):
                length, kind = struct.unpack_from("=IH", data, position)
                if kind in (_DONE, _ERROR):
                    return
                texts = dict(_read_texts(data[position + 32 : position + length]))
                yield texts.get(_NAME, ""), texts.get(_ALIAS, "")
                position += (length + 3) & ~3


def _read_texts(data: bytes) -> Iterator[tuple[int, str]]:
    position = 0
    while position + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, position)
        if kind in (_NAME, _ALIAS):
            text = data[position + 4 : position + length].rstrip(b"\0")
            yield kind, text.decode(errors="replace")
        position += (max(length, 4) + 3) & ~3
