"""The input of a container: what a person types, or what a file holds, sent to its program."""

import asyncio
import os

from stackdsl.node import dialing

_READ_BYTES = 65536
_UNSHOWN_MAX = 1024 * 1024


class Feed:
    """Reads from a path as there is something, writes to a program. A terminal there shows what the
    program says."""

    def __init__(self, path: str, line: dialing.Line) -> None:
        self._line = line
        self._unshown = bytearray()
        # not to wait for who writes into a pipe, and not to be controlled by a terminal
        flags = os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK
        self._fd = os.open(path, os.O_RDONLY | flags)
        self._screen = os.open(path, os.O_WRONLY | flags) if os.isatty(self._fd) else -1
        if os.path.isfile(path):
            self._read_all()
        else:
            asyncio.get_running_loop().add_reader(self._fd, self._read)

    def _read_all(self) -> None:
        while data := os.read(self._fd, _READ_BYTES):
            self._line.write(data)
        self._line.write_eof()

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:  # the terminal is gone
            data = b""
        if data:
            self._line.write(data)
            return
        asyncio.get_running_loop().remove_reader(self._fd)
        self._line.write_eof()

    def show(self, data: bytes) -> bool:
        """Show what the program says; return whether that can be: there may be no terminal, or one
        that was halted (Ctrl-S) for longer than we keep what it has to show."""
        if self._screen < 0 or len(self._unshown) > _UNSHOWN_MAX:
            return False
        is_idle = not self._unshown
        self._unshown += data
        if is_idle and not self._show_more():
            asyncio.get_running_loop().add_writer(self._screen, self._go_on)
        return True

    def _show_more(self) -> bool:
        """Show as much as the terminal takes; return whether that was all."""
        try:
            while self._unshown:
                del self._unshown[: os.write(self._screen, self._unshown)]
        except BlockingIOError:
            return False
        except OSError:  # the terminal is gone
            self._unshown.clear()
        return True

    def _go_on(self) -> None:
        if self._show_more():
            asyncio.get_running_loop().remove_writer(self._screen)

    def close(self) -> None:
        """Give the descriptors back."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._fd)
        if self._screen >= 0:
            self._show_more()  # the last of it, as far as the terminal takes it
            loop.remove_writer(self._screen)
        for fd in (self._fd, self._screen):
            if fd >= 0:
                os.close(fd)
        self._fd = self._screen = -1
