"""inotify and hole punching: the two kernel services that Python's own library leaves out.

Laws: ctypes is loaded at the first use, never at import (it costs 5 ms, and services come first).
"""

import errno
import functools
import os
import struct
import threading
from typing import Any

MODIFY = 0x2
CLOSE_WRITE = 0x8
MOVED_FROM = 0x40
MOVED_TO = 0x80
CREATE = 0x100
DELETE = 0x200
DELETE_SELF = 0x400
MOVE_SELF = 0x800
Q_OVERFLOW = 0x4000
IGNORED = 0x8000
ONLYDIR = 0x1000000
ISDIR = 0x40000000
ONESHOT = 0x80000000

_HEAD = struct.Struct("iIII")
_KEEP_SIZE_PUNCH_HOLE = 0x1 | 0x2


@functools.cache
def _libc() -> Any:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
    libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return libc


def _check(result: int, subject: str) -> int:
    if result < 0:
        import ctypes

        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), subject)
    return result


def punch_hole(fd: int, offset: int, length: int) -> None:
    """Give the blocks of a range back; the file's size stays. Source: fallocate(2).

    Raises:
        OSError: EOPNOTSUPP where the file system has no holes.
    """
    while True:
        try:
            _check(_libc().fallocate(fd, _KEEP_SIZE_PUNCH_HOLE, offset, length), "fallocate")
        except InterruptedError:
            continue
        return


class Inotify:
    """One inotify instance, not blocking. Source: inotify(7).

    Raises:
        OSError: EMFILE where this user has too many instances (128 by default).
    """

    def __init__(self) -> None:
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        self.fd = _check(_libc().inotify_init1(flags), "inotify_init1")

    def add(self, path: str, mask: int) -> int:
        """Watch ``path``; return the number that its events carry. A path that is watched already
        keeps its number and gets the new mask.

        Raises:
            OSError: ENOENT; ENOSPC where this user has too many watches.
        """
        return _check(_libc().inotify_add_watch(self.fd, os.fsencode(path), mask), path)

    def remove(self, watch: int) -> None:
        """Stop a watch; one that is gone already is passed over."""
        _libc().inotify_rm_watch(self.fd, watch)

    def read(self) -> list[tuple[int, int, str]]:
        """Return what happened since the last read: (watch, mask, name in the folder)."""
        happened: list[tuple[int, int, str]] = []
        while True:
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                return happened
            except OSError as error:
                if error.errno == errno.EINTR:
                    continue
                raise
            position = 0
            while position < len(data):
                watch, mask, _, length = _HEAD.unpack_from(data, position)
                position += _HEAD.size
                name = os.fsdecode(data[position : position + length].rstrip(b"\0"))
                position += length
                happened.append((watch, mask, name))

    def close(self) -> None:
        """Give the instance and all its watches back, which may take the kernel 15 ms: meanwhile
        there is other work."""
        if self.fd >= 0:
            threading.Thread(target=os.close, args=(self.fd,), name="close inotify").start()
            self.fd = -1
