"""The newest lines of a run, for a view that shows only those: what nobody could read is skipped.

A flood costs no more than a trickle: of each log only the last bytes are read, and only when asked.
"""

import os
from collections.abc import Callable, Sequence

from stackdsl.model import masks
from stackdsl.node import growth, logfiles

READ_BYTES = 8192
LINES_MAX = 60
# Of a line that has no end yet and is longer, only its last part is shown.
_UNFINISHED_MAX = 200
_UNFINISHED_SHOWN = 60
_Key = tuple[str, logfiles.Stream]
# Nobody waits for the last line of a flood.
_NEVER_FAST = 1 << 62


class Sampler:
    """Samples the logs in a run's ``folder``; ``on_growth`` is called when there is more.

    Used from one event loop, from `open` to `close`.
    """

    def __init__(self, folder: str, secrets: Sequence[str], on_growth: Callable[[], None]) -> None:
        self._folder = folder
        self._mask = masks.make_mask(secrets)
        self._secrets = tuple(secrets)
        self._unfinished: dict[_Key, str] = {}
        self._on_growth = on_growth
        self._read: dict[_Key, int] = {}
        self._grown: set[_Key] = set()
        self._growth = growth.Growth(fast_bytes=_NEVER_FAST)
        self._has_watch = False

    def open(self) -> None:
        """Begin with what is there."""
        self.look()

    def look(self) -> None:
        """Take up logs that are new; needed now and then where no watch can tell of them."""
        if not self._has_watch:
            folder = logfiles.folder_of(self._folder)
            self._has_watch = self._growth.watch_folder(folder, self._see_name)
            for key in logfiles.find_all(self._folder):
                self._take_up(key)

    def close(self) -> None:
        """Give the watches back."""
        self._growth.close()

    def _see_name(self, file_name: str) -> None:
        key = logfiles.parse(file_name)
        if key is not None:
            self._read.pop(key, None)
            self._take_up(key)

    def _take_up(self, key: _Key) -> None:
        if key in self._read:
            return
        self._read[key] = 0
        self._grown.add(key)
        self._growth.add(logfiles.path_of(self._folder, *key), 0, lambda _size: self._see(key))

    def _see(self, key: _Key) -> None:
        self._grown.add(key)
        self._on_growth()

    def take(self) -> list[tuple[str, str]]:
        """Return the newest lines since the last call, secrets masked: (replica, line), by the
        time of each log's last write."""
        grown, self._grown = self._grown, set()
        found: list[tuple[int, str, list[str]]] = []
        for key in sorted(grown):
            sample = self._sample(key)
            if sample is not None and sample[1]:
                found.append((sample[0], key[0], sample[1]))
        found.sort(key=lambda one: one[:2])
        return [(name, line) for _, name, written in found for line in written]

    def unfinished(self) -> dict[str, str]:
        """Return the last lines that have no end yet, by replica: progress, prompts, dots."""
        return {name: text for (name, _), text in sorted(self._unfinished.items())}

    def _keep_unfinished(self, key: _Key, data: bytes) -> None:
        text = data[-READ_BYTES:].decode(errors="replace").rstrip("\r").rpartition("\r")[2]
        text = _hide_begun(self._mask(text), self._secrets)
        if len(text) > _UNFINISHED_MAX:
            text = f"…{text[-_UNFINISHED_SHOWN:]}"
        if text.strip():
            self._unfinished[key] = text
        else:
            self._unfinished.pop(key, None)

    def _sample(self, key: _Key) -> tuple[int, list[str]] | None:
        """Return when a log was last written, and its newest whole lines not yet returned."""
        try:
            fd = os.open(logfiles.path_of(self._folder, *key), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # it is gone: whoever shows the newest lines misses nothing
            self._read.pop(key, None)
            return None
        try:
            seen = os.fstat(fd)
            done = self._read[key] if self._read[key] <= seen.st_size else 0
            start = max(done, seen.st_size - READ_BYTES)
            data = os.pread(fd, seen.st_size - start, start)
        finally:
            os.close(fd)
        end = data.rfind(b"\n") + 1
        self._read[key] = start + end
        self._keep_unfinished(key, data[end:])
        rows = data[:end].split(b"\n")[:-1]
        if start > done:
            rows = rows[1:]  # its begin was not read
        text = self._mask(b"\n".join(rows[-LINES_MAX:]).decode(errors="replace"))
        return seen.st_mtime_ns, text.split("\n") if text else []


def _hide_begun(text: str, secrets: Sequence[str]) -> str:
    """Return a text without a secret that is not written to its end yet."""
    held = max(
        (
            size
            for secret in secrets
            for size in range(1, min(len(secret), len(text) + 1))
            if text.endswith(secret[:size])
        ),
        default=0,
    )
    return text[: len(text) - held]
