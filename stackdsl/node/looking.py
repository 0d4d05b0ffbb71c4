"""One look at all listening sockets for everyone who waits for one: 200 waits cost as one.

Laws: no timer runs while nobody waits.
"""

import asyncio
import errno
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from stackdsl.node import listening, pausing


@dataclass(slots=True, eq=False)
class _Wait:
    address: bytes
    port: int
    since: float
    on_miss: Callable[[], None]
    future: asyncio.Future[list[listening.Listening]]


class Lookout:
    """Waits for sockets of this machine to be listened on."""

    def __init__(self, looker: listening.Looker) -> None:
        self._loop = asyncio.get_running_loop()
        self._looker = looker
        self._waits: set[_Wait] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._cost_s = 0.0

    async def wait(
        self, host: str, port: int, since: float, on_miss: Callable[[], None]
    ) -> list[listening.Listening]:
        """Wait until something listens that may answer at an IPv4 address and port; return it.

        ``since`` is when the waiting began (loop time); ``on_miss`` is called after each look in
        vain.
        """
        wait = _Wait(socket.inet_aton(host), port, since, on_miss, self._loop.create_future())
        self._waits.add(wait)
        self._schedule(0.0)
        try:
            return await wait.future
        finally:
            self._waits.discard(wait)

    def _schedule(self, delay_s: float) -> None:
        when = self._loop.time() + delay_s
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._waits:
            return
        begun = time.perf_counter()
        by_port: dict[int, list[listening.Listening]] = {}
        for each in self._looker.look():
            by_port.setdefault(each.port, []).append(each)
        for wait in tuple(self._waits):
            found = [one for one in by_port.get(wait.port, ()) if one.accepts(wait.address)]
            if found:
                if not wait.future.done():
                    wait.future.set_result(found)
                self._waits.discard(wait)
            else:
                wait.on_miss()
        self._cost_s = time.perf_counter() - begun
        if self._waits:
            youngest = max(wait.since for wait in self._waits)
            self._schedule(pausing.next_pause_s(self._loop.time() - youngest, self._cost_s))


def connect_here(host: str, port: int) -> str:
    """Try a connection to an address of this machine; return "" or what was seen.

    Never waits: on loopback a connection is made or refused within the call. It may still say
    EINPROGRESS; asked a second time, it tells.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as stream:
        number = stream.connect_ex((host, port))
        if number == errno.EINPROGRESS:
            number = stream.connect_ex((host, port))
    if number in (0, errno.EISCONN):
        return ""
    if number == errno.ECONNREFUSED:
        return "refused"
    if number in (errno.EALREADY, errno.EINPROGRESS):
        return "did not accept: its queue is full"
    return errno.errorcode.get(number, str(number))


def is_loopback(host: str) -> bool:
    """Whether an address is one of 127.0.0.0/8 (or any of ours: 0.0.0.0)."""
    return host.startswith("127.") or host == "0.0.0.0"  # noqa: S104  # compared, not bound
