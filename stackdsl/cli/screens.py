"""Where a run is shown: two plain streams, or a terminal that is drawn on as a whole.

Laws of the terminal: it is given back as it was, whatever happened; what does not change is not
written again; who reads slowly is not written to.
"""

import asyncio
import contextlib
import os
import signal
import sys
import termios
from collections.abc import Callable, Sequence
from typing import Any

from stackdsl.cli import streams

# The other screen, no cursor, no wrapping at the edge (a row of wrong width harms no other row).
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[H\x1b[2J"
_LEAVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
# What stands between is shown at once where a terminal knows how; others ignore it.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
_REDRAW_KEY = b"\x0c"
_QUIT_KEYS = frozenset(b"qQ")


class PlainScreen:
    """Output on stdout, everything else on stderr."""

    def __init__(self) -> None:
        self.writer = streams.Writer(sys.stdout.fileno())
        self.is_terminal = streams.is_terminal(sys.stdout)

    async def write(self, text: str) -> None:
        """Show whole lines of output; waits while the reader is too slow."""
        await self.writer.write(text)

    def note(self, text: str) -> None:
        """Show a line of our own."""
        print(text, file=sys.stderr, flush=True)

    async def close(self) -> None:
        """Show the last."""
        await self.writer.flush()
        self.writer.close()


class FullScreen:
    """A terminal, drawn on as a whole from `enter` to `close`. ``on_quit`` is called for the key
    q, ``on_change`` when it must be drawn anew."""

    def __init__(self, *, on_quit: Callable[[], None], on_change: Callable[[], None]) -> None:
        self.writer = streams.Writer(sys.stdout.fileno())
        self._on_quit = on_quit
        self._on_change = on_change
        self._shown: list[str] = []
        self._size = (0, 0)
        self._is_entered = False
        self._is_read = True
        self._keys: int | None = None
        self._saved: list[Any] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows; a terminal that was given no size says 0, and gets the usual one."""
        try:
            found = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            return 80, 24
        return found.columns or 80, found.lines or 24

    def enter(self) -> None:
        """Take the terminal."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, self._on_change)
        loop.add_signal_handler(signal.SIGTSTP, self._pause)
        loop.add_signal_handler(signal.SIGCONT, self._resume)
        self._take()

    def _take(self) -> None:
        self._is_entered = True
        self._shown = []
        self._read_keys()
        self.writer.put(_ENTER)

    def _read_keys(self) -> None:
        """Get keys one by one and unseen, if they are ours to read."""
        with contextlib.suppress(OSError, ValueError, termios.error):
            fd = sys.stdin.fileno()
            if not os.isatty(fd) or os.tcgetpgrp(fd) != os.getpgrp():
                return
            self._saved = termios.tcgetattr(fd)
            wanted = termios.tcgetattr(fd)
            wanted[3] &= ~(termios.ICANON | termios.ECHO)
            termios.tcsetattr(fd, termios.TCSANOW, wanted)
            self._keys = fd
            asyncio.get_running_loop().add_reader(fd, self._take_keys)

    def _take_keys(self) -> None:
        assert self._keys is not None
        try:
            pressed = os.read(self._keys, 64)
        except OSError:
            pressed = b""
        if not pressed:  # the terminal is gone
            self._leave_keys()
        elif pressed == _REDRAW_KEY:
            self._shown = []
            self._on_change()
        elif len(pressed) == 1 and pressed[0] in _QUIT_KEYS:
            self._on_quit()

    def _leave_keys(self) -> None:
        fd, self._keys = self._keys, None
        if fd is None:
            return
        asyncio.get_running_loop().remove_reader(fd)
        if self._saved is not None:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(fd, termios.TCSANOW, self._saved)

    def _pause(self) -> None:
        """Give the terminal back and be stopped, as Ctrl-Z asks for."""
        if self._is_entered:
            self._is_entered = False
            self._leave_keys()
            self.writer.put(_LEAVE)
            self.writer.drain()
        loop = asyncio.get_running_loop()
        # by the signal itself: the kernel ignores it where no shell could let us go on
        loop.remove_signal_handler(signal.SIGTSTP)
        os.kill(os.getpid(), signal.SIGTSTP)
        loop.add_signal_handler(signal.SIGTSTP, self._pause)
        self._resume()

    def _resume(self) -> None:
        """Take the terminal again, unless we go on in the background."""
        if not self._is_entered and is_foreground():
            self._take()
            self._on_change()

    def draw(self, rows: Sequence[str]) -> None:
        """Show rows from the top; those that stand there already are left alone."""
        if not self._is_entered:
            return
        if self.size != self._size or not self._shown:
            self._size = self.size
            self._shown = []
        fresh = [
            f"\x1b[{at + 1};1H{row}\x1b[0m\x1b[K"
            for at, row in enumerate(rows)
            if at >= len(self._shown) or self._shown[at] != row
        ]
        if fresh:
            clear = "" if self._shown else "\x1b[2J"
            self.writer.put(_BEGIN + clear + "".join(fresh) + _END)
            self._shown = list(rows)

    async def close(self) -> None:
        """Give the terminal back."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT):
            loop.remove_signal_handler(number)
        if self._is_entered:
            self._is_entered = False
            self._leave_keys()
            self.writer.put(_LEAVE)
        try:
            # who does not read does not hold up the end
            self._is_read = await self.writer.try_flush()
        finally:
            self.writer.drain()

    async def leave(self, text: str) -> None:
        """Write what stays, once the terminal was given back."""
        if self._is_read:
            self.writer.put(f"{text}\n")
            await self.writer.try_flush()
        self.writer.close()


def is_live() -> bool:
    """Whether both streams are one terminal that can move its cursor, and it is ours now."""
    return (
        streams.is_terminal(sys.stdout)
        and streams.is_terminal(sys.stderr)
        and os.environ.get("TERM", "dumb") not in ("dumb", "")
        and is_foreground()
    )


def is_foreground() -> bool:
    """Whether we may draw on the terminal: in the background we would draw over someone else."""
    try:
        return os.tcgetpgrp(sys.stdout.fileno()) == os.getpgrp()
    except OSError:  # it is not the terminal that controls us: nobody else is on it
        return True
