"""One log file as its reader sees it: its name, how far it was read, when a line was seen."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from stackdsl.node import sightings, upkeep

Stream = Literal["out", "err"]
STREAMS: tuple[Stream, Stream] = ("out", "err")
READ_BYTES = 262144
# A line without an end is handed on in pieces of this size: it may never end.
LONGEST_LINE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines of one stream of one replica, seen at ``time_ns`` (wall clock).

    ``lost_bytes`` were given back to the disk before they could be read; they stood before
    ``data``, which is empty then.
    """

    name: str
    stream: Stream
    time_ns: int
    data: bytes
    lost_bytes: int = 0


def folder_of(folder: str) -> str:
    """Return where a run's logs lie; ``folder`` is the run's."""
    return f"{folder}/logs"


def path_of(folder: str, name: str, stream: str) -> str:
    """Return the file that a replica's stream is written to."""
    return f"{folder}/logs/{name}.{stream}"


def parse(file_name: str) -> tuple[str, Stream] | None:
    """Return the replica and stream that a file's name stands for; None if it is no log."""
    name, _, suffix = file_name.rpartition(".")
    for stream in STREAMS:
        if name and suffix == stream:
            return name, stream
    return None


def find_all(folder: str) -> list[tuple[str, Stream]]:
    """Return the replicas and streams that have logs, by name; none if there is no folder."""
    try:
        entries = os.listdir(folder_of(folder))
    except FileNotFoundError:
        return []
    parsed = (parse(entry) for entry in sorted(entries))
    return [one for one in parsed if one is not None]


class Position:
    """How far one log has been read. ``offset`` counts what is held: a last line without an end.

    Raises:
        FileNotFoundError: there is no such log.
    """

    def __init__(self, folder: str, name: str, stream: Stream) -> None:
        self.name = name
        self.stream = stream
        self.path = path_of(folder, name, stream)
        self.offset = 0
        self._held = b""
        self._time_ns = 0
        self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self._index_fd = -1
        self._index_position = -1

    @property
    def has_more(self) -> bool:
        """Whether something is held, or the log is not as long as what was read."""
        return bool(self._held) or self.size() != self.offset

    def size(self) -> int:
        """Return how long the log is by now."""
        return os.fstat(self._fd).st_size

    def close(self) -> None:
        """Give the descriptors back."""
        for fd in (self._fd, self._index_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._index_fd = -1

    def seek(self, offset: int) -> None:
        """Go to an offset, or to the first line of what is kept if that is further on."""
        self.offset = offset
        if offset < self.size():
            start = upkeep.find_data(self._fd, offset)
            if start > offset:
                self.offset = self._find_line_start(start)

    def seek_since(self, time_ns: int) -> None:
        """Go on to the first line that was seen at a time or later."""
        if self._open_index():
            start = sightings.find_start_since(self._index_fd, time_ns)
            if start > self.offset:
                # The line that was under way then was completed later: it counts.
                self.offset = max(self.offset, self._find_line_end_before(start))

    def seek_tail(self, lines: int, end: int) -> None:
        """Go on to where the last lines before an end begin."""
        left = lines
        position = end
        while position > self.offset:
            start = max(self.offset, position - READ_BYTES)
            data = os.pread(self._fd, position - start, start)
            if position == end and data.endswith(b"\n"):
                left += 1
            count = data.count(b"\n")
            if left and count >= left:
                at = len(data)
                for _ in range(left):
                    at = data.rindex(b"\n", 0, at)
                self.offset = start + at + 1
                return
            left -= count
            position = start
        if lines <= 0:
            self.offset = end

    def read(self, end: int) -> Iterator[Chunk]:
        """Yield what stands before an end, in chunks that end with whole lines."""
        while self.offset < end:
            data = os.pread(self._fd, min(READ_BYTES, end - self.offset), self.offset)
            if not data:
                return
            if b"\0" in data:
                # Zeros are the program's own, or a hole that overtook us.
                start = min(upkeep.find_data(self._fd, self.offset), end)
                if start > self.offset:
                    yield self._skip_to(start)
                    continue
            yield from self._cut(data)

    def flush(self) -> Iterator[Chunk]:
        """Yield the last line although it has no end."""
        if self._held:
            data, self._held = self._held, b""
            yield Chunk(self.name, self.stream, self._now_ns(), data)

    def begin_anew(self) -> None:
        """Go to the start: the log was emptied or made anew.

        Raises:
            FileNotFoundError: the log is gone.
        """
        self.close()
        self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self._index_position = -1
        self._held = b""
        self.offset = 0

    def _skip_to(self, start: int) -> Chunk:
        """Pass over a hole and the rest of the line that it cut."""
        start = self._find_line_start(start)
        lost = start - self.offset + len(self._held)
        self._held = b""
        self.offset = start
        return Chunk(self.name, self.stream, self._now_ns(), b"", lost)

    def _find_line_start(self, offset: int) -> int:
        """Return where the first whole line at or after an offset begins."""
        data = os.pread(self._fd, LONGEST_LINE_BYTES, offset - 1) if offset else b"\n"
        at = data.find(b"\n")
        return offset + at if at >= 0 else offset

    def _find_line_end_before(self, offset: int) -> int:
        """Return where the line begins that the byte before an offset belongs to."""
        begin = max(0, offset - READ_BYTES)
        at = os.pread(self._fd, offset - begin, begin).rfind(b"\n")
        return begin + at + 1 if at >= 0 else offset

    def _cut(self, data: bytes) -> Iterator[Chunk]:
        """Cut what was read where it was seen at different times, at the ends of lines."""
        base = self.offset
        self.offset += len(data)
        done = 0
        for time_ns, end in self._find_times(base, self.offset):
            self._time_ns = max(time_ns, self._time_ns)
            at = data.rfind(b"\n", done, end - base) + 1
            if at > done:
                piece = data[done:at]
                if self._held:
                    piece, self._held = self._held + piece, b""
                yield Chunk(self.name, self.stream, self._time_ns, piece)
                done = at
        self._held += data[done:]
        if len(self._held) >= LONGEST_LINE_BYTES:
            yield from self.flush()

    def _find_times(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield (time, end of what was seen then) from a start to an end."""
        if self._open_index():
            if self._index_position < 0:
                self._index_position = sightings.find_offset(self._index_fd, start)
            for time_ns, seen_end in sightings.read_from(self._index_fd, self._index_position):
                if seen_end >= end:
                    yield time_ns, end
                    return
                self._index_position += 1
                if seen_end > start:
                    yield time_ns, seen_end
        yield self._now_ns(), end

    def _now_ns(self) -> int:
        """Return the time of what is not noted yet: the last write."""
        self._time_ns = max(self._time_ns, os.fstat(self._fd).st_mtime_ns)
        return self._time_ns

    def _open_index(self) -> bool:
        if self._index_fd < 0:
            try:
                self._index_fd = os.open(self.path + sightings.SUFFIX, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
        return True
