"""Copies of far logs in the run's own folder: what reads logs here reads these like any others.

Laws: bytes lie at the offsets that they have there, so that a copy's length is how far it has come;
what is no longer kept there is a hole here too.
"""

import asyncio
import os
import time
from collections.abc import Collection, Mapping
from typing import Any

from stackdsl.node import logfiles, sightings, upkeep

LIMIT_BYTES = 64 * 1024 * 1024


class Copies:
    """The copies of one host's logs. ``folder`` is the run's; ``clock_s`` is how far the clock
    there is ahead of ours: times are told in ours."""

    def __init__(
        self, folder: str, *, clock_s: float = 0.0, limit_bytes: int = LIMIT_BYTES
    ) -> None:
        self._folder = folder
        self._ahead_ns = int(clock_s * 1e9)
        self._limit_bytes = limit_bytes
        self._kept: dict[str, upkeep.Upkeep] = {}
        self._grown = asyncio.Event()

    def known(self) -> dict[str, int]:
        """Return how much of each log is here, by its file's name: where sending goes on."""
        return {file: one.size for file, one in self._kept.items()}

    def adopt(self, names: Collection[str]) -> None:
        """Take up the copies of replicas that an earlier controller has made."""
        for name, stream in logfiles.find_all(self._folder):
            if name in names:
                self._take_up(f"{name}.{stream}")

    def take(self, sent: Mapping[str, Any]) -> None:
        """Take in what was sent (see `node.logsending`).

        Raises:
            OSError: it cannot be written.
        """
        file, offset = str(sent["file"]), int(sent["offset"])
        if logfiles.parse(file) is None or "/" in file:
            return  # no log's name: it would leave the folder
        if offset < 0:
            self._delete(file)
            return
        if sent["is_anew"]:
            self._delete(file)
        kept = self._take_up(file)
        data = str(sent["data"]).encode("latin-1")
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        fd = os.open(kept.path, flags, 0o600)
        try:
            os.pwrite(fd, data, offset)
        finally:
            os.close(fd)
        times = sent["times"]
        for time_ns, end in zip(times[::2], times[1::2], strict=True):
            kept.note(end, time_ns - self._ahead_ns)
        end = offset + len(data)
        if kept.size != end:  # what was not noted there yet
            kept.note(end, time.time_ns())
        kept.bound()
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def _take_up(self, file: str) -> upkeep.Upkeep:
        kept = self._kept.get(file)
        if kept is None:
            path = os.path.join(logfiles.folder_of(self._folder), file)
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            kept = self._kept[file] = upkeep.Upkeep(path, self._limit_bytes)
            if os.path.exists(path):
                kept.take_up()
        return kept

    def forget(self, names: Collection[str]) -> None:
        """Delete the copies of replicas."""
        for file in [file for file in self._kept if file.rpartition(".")[0] in names]:
            self._delete(file)

    def _delete(self, file: str) -> None:
        self._kept.pop(file, None)
        path = os.path.join(logfiles.folder_of(self._folder), file)
        for each in (path, path + sightings.SUFFIX):
            if os.path.exists(each):
                os.unlink(each)

    async def wait_for(self, sizes: Mapping[str, int]) -> None:
        """Wait until every log is as long here; whoever asks sets the deadline."""
        while any(self._kept[f].size < n if f in self._kept else n > 0 for f, n in sizes.items()):
            await self._grown.wait()
