"""Where a run in front is shown: two plain streams, or a terminal with lines that stay below."""

import os
import sys
from collections.abc import Callable
from typing import Protocol

from stackdsl.cli import streams

_ERASE_BELOW = "\x1b[J"


class Screen(Protocol):
    """Takes output of services and lines of our own, in order."""

    writer: streams.Writer
    is_terminal: bool

    async def write(self, text: str) -> None:
        """Show whole lines of output; waits while the reader is too slow."""

    def note(self, text: str) -> None:
        """Show a line of our own."""

    def refresh(self) -> None:
        """Show what has changed below."""

    async def close(self) -> None:
        """Show the last, take away what stood below."""


class PlainScreen:
    """Output on stdout, everything else on stderr."""

    def __init__(self) -> None:
        self.writer = streams.Writer(sys.stdout.fileno())
        self.is_terminal = streams.is_terminal(sys.stdout)

    async def write(self, text: str) -> None:
        """See `Screen`."""
        await self.writer.write(text)

    def note(self, text: str) -> None:
        """See `Screen`."""
        print(text, file=sys.stderr, flush=True)

    def refresh(self) -> None:
        """See `Screen`."""

    async def close(self) -> None:
        """See `Screen`."""
        await self.writer.flush()
        self.writer.close()


class LiveScreen:
    """A terminal: everything scrolls by above the lines that ``make_footer`` returns for a width
    and a height."""

    is_terminal = True

    def __init__(self, make_footer: Callable[[int, int], list[str]]) -> None:
        self.writer = streams.Writer(sys.stdout.fileno())
        self._make_footer = make_footer
        self._shown: list[str] = []

    async def write(self, text: str) -> None:
        """See `Screen`."""
        await self.writer.write(self._between(text))

    def note(self, text: str) -> None:
        """See `Screen`."""
        self.writer.put(self._between(f"{text}\n"))

    def refresh(self) -> None:
        """See `Screen`."""
        footer = self._footer()
        if footer != self._shown:
            self.writer.put(self._erase() + self._draw(footer))

    def _between(self, text: str) -> str:
        return self._erase() + text + self._draw(self._footer())

    def _footer(self) -> list[str]:
        try:
            size = os.get_terminal_size(sys.stdout.fileno())
        except OSError:
            size = os.terminal_size((80, 24))
        # a terminal that was given no size says 0
        return self._make_footer(size.columns or 80, size.lines or 24)

    def _erase(self) -> str:
        if not self._shown:
            return ""
        up = len(self._shown) - 1
        return "\r" + (f"\x1b[{up}A" if up else "") + _ERASE_BELOW

    def _draw(self, footer: list[str]) -> str:
        self._shown = footer
        return "\n".join(footer)

    async def close(self) -> None:
        """See `Screen`."""
        self.writer.put(self._erase())
        self._shown = []
        self._make_footer = lambda _width, _height: []
        await self.writer.flush()
        self.writer.close()


def is_live() -> bool:
    """Whether both streams are one terminal that can move its cursor."""
    return (
        streams.is_terminal(sys.stdout)
        and streams.is_terminal(sys.stderr)
        and os.environ.get("TERM", "dumb") != "dumb"
    )
