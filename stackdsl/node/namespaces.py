"""Network namespaces: an isolated process has its own address on the run's bridge.

Laws: a namespace lives as long as a process is in it or we hold it open, and its interfaces with
it: nothing is left behind whoever is killed. The thread that enters one does nothing else and ends.
Source: network_namespaces(7), mount_namespaces(7), veth(4).
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from stackdsl.model import specs
from stackdsl.node import netlinks

T = TypeVar("T")

INSIDE = "eth0"
_RESOLVED = "/run/systemd/resolve/resolv.conf"
_CARRIER_LIMIT_S = 2.0
_CARRIER_PAUSE_S = 0.002
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_SLAVE = 1 << 19


class Place:
    """A network namespace with its mounts, held open. ``close`` it; processes in it live on."""

    def __init__(self, network: int, mounts: int) -> None:
        self.network = network
        self._mounts = mounts

    def run(self, function: Callable[[], T]) -> T:
        """Call a function in there, in a thread of its own; blocks. Processes that it starts, and
        sockets that it opens, stay there.

        Raises:
            OSError: the namespace cannot be entered.
        """
        outcome: list[T] = []
        failure: list[BaseException] = []

        def work() -> None:
            try:
                netlinks.call_libc("unshare", netlinks.FS)  # mounts are entered by one alone
                netlinks.call_libc("setns", self._mounts, netlinks.NEWNS)
                netlinks.call_libc("setns", self.network, netlinks.NEWNET)
                outcome.append(function())
            except BaseException as error:  # noqa: BLE001 - raised again by who waits for it
                failure.append(error)

        thread = threading.Thread(target=work, name="namespace")
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return outcome[0]

    def close(self) -> None:
        """Hold it no longer."""
        for fd in (self.network, self._mounts):
            if fd >= 0:
                os.close(fd)
        self.network = self._mounts = -1


async def make(wanted: specs.Namespace, hosts: str) -> Place:
    """Make a namespace with its address on the bridge; what stood there under the same
    address goes.

    ``hosts`` is a file that is /etc/hosts in there ("": the machine's own).

    Raises:
        HostError: the machine refuses, or the bridge is not there.
    """
    place = await netlinks.run_aside(partial(_unshare, hosts))
    try:
        await netlinks.run_aside(partial(_plug, wanted, place))
    except BaseException:
        place.close()
        raise
    return place


def find(pid: int) -> Place | None:
    """Return the namespace that a process is in, None if it cannot be entered or has ended."""
    try:
        network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        mounts = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        os.close(network)
        return None
    return Place(network, mounts)


def write_hosts(path: str, names: Sequence[tuple[str, str]]) -> None:
    """Write the names that are resolved in a namespace: its own first, then the machine's."""
    try:
        with open("/etc/hosts", encoding="utf-8", errors="surrogateescape") as file:
            rest = file.read()
    except OSError:
        rest = "127.0.0.1 localhost\n"
    rows = [f"{address} {name}\n" for name, address in names]
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("".join(rows) + rest)


def _unshare(hosts: str) -> Place:
    """Make the namespaces of this thread anew and hold them open."""
    try:
        netlinks.call_libc("unshare", netlinks.NEWNET | netlinks.NEWNS)
        # what the machine mounts later is seen in there, and nothing the other way round
        netlinks.call_libc("mount", b"none", b"/", None, _MS_REC | _MS_SLAVE, None)
        if hosts:
            _bind(hosts, "/etc/hosts")
        if _asks_loopback() and os.path.exists(_RESOLVED):
            _bind(_RESOLVED, "/etc/resolv.conf")
        flags = os.O_RDONLY | os.O_CLOEXEC
        network = os.open("/proc/thread-self/ns/net", flags)
        return Place(network, os.open("/proc/thread-self/ns/mnt", flags))
    except OSError as error:
        raise netlinks.explain(error.errno or 0) from error


def _bind(source: str, target: str) -> None:
    netlinks.call_libc("mount", os.fsencode(source), target.encode(), None, _MS_BIND, None)


def _asks_loopback() -> bool:
    """Tell whether names are resolved by a server on the machine's own loopback, which is not the
    namespace's: systemd-resolved."""
    try:
        with open("/etc/resolv.conf", encoding="utf-8") as file:
            return any(row.split()[:1] == ["nameserver"] and " 127." in row for row in file)
    except OSError:
        return False


def _plug(wanted: specs.Namespace, place: Place) -> None:
    """Put one end of a cable into the bridge, the other into the namespace."""
    outside = name_outside(wanted)
    with netlinks.opened() as route:
        bridge = netlinks.need_bridge(route, wanted.bridge)
        netlinks.drop(route, outside)
        mtu = route.link("get", index=bridge)[0].get("mtu") or 1500
        route.link(
            "add",
            ifname=outside,
            kind="veth",
            master=bridge,
            state="up",
            mtu=mtu,
            peer={
                "ifname": INSIDE,
                "net_ns_fd": place.network,
                "address": netlinks.mac_of(wanted.address),
                "mtu": mtu,
            },
        )
    place.run(partial(_configure, wanted))


def _configure(wanted: specs.Namespace) -> None:
    with netlinks.opened() as route:
        route.link("set", index=1, state="up")
        inside = netlinks.find_index(route, INSIDE)
        route.addr("add", index=inside, address=wanted.address, prefixlen=wanted.prefix)
        route.link("set", index=inside, state="up")
        route.route("add", dst="default", gateway=wanted.gateway)
        _wait_for_carrier(route, inside)


def _wait_for_carrier(route: Any, index: int) -> None:
    """Wait until packets pass: the kernel takes up a new cable a little later, up to a second when
    it has much to do, and drops what is sent before. Source: linkwatch in net/core/link_watch.c."""
    deadline = time.monotonic() + _CARRIER_LIMIT_S
    while route.link("get", index=index)[0].get("operstate") != "UP":
        if time.monotonic() > deadline:
            return  # what is tried over it will say so
        time.sleep(_CARRIER_PAUSE_S)


def name_outside(wanted: specs.Namespace) -> str:
    """Return the machine's end of the cable, at most 15 characters: the bridge's name and the
    address within it tell all apart."""
    import zlib  # small, and loaded already by most

    number = zlib.crc32(f"{wanted.bridge} {wanted.address}".encode())
    return f"sv-{number:08x}"
