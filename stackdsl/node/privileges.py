"""What this process may do on its machine without asking anyone."""

import contextlib
import errno
import fcntl
import socket
import struct
import threading

_BIND_SERVICE = 1 << 10
_SIOCSIFFLAGS = 0x8914


def find_first_port() -> int:
    """Return the first port that we may bind. Source: ip(7), capabilities(7)."""
    if _capabilities() & _BIND_SERVICE:
        return 0
    try:
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 1024


def can_network() -> bool:
    """Tell whether interfaces, addresses and network namespaces may be made here. Tried, since a
    container or a user namespace may hold a capability that is worth nothing; nothing is changed.
    """
    return _may_set_interfaces() and _may_unshare()


def _may_set_interfaces() -> bool:
    """Ask for a change of an interface that does not exist: the kernel looks at the privilege
    first. Source: netdevice(7)."""
    request = struct.pack("16sh14x", b"", 0)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stream:
            fcntl.ioctl(stream, _SIOCSIFFLAGS, request)
    except OSError as error:
        return error.errno == errno.ENODEV
    return True


def _may_unshare() -> bool:
    """Make a network and a mount namespace, in a thread that ends with them."""
    from stackdsl.node import netlinks  # with ctypes 5 ms, and only asked for stacks with bridges

    done: list[bool] = []

    def unshare() -> None:
        with contextlib.suppress(OSError):
            netlinks.call_libc("unshare", netlinks.NEWNET | netlinks.NEWNS)
            done.append(True)

    thread = threading.Thread(target=unshare, name="try namespaces")
    thread.start()
    thread.join()
    return bool(done)


def _capabilities() -> int:
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            for line in file:
                if line.startswith("CapEff:"):
                    return int(line.split()[1], 16)
    except OSError:
        return 0
    return 0
