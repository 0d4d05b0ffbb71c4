"""What this process may do on its machine without asking anyone."""

_BIND_SERVICE = 1 << 10


def find_first_port() -> int:
    """Return the first port that we may bind. Source: ip(7), capabilities(7)."""
    if _capabilities() & _BIND_SERVICE:
        return 0
    try:
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 1024


def _capabilities() -> int:
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            for line in file:
                if line.startswith("CapEff:"):
                    return int(line.split()[1], 16)
    except OSError:
        return 0
    return 0
