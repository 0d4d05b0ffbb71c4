"""Logs of a machine's replicas: the files that they write, bounded on disk, with times noted.

Each replica writes straight into ``<folder>/logs/<name>.out`` and ``.err`` in append mode: it costs
the service next to nothing and the output survives this process. Upkeep follows the files' sizes,
notes when they grew (`sightings`) and punches holes at their heads, so that the blocks on disk stay
within a bound and offsets stay true. Files are never truncated here.
"""

import asyncio
import errno
import os
import time
from collections.abc import Callable, Collection
from functools import partial

from stackdsl.node import following, growth, logfiles, sightings, upkeep
from stackdsl.node.logfiles import STREAMS, Stream

CUT_CHARS = 2000
# ctypes is loaded with the first watch: not while 200 services are being spawned.
_HOLD_S = 0.25
# A full disk swallows what services write without a word to anybody: it is looked for.
_ROOM_LOOK_S = 1.0
_ROOM_BYTES = 256 * 1024

OnGrowth = Callable[[str, Stream], None]
OnTrouble = Callable[[str], None]


class LogKeeper:
    """Opens the logs of replicas and keeps them up while it lives (needs a running loop).

    ``folder`` is the run's; ``limit_bytes`` bounds each stream on disk. ``on_trouble`` is told
    once of each kind of trouble with upkeep's own work (a full disk, a file system without
    holes); the services' output goes on regardless.
    """

    def __init__(self, folder: str, limit_bytes: int, on_trouble: OnTrouble | None = None) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._on_trouble = on_trouble
        self._troubles: set[str] = set()
        self._upkeeps: dict[tuple[str, Stream], upkeep.Upkeep] = {}
        self._starts: dict[str, dict[Stream, int]] = {}
        self._callbacks: list[OnGrowth] = []
        self._growth = growth.Growth(
            hold_s=_HOLD_S, fast_bytes=min(limit_bytes // 16, growth.FAST_BYTES)
        )
        self._has_folder = False
        self._room_seen_at = 0.0
        self._room_timer: asyncio.TimerHandle | None = None

    @property
    def folder(self) -> str:
        """The run's folder."""
        return self._folder

    def sizes(self) -> dict[str, int]:
        """Return how long each log is by now, by its file's name."""
        found = logfiles.find_all(self._folder)
        return {f"{name}.{stream}": self.size(name, stream) for name, stream in found}

    def sizes_of(self, names: Collection[str]) -> dict[str, int]:
        """Return how long the logs of some replicas are by now, by their files' names."""
        keys = ((name, stream) for name in names for stream in STREAMS)
        return {f"{name}.{stream}": self.size(name, stream) for name, stream in keys}

    @property
    def is_idle(self) -> bool:
        """Whether upkeep sleeps until somebody writes."""
        return self._growth.is_idle

    def open(self, name: str, limit_bytes: int | None = None) -> tuple[int, int]:
        """Open both streams of a replica for appending and begin their upkeep.

        Returns:
            Two descriptors, closed on exec; the caller closes them when the replica has them.

        Raises:
            OSError: the folder or the files cannot be made.
        """
        out_fd, err_fd = self._open_files(name)
        self._look_for_room()
        for stream, fd in zip(STREAMS, (out_fd, err_fd), strict=True):
            self._follow(name, stream, limit_bytes, has_content=os.fstat(fd).st_size > 0)
        return out_fd, err_fd

    def _open_files(self, name: str) -> tuple[int, int]:
        if not self._has_folder:
            os.makedirs(logfiles.folder_of(self._folder), mode=0o700, exist_ok=True)
            self._has_folder = True
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        out_fd = os.open(logfiles.path_of(self._folder, name, "out"), flags, 0o600)
        try:
            err_fd = os.open(logfiles.path_of(self._folder, name, "err"), flags, 0o600)
        except OSError:
            os.close(out_fd)
            raise
        return out_fd, err_fd

    def make(self, name: str) -> None:
        """Make both logs of a replica ahead of its start.

        Raises:
            OSError: the folder or the files cannot be made.
        """
        for fd in self._open_files(name):
            os.close(fd)

    def adopt(self, names: Collection[str] | None = None) -> None:
        """Take up the logs that an earlier node kept (None: all that are there)."""
        for name, stream in logfiles.find_all(self._folder):
            if names is None or name in names:
                self._follow(name, stream, None, has_content=True)

    def forget(self, name: str) -> None:
        """End the upkeep of a replica's logs and delete them."""
        for stream in STREAMS:
            path = logfiles.path_of(self._folder, name, stream)
            self._upkeeps.pop((name, stream), None)
            self._growth.remove(path)
            for each in (path, path + sightings.SUFFIX):
                try:
                    os.unlink(each)
                except FileNotFoundError:
                    continue
        self._starts.pop(name, None)

    def mark_start(self, name: str, offsets: tuple[int, int] | None = None) -> tuple[int, int]:
        """Remember where the output of a start begins (None: here and now) and return it."""
        if offsets is None:
            offsets = (self.size(name, "out"), self.size(name, "err"))
        self._starts[name] = {"out": offsets[0], "err": offsets[1]}
        return offsets

    def start_offsets(self, name: str) -> tuple[int, int]:
        """Return where the output of the current start begins; zeros if it was never marked."""
        starts = self._starts.get(name, {})
        return starts.get("out", 0), starts.get("err", 0)

    def size(self, name: str, stream: Stream) -> int:
        """Return how many bytes a stream has by now, those given back on disk included."""
        try:
            return os.stat(logfiles.path_of(self._folder, name, stream)).st_size
        except FileNotFoundError:
            return 0

    def read_from(self, name: str, stream: Stream, offset: int, limit: int = 262144) -> bytes:
        """Return up to ``limit`` bytes from an offset; what is no longer kept reads as zeros."""
        try:
            fd = os.open(logfiles.path_of(self._folder, name, stream), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(fd, limit, offset)
        finally:
            os.close(fd)

    def tail(self, name: str, lines: int = 20) -> tuple[str, ...]:
        """Return the last lines of both streams of the current start, in the order seen.

        Lines beyond 2,000 characters are cut; bytes that are no UTF-8 are replaced.
        """
        for stream in STREAMS:
            self._note(name, stream, self.size(name, stream))
        starts = {(name, stream): at for stream, at in self._starts.get(name, {}).items()}
        found: list[str] = []
        for chunk in following.LogReader(self._folder, (name,)).read_all(tail=lines, starts=starts):
            text = chunk.data.decode(errors="replace")
            found.extend(text.removesuffix("\n").split("\n"))
        last = (line.rstrip("\r") for line in found[-lines:])
        return tuple(line if len(line) <= CUT_CHARS else f"{line[:CUT_CHARS]}…" for line in last)

    def on_growth(self, callback: OnGrowth) -> Callable[[], None]:
        """Call back with (name, stream) within 5 ms of growth; return what ends that."""
        self._callbacks.append(callback)
        self._growth.hurry(is_hurried=True)

        def end() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)
            self._growth.hurry(is_hurried=bool(self._callbacks))

        return end

    def wind_down(self) -> None:
        """Look now and then instead of watching: the run is ending."""
        self._growth.wind_down()

    def close(self) -> None:
        """End upkeep; what has grown since the last look is noted first."""
        self._callbacks.clear()
        for name, stream in tuple(self._upkeeps):
            self._note(name, stream, self.size(name, stream))
        if self._room_timer is not None:
            self._room_timer.cancel()
        self._upkeeps.clear()
        self._growth.close()

    def _follow(
        self, name: str, stream: Stream, limit_bytes: int | None, *, has_content: bool
    ) -> None:
        path = logfiles.path_of(self._folder, name, stream)
        kept = self._upkeeps.get((name, stream))
        if kept is None:
            kept = upkeep.Upkeep(path, limit_bytes or self._limit_bytes)
            self._upkeeps[name, stream] = kept
            if has_content:
                kept.take_up()
        elif limit_bytes:
            kept.limit_bytes = limit_bytes
        self._growth.add(path, kept.size, partial(self._note, name, stream))

    def _note(self, name: str, stream: Stream, size: int) -> None:
        """Take notice of a stream's size; -1: it is gone."""
        kept = self._upkeeps.get((name, stream))
        if kept is None or size == kept.size:
            return
        if size < 0:
            del self._upkeeps[name, stream]
            return
        if size < kept.size and name in self._starts:
            self._starts[name][stream] = 0
        try:
            kept.note(size, time.time_ns())
        except OSError as error:
            self._tell(f'cannot note when lines were seen in "{kept.path}"', error)
        try:
            kept.bound()
        except OSError as error:
            self._tell(f'cannot keep within its bound "{kept.path}"', error)
        self._look_for_room(is_growing=True)
        for callback in tuple(self._callbacks):
            callback(name, stream)

    def _look_for_room(self, *, is_growing: bool = False) -> None:
        """Tell when the disk under the logs is full; looks once a second at most."""
        if self._room_timer is not None:
            return
        now = time.monotonic()
        left_s = self._room_seen_at + _ROOM_LOOK_S - now
        if left_s > 0:
            if not is_growing:
                return
            # What fills the disk now may be the last that grows: nothing would look again.
            self._room_timer = asyncio.get_running_loop().call_later(left_s, self._look_again)
            return
        self._room_seen_at = now
        folder = logfiles.folder_of(self._folder)
        try:
            disk = os.statvfs(folder)
        except FileNotFoundError:
            return
        free = disk.f_bavail if os.geteuid() else disk.f_bfree  # root may fill the reserve
        if disk.f_blocks and free * disk.f_frsize < _ROOM_BYTES:
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._tell(f'cannot keep the output of services in "{folder}"', full)

    def _look_again(self) -> None:
        self._room_timer = None
        self._look_for_room()

    def _tell(self, what: str, error: OSError) -> None:
        kind, _, _ = what.partition('"')
        key = f"{kind}{error.errno}"
        if self._on_trouble is None or key in self._troubles:
            return
        self._troubles.add(key)
        self._on_trouble(f"{what}: {error.strerror}")
