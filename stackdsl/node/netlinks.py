"""Interfaces, addresses and namespaces: what of pyroute2 is needed, imported by who needs it.

Laws: every function blocks for some milliseconds and is called in a thread of its own
(`run_aside`); what it opens belongs to that thread's network namespace. Source: rtnetlink(7),
veth(4).
"""

import asyncio
import contextlib
import ctypes
import errno
import ipaddress
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from stackdsl.model import errors
from stackdsl.node import installed

T = TypeVar("T")

NEWNET = 0x40000000
NEWNS = 0x00020000
FS = 0x00000200


async def run_aside(function: Callable[[], T]) -> T:
    """Run a function in a fresh thread that ends with it: whatever namespaces it has entered by
    then are no one else's.

    Raises:
        HostError: the machine refuses it.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(set_outcome: Callable[[Any], None], outcome: Any) -> None:
        if not done.done():
            set_outcome(outcome)

    def work() -> None:
        try:
            value = function()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            loop.call_soon_threadsafe(tell, done.set_exception, error)
        else:
            loop.call_soon_threadsafe(tell, done.set_result, value)

    threading.Thread(target=work, name="network").start()
    return await done


def call_libc(name: str, *arguments: object) -> None:
    """Call a function of the C library.

    Raises:
        OSError: it failed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextlib.contextmanager
def opened() -> Iterator[Any]:
    """Open pyroute2's IPRoute in the namespace of this thread (Any: it is not loaded before).

    Raises:
        HostError: the kernel refuses what is done with it.
    """
    with _import()() as route, explained():
        yield route


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Raise what the kernel refuses as an error of ours."""
    from pyroute2.netlink import exceptions

    try:
        yield
    except (exceptions.NetlinkError, OSError) as error:
        number = getattr(error, "code", None) or getattr(error, "errno", None) or 0
        raise explain(number) from error


def explain(number: int) -> errors.HostError:
    """Return why the machine's network cannot be changed."""
    reason = os.strerror(number) if number else "the kernel refuses it"
    if number in (errno.EPERM, errno.EACCES):
        return errors.HostError(
            "host.network-denied",
            "cannot change the network of this machine: this user may not",
            why=reason,
            do="run as root, or leave isolated= out: containers then reach natives at the gateway",
        )
    return errors.HostError(
        "host.network-refused",
        f"cannot change the network of this machine: {reason}",
        do="look at `ip link` and `ip addr`; another program may use the same names",
    )


def _import() -> Any:
    """Return the class IPRoute. The package's own __init__ loads all of it, three times as long:
    a bare package stands in for it."""
    installed.make_importable()
    if "pyroute2" not in sys.modules:
        import importlib.util
        import types

        spec = importlib.util.find_spec("pyroute2")
        assert spec is not None
        package = types.ModuleType("pyroute2")
        package.__path__ = list(spec.submodule_search_locations or ())
        package.__spec__ = spec
        sys.modules["pyroute2"] = package
    from pyroute2.iproute import linux

    return linux.IPRoute


def find_index(route: Any, name: str) -> int:
    """Return the index of an interface, 0 if it is not there."""
    from pyroute2.netlink import exceptions

    try:
        return int(route.link("get", ifname=name)[0]["index"])
    except exceptions.NetlinkError as error:
        if error.code == errno.ENODEV:
            return 0
        raise


def need_bridge(route: Any, name: str) -> int:
    """Return the index of a run's bridge.

    Raises:
        HostError: it is not on this machine.
    """
    index = find_index(route, name)
    if not index:
        raise errors.HostError(
            "host.network-refused",
            f'cannot work with bridge "{name}": it is not on this machine',
            why="the engine runs in a network of its own (rootless, or in a virtual machine)",
            do="use an engine that runs on this machine itself",
        )
    return index


def list_addresses(route: Any, index: int) -> dict[str, int]:
    """Return the IPv4 addresses of an interface with their prefix lengths."""
    return {
        each.get("local") or each.get("address"): each["prefixlen"]
        for each in route.get_addr(index=index, family=2)
    }


def delete(name: str) -> None:
    """Delete an interface; nothing happens if it is not there."""
    with opened() as route:
        drop(route, name)


def drop(route: Any, name: str) -> None:
    """Delete an interface; it may go by itself meanwhile, with the namespace of its other end."""
    from pyroute2.netlink import exceptions

    index = find_index(route, name)
    if not index:
        return
    try:
        route.link("del", index=index)
    except exceptions.NetlinkError as error:
        if error.code != errno.ENODEV:
            raise


def mac_of(address: str) -> str:
    """Return the hardware address that belongs to an address: the one that Docker gives too, so
    that neighbours need not learn another when whoever has it is started anew."""
    return "02:42:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(address).packed)
