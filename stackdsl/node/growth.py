"""Which of many files have grown: polled while data comes, a one-shot inotify when quiet.

A standing inotify taxes every write of the writer (1.6 x for a write a line); polling an idle file
wakes the machine for nothing. So a file is polled from 5 ms on while it grows, and after 50 ms of
quiet a watch is set that fires once.

Laws: no wake-up while nothing grows; whoever writes pays for one event per quiet spell, not more.
"""

import asyncio
import os
from collections.abc import Callable

from stackdsl.node import inotify

FASTEST_S = 0.005
SLOWEST_S = 0.05
QUIET_S = 0.05
FAST_BYTES = 1024 * 1024
# No more of a core than a tenth goes into looking at many files: a look takes some 3 us.
_PAUSE_A_FILE_S = 0.00003
# How long a new name may wait for others that appear with it.
_NAMES_PAUSE_S = 0.02
# Where the kernel has no instance or watch left for us: seldom enough to be cheap.
FALLBACK_S = 0.25

Size = Callable[[int], None]


class _Followed:
    __slots__ = ("grew_at", "is_busy", "on_size", "path", "size", "watch")

    def __init__(self, path: str, size: int, on_size: Size, now: float) -> None:
        self.path = path
        self.size = size
        self.on_size = on_size
        self.grew_at = now
        self.is_busy = True
        self.watch = -1


class Growth:
    """Calls back with a file's new size soon after it changed; -1 when the file is gone.

    ``hold_s``: no watch is set sooner than that after the last `add`, so that ctypes is not
    loaded while services are being spawned. ``fast_bytes``: growth of that much between two polls
    keeps them at their fastest, as `hurry` does.
    """

    def __init__(self, hold_s: float = 0.0, fast_bytes: int = FAST_BYTES) -> None:
        self._hold_s = hold_s
        self._fast_bytes = fast_bytes
        self._held_until = 0.0
        self._files: dict[str, _Followed] = {}
        self._busy: dict[str, _Followed] = {}
        self._by_watch: dict[int, _Followed] = {}
        self._folders: dict[int, Callable[[str], None]] = {}
        self._inotify: inotify.Inotify | None = None
        self._has_no_inotify = False
        self._timer: asyncio.TimerHandle | None = None
        self._interval_s = FASTEST_S
        self._is_closed = False
        self._is_hurried = False
        self._pause: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is polled: every file waits for its watch to fire."""
        return self._timer is None

    def add(self, path: str, size: int, on_size: Size) -> None:
        """Follow a file of which ``size`` bytes are known; a path that is followed starts anew."""
        loop = asyncio.get_running_loop()
        self.remove(path)
        followed = _Followed(path, size, on_size, loop.time())
        self._files[path] = self._busy[path] = followed
        self._held_until = loop.time() + self._hold_s
        self._schedule()

    def has(self, path: str) -> bool:
        """Whether a file is followed."""
        return path in self._files

    def remove(self, path: str) -> None:
        """Follow a file no longer."""
        followed = self._files.pop(path, None)
        self._busy.pop(path, None)
        if followed is not None and followed.watch >= 0:
            self._by_watch.pop(followed.watch, None)
            if self._inotify is not None:
                self._inotify.remove(followed.watch)

    def watch_folder(self, path: str, on_name: Callable[[str], None]) -> bool:
        """Call back with the name of each file that is made in a folder from now on.

        A watch for new names costs writers nothing. Returns whether there is such a watch: where
        not, the caller must look by itself.
        """
        watching = self._open_inotify()
        if watching is None:
            return False
        try:
            number = watching.add(path, inotify.CREATE | inotify.MOVED_TO | inotify.ONLYDIR)
        except OSError:
            return False
        self._folders[number] = on_name
        return True

    def hurry(self, *, is_hurried: bool) -> None:
        """Poll at the fastest (someone waits for a line), or as is cheap."""
        self._is_hurried = is_hurried
        if is_hurried and self._timer is not None and self._interval_s > FASTEST_S:
            self._timer.cancel()
            self._timer = None
            self._interval_s = FASTEST_S
            self._schedule()

    def wind_down(self) -> None:
        """Give the watches back, and look now and then until `close`: the kernel takes 15 ms to
        give some hundred of them back, which is better done while programs end."""
        self._has_no_inotify = True
        if self._inotify is None:
            return
        self._close_inotify()
        self._by_watch.clear()
        self._folders.clear()
        for followed in self._files.values():
            followed.watch = -1
            followed.is_busy = True
        self._busy.update(self._files)
        self._interval_s = FALLBACK_S
        self._schedule()

    def close(self) -> None:
        """Follow nothing any longer."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._close_inotify()
        self._files.clear()
        self._busy.clear()
        self._by_watch.clear()
        self._folders.clear()

    def _close_inotify(self) -> None:
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fd)
            if self._pause is not None:
                self._pause.cancel()
            self._inotify.close()
            self._inotify = None

    def _open_inotify(self) -> inotify.Inotify | None:
        if self._inotify is None and not self._has_no_inotify:
            try:
                self._inotify = inotify.Inotify()
            except OSError:
                self._has_no_inotify = True
            else:
                asyncio.get_running_loop().add_reader(self._inotify.fd, self._on_events)
        return self._inotify

    def _schedule(self) -> None:
        if self._timer is None and self._busy and not self._is_closed:
            loop = asyncio.get_running_loop()
            pause_s = max(self._interval_s, len(self._busy) * _PAUSE_A_FILE_S)
            self._timer = loop.call_later(pause_s, self._tick)

    def _on_events(self) -> None:
        if self._inotify is None:
            return
        events = self._inotify.read()
        woken = self._take_events(events)
        if woken:
            self._interval_s = FASTEST_S
        elif events:
            self._let_names_gather()
        now = asyncio.get_running_loop().time()
        for followed in woken:
            if followed.path in self._files and not followed.is_busy:
                followed.is_busy = True
                followed.grew_at = now
                self._busy[followed.path] = followed
                self._look(followed, now)
        self._schedule()

    def _let_names_gather(self) -> None:
        """Look at no events for a moment: where one new file appears, 400 may be on their way."""
        loop = asyncio.get_running_loop()
        if self._inotify is not None:
            loop.remove_reader(self._inotify.fd)
            self._pause = loop.call_later(
                _NAMES_PAUSE_S, loop.add_reader, self._inotify.fd, self._on_events
            )

    def _take_events(self, events: list[tuple[int, int, str]]) -> list[_Followed]:
        """Tell of new names; return the files whose watches have fired."""
        woken: list[_Followed] = []
        for number, mask, name in events:
            if mask & inotify.Q_OVERFLOW:
                woken.extend(self._files.values())
            elif number in self._folders:
                if mask & inotify.IGNORED:
                    del self._folders[number]
                elif not mask & inotify.ISDIR:
                    self._folders[number](name)
            elif number in self._by_watch:
                followed = self._by_watch.pop(number)
                followed.watch = -1
                woken.append(followed)
        return woken

    def _tick(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        grown = 0
        for followed in tuple(self._busy.values()):
            if followed.path in self._busy:
                grown += self._look(followed, now)
        self._settle(now)
        if self._is_hurried or grown >= self._fast_bytes:
            self._interval_s = FASTEST_S
        else:
            self._interval_s = min(self._interval_s * (1.5 if grown else 2.0), SLOWEST_S)
        if self._has_no_inotify and not grown:
            self._interval_s = FALLBACK_S
        self._schedule()

    def _look(self, followed: _Followed, now: float) -> int:
        """Compare one file's size with what is known; return by how much it differs."""
        try:
            size = os.stat(followed.path).st_size
        except FileNotFoundError:
            self.remove(followed.path)
            followed.on_size(-1)
            return 0
        difference = abs(size - followed.size)
        if difference:
            followed.size = size
            followed.grew_at = now
            followed.on_size(size)
        return difference

    def _settle(self, now: float) -> None:
        """Hand files that have been quiet over to a watch."""
        if now < self._held_until:
            return
        for followed in tuple(self._busy.values()):
            if now - followed.grew_at < QUIET_S:
                continue
            watching = self._open_inotify()
            if watching is None:
                return
            try:
                followed.watch = watching.add(followed.path, inotify.MODIFY | inotify.ONESHOT)
            except FileNotFoundError:
                continue
            except OSError:
                self._has_no_inotify = True
                return
            self._by_watch[followed.watch] = followed
            followed.is_busy = False
            self._busy.pop(followed.path, None)
            # What was written between the last look and the watch fires nothing.
            if self._look(followed, now):
                self._poll_again(followed)

    def _poll_again(self, followed: _Followed) -> None:
        """Poll a file again that had been handed over to a watch."""
        if followed.path not in self._files:
            return
        self._by_watch.pop(followed.watch, None)
        if self._inotify is not None:
            self._inotify.remove(followed.watch)
        followed.watch = -1
        followed.is_busy = True
        self._busy[followed.path] = followed
