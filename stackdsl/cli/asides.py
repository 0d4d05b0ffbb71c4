"""What a stack's own code prints while it is read: kept apart from results and off the screen.

Bodies print when their author looks for a fault. On standard output that would stand in the midst
of results, JSON included; on a terminal that is drawn on, in the midst of the picture.
"""

import io
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

_KEPT_MAX = 200


class _Turned(io.TextIOBase):
    """Stands for a stream, and hands what is written on; everything else is the stream's own."""

    def __init__(self, stream: TextIO, take: Callable[[str], object]) -> None:
        self._stream = stream
        self._take = take

    def write(self, text: str) -> int:
        self._take(text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override] # the base has none
        return self._stream.encoding

    @property
    def buffer(self) -> Any:
        return getattr(self._stream, "buffer", None)

    def writable(self) -> bool:
        return True


def _turn(stream: TextIO, take: Callable[[str], object]) -> TextIO:
    return cast("TextIO", _Turned(stream, take))


class _Lines:
    """Makes lines of what is written in pieces, tells each, and keeps the last."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._begun = ""
        self.kept: deque[str] = deque(maxlen=_KEPT_MAX)

    def take(self, text: str) -> None:
        *whole, self._begun = (self._begun + text).split("\n")
        for line in whole:
            self.kept.append(line)
            self._tell(line)


@contextmanager
def beside() -> Iterator[None]:
    """Have what is printed stand on standard error: standard output is for results."""
    out = sys.stdout
    sys.stdout = _turn(out, sys.stderr.write)
    try:
        yield
    finally:
        sys.stdout = out


@contextmanager
def off_screen(tell: Callable[[str], object]) -> Iterator[deque[str]]:
    """Have each line that is printed told, on whichever stream, and yield where the last are kept:
    the terminal is drawn on."""
    lines = _Lines(tell)
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _turn(out, lines.take), _turn(err, lines.take)
    try:
        yield lines.kept
    finally:
        sys.stdout, sys.stderr = out, err
