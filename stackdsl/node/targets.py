"""Where a forward listens and where it goes: its socket, its targets in turn."""

import socket

from stackdsl.model import specs

BACKLOG = 1024

Target = tuple[str, int]


class Targets:
    """Where a forward goes, in turn; the set may change in place."""

    def __init__(self, targets: tuple[Target, ...]) -> None:
        self.all = targets
        self._next = 0

    def in_turn(self) -> list[Target]:
        """Return all targets, the next one in turn first."""
        if not self.all:
            return []
        start = self._next % len(self.all)
        self._next = start + 1
        return [*self.all[start:], *self.all[:start]]


def bind(forward: specs.Forward) -> socket.socket:
    """Return a socket bound to exactly the address of a forward, listening if it is TCP's.

    Raises:
        OSError: the address is taken, missing or not allowed.
    """
    is_tcp = forward.protocol == "tcp"
    kind = socket.SOCK_STREAM if is_tcp else socket.SOCK_DGRAM
    sock = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
    try:
        if is_tcp:
            # Connections in TIME_WAIT do not keep the address; a listener still does.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((forward.listen_host, forward.listen_port))
        if is_tcp:
            sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
