"""When which bytes of a log were first seen: a file of (time_ns, end offset) pairs beside each log.

A pair says that the log had grown to that offset by that time. Pairs ascend in both. The head may
be a hole like the log's own; a hole reads as (0, 0), which keeps the order.
"""

import os
import struct
from collections.abc import Iterator

PAIR = struct.Struct("<qq")
SUFFIX = ".idx"
_BATCH_BYTES = PAIR.size * 4096


def count_pairs(fd: int) -> int:
    """Return how many whole pairs an index holds, a hole at its head included."""
    return os.fstat(fd).st_size // PAIR.size


def read_pair(fd: int, position: int) -> tuple[int, int]:
    """Return the pair at a position: (time_ns, end offset); (0, 0) beyond the end."""
    data = os.pread(fd, PAIR.size, position * PAIR.size)
    if len(data) < PAIR.size:
        return (0, 0)
    time_ns, offset = PAIR.unpack(data)
    return (time_ns, offset)


def _find(fd: int, field: int, value: int) -> int:
    """Return the first position whose field is ``value`` or more."""
    low, high = 0, count_pairs(fd)
    while low < high:
        middle = (low + high) // 2
        if read_pair(fd, middle)[field] < value:
            low = middle + 1
        else:
            high = middle
    return low


def find_offset(fd: int, offset: int) -> int:
    """Return the position of the pair that tells when the byte at ``offset`` was seen."""
    return _find(fd, 1, offset + 1)


def find_start_since(fd: int, time_ns: int) -> int:
    """Return the offset in the log of the first byte seen at ``time_ns`` or later."""
    position = _find(fd, 0, time_ns)
    return read_pair(fd, position - 1)[1] if position else 0


def read_from(fd: int, position: int) -> Iterator[tuple[int, int]]:
    """Yield the pairs from a position on."""
    while True:
        data = os.pread(fd, _BATCH_BYTES, position * PAIR.size)
        usable = len(data) // PAIR.size * PAIR.size
        if not usable:
            return
        yield from PAIR.iter_unpack(data[:usable])
        position += usable // PAIR.size
