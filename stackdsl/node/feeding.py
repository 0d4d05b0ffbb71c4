"""The input of a container: what a person types, or what a file holds, sent to its program."""

import asyncio
import os

from stackdsl.node import dialing

_READ_BYTES = 65536


class Feed:
    """Reads from a path as there is something, writes to a program. A terminal there shows what the
    program says."""

    def __init__(self, path: str, line: dialing.Line) -> None:
        self._line = line
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
        """Show what the program says; return whether there is a terminal to show it on."""
        if self._screen < 0:
            return False
        os.set_blocking(self._screen, True)
        try:
            os.write(self._screen, data)
        except OSError:
            return False
        finally:
            os.set_blocking(self._screen, False)
        return True

    def close(self) -> None:
        """Give the descriptors back."""
        asyncio.get_running_loop().remove_reader(self._fd)
        for fd in (self._fd, self._screen):
            if fd >= 0:
                os.close(fd)
        self._fd = self._screen = -1
