"""Who holds a port of this machine, to name it to the user."""

import os

# TCP_LISTEN, and TCP_CLOSE as bound UDP sockets show it. Source: include/net/tcp_states.h.
_STATES = {"tcp": "0A", "udp": "07"}


def find_holder(host: str, port: int, protocol: str) -> str:
    """Return whoever listens on an address or on all of them: ``"nginx" (pid 12)``.

    An empty string if nobody is found, or if it is another user's and may not be seen.
    """
    inodes = _find_inodes(host, port, protocol)
    if not inodes:
        return ""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            fds = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for fd in fds:
            try:
                if os.readlink(f"/proc/{pid}/fd/{fd}") in wanted:
                    return f'"{_read_name(pid)}" (pid {pid})'
            except OSError:
                continue
    return "a process of another user"


def _find_inodes(host: str, port: int, protocol: str) -> set[str]:
    inodes: set[str] = set()
    anywhere = {"00000000", "0" * 32}
    little_endian = "".join(f"{int(part):02X}" for part in reversed(host.split(".")))
    for path in (f"/proc/net/{protocol}", f"/proc/net/{protocol}6"):
        try:
            with open(path, encoding="ascii") as table:
                rows = table.readlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            address, _, number = fields[1].partition(":")
            if int(number, 16) != port or fields[3] != _STATES[protocol]:
                continue
            if host == "0.0.0.0" or address in anywhere or address.endswith(little_endian):  # noqa: S104 - compared, not bound
                inodes.add(fields[9])
    return inodes


def _read_name(pid: str) -> str:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read().rstrip(b"\0").split(b"\0")
    if words != [b""]:
        return b" ".join(words).decode(errors="replace")[:120]
    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
        return comm.read().strip()
