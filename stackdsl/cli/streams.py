"""Standard output and error: colours where wanted, JSON, and a writer that never holds up a run."""

import os
import queue
import sys
import threading
from typing import IO, Any

from stackdsl.views import lines

# What a reader that has stopped reading may still take once the run has ended.
FLUSH_TIMEOUT_S = 2.0
HELD_BYTES_MAX = 4 * 1024 * 1024


def paint_for(stream: IO[str]) -> lines.Paint:
    """Return the colours for a stream: on a terminal, and not where NO_COLOR is set.

    Source: https://no-color.org
    """
    is_on = is_terminal(stream) and not os.environ.get("NO_COLOR")
    return lines.Paint(is_on and os.environ.get("TERM") != "dumb")


def is_terminal(stream: IO[str]) -> bool:
    """Whether a person looks at the stream."""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def width_of(stream: IO[str]) -> int | None:
    """Return a terminal's width in columns; None where nothing needs to be cut."""
    if not is_terminal(stream):
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except OSError:
        return None


def print_json(value: Any) -> None:
    """Print one JSON document."""
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False))


def json_line(value: Any) -> str:
    """Return one object of many as a line, with its end."""
    import json

    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


class Writer:
    """Writes to a file descriptor in a thread of its own: a reader that is slow, or stopped, holds
    up whoever waits for `write`, never the loop. Used from one event loop."""

    def __init__(self, fd: int) -> None:
        import asyncio

        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[bytes | threading.Event | None] = queue.SimpleQueue()
        self._held_bytes = 0
        self.written_bytes = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self.is_broken = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    async def write(self, text: str) -> None:
        """Hand text on; waits while too much is held."""
        await self._has_room.wait()
        self.put(text)
        if self._held_bytes > HELD_BYTES_MAX:
            self._has_room.clear()

    def put(self, text: str) -> None:
        """Hand on text that is short and cannot wait."""
        if text and not self.is_broken.is_set():
            data = text.encode(errors="replace")
            self._held_bytes += len(data)
            self._is_empty.clear()
            self._queue.put(data)

    async def flush(self, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        """Wait until everything is written, or time is up."""
        if not await self.try_flush(timeout_s):
            print("output is not read: the rest was dropped", file=sys.stderr)

    async def try_flush(self, timeout_s: float = FLUSH_TIMEOUT_S) -> bool:
        """Wait until everything is written; return whether it was before time was up."""
        import asyncio

        try:
            async with asyncio.timeout(timeout_s):
                await self._is_empty.wait()
        except TimeoutError:
            return False
        return True

    async def caught_up(self) -> None:
        """Wait until everything is written."""
        await self._is_empty.wait()

    def drain(self, timeout_s: float = 0.5) -> None:
        """Hold everything up until what was put is written, for the moments when that is right."""
        passed = threading.Event()
        self._queue.put(passed)
        passed.wait(timeout_s)

    def close(self) -> None:
        """End the thread once it has written what it can."""
        self._queue.put(None)

    def _work(self) -> None:
        while (data := self._queue.get()) is not None:
            if isinstance(data, threading.Event):
                data.set()
                continue
            is_broken = not self._write_all(data)
            try:
                self._loop.call_soon_threadsafe(self._take_note, len(data), is_broken)
            except RuntimeError:  # the loop has ended
                return

    def _write_all(self, data: bytes) -> bool:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except OSError:
                return False
        return True

    def _take_note(self, length: int, is_broken: bool) -> None:
        self._held_bytes -= length
        self.written_bytes += length
        if is_broken:
            self.is_broken.set()
        if self._held_bytes <= HELD_BYTES_MAX or is_broken:
            self._has_room.set()
        if not self._held_bytes:
            self._is_empty.set()
