"""Sending a machine's logs to its controller as they grow, with the times at which lines were seen.

Laws: on a connection of its own, which may be slow; positions are the controller's, so that a new
connection goes on where the last one ended.
"""

import asyncio
import os

from stackdsl.node import logfiles, logs, sightings, upkeep
from stackdsl.wire import calls

BATCH_BYTES = 256 * 1024
# Lines that come one by one travel together.
_PAUSE_S = 0.01

Key = tuple[str, logfiles.Stream]


class Sender:
    """Sends over ``peer``; ``known`` is how much of each log (by file name) is there already."""

    def __init__(self, keeper: logs.LogKeeper, peer: calls.Peer, known: dict[str, int]) -> None:
        self._keeper = keeper
        self._peer = peer
        self._known = known
        self._grown: dict[Key, None] = {}
        self._wake = asyncio.Event()

    async def send(self) -> None:
        """Send until the connection ends or the keeper does."""
        for name, stream in logfiles.find_all(self._keeper.folder):
            self._see(name, stream)
        end = self._keeper.on_growth(self._see)
        try:
            while not self._peer.is_lost:
                await self._wake.wait()
                self._wake.clear()
                grown, self._grown = self._grown, {}
                for key in grown:
                    if self._send_one(key):
                        self._see(*key)  # there is more: after the others had their turn
                    await self._peer.drain()
                await asyncio.sleep(0 if self._grown else _PAUSE_S)
        finally:
            end()

    def _see(self, name: str, stream: logfiles.Stream) -> None:
        self._grown[name, stream] = None
        self._wake.set()

    def _send_one(self, key: Key) -> bool:
        """Send what comes next of a log; return whether there is more."""
        name, stream = key
        path = logfiles.path_of(self._keeper.folder, name, stream)
        file = f"{name}.{stream}"
        start = self._known.get(file, 0)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._known.pop(file, None)
            self._peer.push({"file": file, "offset": -1})
            return False
        try:
            size = os.fstat(fd).st_size
            is_anew = size < start or file not in self._known
            start = 0 if is_anew else start
            if start < size:
                start = max(start, upkeep.find_data(fd, start))
            data = os.pread(fd, BATCH_BYTES, start)
        finally:
            os.close(fd)
        end = start + len(data)
        if data or is_anew:
            self._known[file] = end
            self._peer.push(
                {
                    "file": file,
                    "offset": start,
                    "times": _find_times(path, start, end),
                    "data": data.decode("latin-1"),  # any bytes, one character each
                    "is_anew": is_anew,
                }
            )
        return end < size


def _find_times(path: str, start: int, end: int) -> tuple[int, ...]:
    """Return when what lies from a start to an end was seen: time and offset in turns."""
    found: list[int] = []
    try:
        fd = os.open(path + sightings.SUFFIX, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ()
    try:
        for time_ns, offset in sightings.read_from(fd, sightings.find_offset(fd, start)):
            if offset > start:
                found += (time_ns, min(offset, end))
            if offset >= end:
                break
    finally:
        os.close(fd)
    return tuple(found)
