"""Carrying the output of a pipe or terminal into a log, for programs that cannot write there."""

import asyncio
import errno
import fcntl
import os
import time
from collections.abc import Callable

READ_BYTES = 262144
# A writer that never stops must not hold up the end.
_DRAIN_S = 1.0


class Pump:
    """Reads ``source_fd`` as data comes and writes all of it to ``log_fd``, which appends.

    Owns both descriptors. ``on_end`` is called once when every writer has gone; ``on_trouble``
    once if the log takes no more: the data is dropped then, the program goes on.
    """

    def __init__(
        self,
        source_fd: int,
        log_fd: int,
        *,
        on_end: Callable[[], None] | None = None,
        on_trouble: Callable[[str], None] | None = None,
    ) -> None:
        self._source_fd = source_fd
        self._log_fd = log_fd
        self._on_end = on_end
        self._on_trouble = on_trouble
        self._has_trouble = False
        os.set_blocking(source_fd, False)
        try:
            fcntl.fcntl(source_fd, fcntl.F_SETPIPE_SZ, READ_BYTES)
        except OSError:
            # A terminal, or more than this user may have in pipes: smaller reads.
            self._read_bytes = 65536
        else:
            self._read_bytes = READ_BYTES
        asyncio.get_running_loop().add_reader(source_fd, self._on_readable)

    @property
    def is_ended(self) -> bool:
        """Whether there is nothing more to come."""
        return self._source_fd < 0

    def close(self) -> None:
        """Carry what is there by now, then end; at most a second long."""
        until = time.monotonic() + _DRAIN_S
        while self._source_fd >= 0 and time.monotonic() < until:
            if not self._carry():
                break
        self._end()

    def _on_readable(self) -> None:
        self._carry()

    def _carry(self) -> bool:
        """Carry one read; return whether there was something."""
        try:
            data = os.read(self._source_fd, self._read_bytes)
        except BlockingIOError:
            return False
        except OSError as error:
            # EIO of a terminal: the last program has closed it. Source: pty(7), tty_ioctl(4).
            if error.errno != errno.EIO:
                raise
            data = b""
        if not data:
            self._end()
            return False
        self._write(data)
        return True

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._log_fd, view) :]
        except OSError as error:
            if not self._has_trouble and self._on_trouble is not None:
                self._has_trouble = True
                self._on_trouble(f"cannot write a log: {error.strerror}; output is dropped")

    def _end(self) -> None:
        if self._source_fd < 0:
            return
        asyncio.get_running_loop().remove_reader(self._source_fd)
        os.close(self._source_fd)
        os.close(self._log_fd)
        self._source_fd = self._log_fd = -1
        if self._on_end is not None:
            self._on_end()
