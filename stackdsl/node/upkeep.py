"""Upkeep of one log file: when it grew is noted beside it, its head is given back to the disk.

Laws: no descriptor is kept open (a machine has hundreds of streams); the log itself is never
written, truncated or locked, only punched.
"""

import os

from stackdsl.node import inotify, sightings

BLOCK_BYTES = 4096
# A long hole takes the inode from the writer for as long as it takes: so in pieces.
PIECE_BYTES = 8 * 1024 * 1024
_PIECES_A_LOOK = 8


def find_data(fd: int, offset: int) -> int:
    """Return where data begins at or after an offset; the file's end if there is none.

    Source: lseek(2), SEEK_DATA.
    """
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError:
        return max(offset, os.fstat(fd).st_size)


class Upkeep:
    """What is known of one log file: ``size`` as last noted, ``head`` where what is kept begins.

    Log and index together keep at most ``limit_bytes`` on disk, plus what is written between two
    looks; it is given back in steps of an eighth of that.
    """

    __slots__ = ("head", "index_head", "index_size", "limit_bytes", "path", "size", "time_ns")

    def __init__(self, path: str, limit_bytes: int) -> None:
        self.path = path
        self.limit_bytes = max(limit_bytes, 8 * BLOCK_BYTES)
        self.size = 0
        self.head = 0
        self.index_head = 0
        self.index_size = 0
        self.time_ns = 0

    def take_up(self) -> None:
        """Learn from the files what an earlier process knew."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not os.fstat(fd).st_size:
                return
            self.head = find_data(fd, 0)
        finally:
            os.close(fd)
        try:
            fd = os.open(self.path + sightings.SUFFIX, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            pairs = sightings.count_pairs(fd)
            self.index_head = find_data(fd, 0)
            self.index_size = pairs * sightings.PAIR.size
            if pairs:
                self.time_ns, self.size = sightings.read_pair(fd, pairs - 1)
        finally:
            os.close(fd)

    def note(self, size: int, time_ns: int) -> None:
        """Note that the log had ``size`` bytes at a time. A smaller size than before means that
        the program emptied its log: times begin anew.

        Raises:
            OSError: the index cannot be written; the size is taken over all the same.
        """
        is_emptied = size < self.size
        self.size = size
        self.time_ns = max(time_ns, self.time_ns)
        if is_emptied:
            self.head = self.index_head = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        fd = os.open(self.path + sightings.SUFFIX, flags, 0o600)
        try:
            if is_emptied:
                os.ftruncate(fd, 0)
            # Not O_APPEND: a pair that was cut short by a full disk is written over.
            position = sightings.count_pairs(fd) * sightings.PAIR.size
            self.index_size = position
            self.index_size += os.pwrite(fd, sightings.PAIR.pack(self.time_ns, size), position)
        finally:
            os.close(fd)

    def bound(self) -> None:
        """Give the head back to the disk if log and index hold more than the limit.

        Raises:
            OSError: EOPNOTSUPP where the file system has no holes.
        """
        kept = self.size - self.head
        both = kept + self.index_size - self.index_head
        if both <= self.limit_bytes:
            return
        # Short lines that come slowly have an index as large as themselves: both shrink alike.
        keep = kept * (self.limit_bytes - self.limit_bytes // 8) // both
        fd = os.open(self.path + sightings.SUFFIX, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._punch_log(_align(self.size - keep))
            position = sightings.find_offset(fd, self.head) * sightings.PAIR.size
            head = _align(position)
            if head > self.index_head:
                inotify.punch_hole(fd, self.index_head, head - self.index_head)
                self.index_head = head
        finally:
            os.close(fd)

    def _punch_log(self, head: int) -> None:
        fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            for _ in range(_PIECES_A_LOOK):
                length = min(head - self.head, PIECE_BYTES)
                if length <= 0:
                    return
                inotify.punch_hole(fd, self.head, length)
                self.head += length
        finally:
            os.close(fd)


def _align(offset: int) -> int:
    return offset // BLOCK_BYTES * BLOCK_BYTES
