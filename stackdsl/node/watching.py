"""Watching source files: a change is told once, soon after the file was closed or renamed.

Laws: what counts is a file's (mtime, size, inode), so reading or opening a file is no change; a
service that writes what it watches is told of that instead of being restarted for ever.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable

from stackdsl.model.data import dataclass
from stackdsl.node import inotify, trees

# A known file that was closed or renamed into place is complete; what is new (it may be the first
# half of an atomic save) and several files are waited for together.
SINGLE_S = 0.002
SEVERAL_S = 0.05
LONGEST_S = 0.5
LOOP_RESTARTS = 5
LOOP_WINDOW_S = 10.0
# A service may write its files when it has just become ready, too.
LOOP_SETTLE_S = 0.5
# Where the kernel tells nothing: no instance or watch left, or the files of another machine.
POLL_S = 1.0

_COMPLETE = inotify.CLOSE_WRITE | inotify.MOVED_TO
_GONE = inotify.DELETE | inotify.MOVED_FROM
_SELF = inotify.DELETE_SELF | inotify.MOVE_SELF
_MASK = _COMPLETE | _GONE | _SELF | inotify.CREATE | inotify.ONLYDIR


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Files that ``name`` watches have changed, been made or gone; their paths, sorted.

    ``gave_up`` says why nothing is watched for ``name`` from now on; empty if all is well.
    """

    name: str
    paths: tuple[str, ...]
    gave_up: str = ""


class _Watched:
    """What one service watches."""

    def __init__(self, name: str, paths: tuple[str, ...]) -> None:
        self.name = name
        self.paths = paths
        # Where links among the paths lead to, and back.
        self.links: dict[str, str] = {}
        self.snapshot: trees.Snapshot = {}
        self.folders: set[str] = set()
        self.pending: set[str] = set()
        self.must_scan = False
        self.is_polled = False
        self.first_at = 0.0
        self.timer: asyncio.TimerHandle | None = None
        self.is_starting = False
        self.started_at = 0.0
        self.own_changes: deque[float] = deque(maxlen=LOOP_RESTARTS)


class Watcher:
    """Calls back with a `Change` when files change that somebody watches (needs a running loop)."""

    def __init__(self, callback: Callable[[Change], None]) -> None:
        self._callback = callback
        self._watched: dict[str, _Watched] = {}
        self._inotify: inotify.Inotify | None = None
        self._numbers: dict[str, int] = {}
        self._folders: dict[int, set[str]] = {}
        self._users: dict[str, set[str]] = {}
        self._poll_timer: asyncio.TimerHandle | None = None

    def set(self, name: str, paths: Iterable[str]) -> None:
        """Watch exactly these files and folders (absolute, existing or not) for ``name``; none:
        watch nothing. Folders count with all that is in them. Changes count from this call on."""
        wanted = tuple(sorted({os.path.normpath(path) for path in paths}))
        standing = self._watched.get(name)
        if standing is not None and standing.paths == wanted:
            return
        if standing is not None:
            self._drop(standing)
        if wanted:
            watched = _Watched(name, wanted)
            watched.is_polled = any(trees.is_remote(path) for path in wanted)
            self._watched[name] = watched
            watched.snapshot = self._scan(watched)

    def mark_starting(self, name: str) -> None:
        """Note that ``name`` is being started: changes may be its own."""
        if name in self._watched:
            self._watched[name].is_starting = True

    def mark_started(self, name: str) -> None:
        """Note that ``name`` has started (is ready, or has ended)."""
        if name in self._watched:
            self._watched[name].is_starting = False
            self._watched[name].started_at = asyncio.get_running_loop().time()

    def close(self) -> None:
        """Watch nothing."""
        for watched in tuple(self._watched.values()):
            self._drop(watched)
        if self._poll_timer is not None:
            self._poll_timer.cancel()
            self._poll_timer = None
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fd)
            self._inotify.close()
            self._inotify = None

    def _drop(self, watched: _Watched) -> None:
        if watched.timer is not None:
            watched.timer.cancel()
        del self._watched[watched.name]
        for folder in watched.folders:
            self._leave_folder(folder, watched.name)

    def _scan(self, watched: _Watched) -> trees.Snapshot:
        """Look at all files of a service and watch exactly the folders that this takes."""
        folders: set[str] = set()

        def enter(folder: str) -> None:
            if folder not in folders:
                folders.add(folder)
                self._enter_folder(folder, watched)

        found = trees.take_snapshot(watched.paths, enter)
        reals = ((os.path.realpath(path), path) for path in watched.paths)
        watched.links = {real: path for real, path in reals if real != path}
        for folder in watched.folders - folders:
            self._leave_folder(folder, watched.name)
        watched.folders = folders
        self._schedule_poll()
        return found

    def _enter_folder(self, folder: str, watched: _Watched) -> None:
        self._users.setdefault(folder, set()).add(watched.name)
        if watched.is_polled:
            return
        try:
            if self._inotify is None:
                self._inotify = inotify.Inotify()
                asyncio.get_running_loop().add_reader(self._inotify.fd, self._on_events)
            # Even if it is watched: by now another folder may stand there.
            number = self._inotify.add(folder, _MASK)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return
        except OSError:  # no instance or watch left for this user
            watched.is_polled = True
            return
        if self._numbers.get(folder, number) != number:
            self._release(folder)
        self._numbers[folder] = number
        self._folders.setdefault(number, set()).add(folder)

    def _leave_folder(self, folder: str, name: str) -> None:
        users = self._users.get(folder, set())
        users.discard(name)
        if users:
            return
        self._users.pop(folder, None)
        self._release(folder)

    def _release(self, folder: str) -> None:
        """End the watch of a folder, unless it is watched under another path too."""
        number = self._numbers.pop(folder, None)
        if number is None:
            return
        self._folders[number].discard(folder)
        if not self._folders[number]:
            del self._folders[number]
            if self._inotify is not None:
                self._inotify.remove(number)

    def _on_events(self) -> None:
        if self._inotify is None:
            return
        for number, mask, entry in self._inotify.read():
            if mask & inotify.Q_OVERFLOW:
                for watched in self._watched.values():
                    self._must_scan(watched)
                continue
            for folder in tuple(self._folders.get(number, ())):
                for name in tuple(self._users.get(folder, ())):
                    self._take(self._watched[name], folder, mask, entry)
                if mask & inotify.IGNORED:
                    self._numbers.pop(folder, None)
            if mask & inotify.IGNORED:
                self._folders.pop(number, None)

    def _take(self, watched: _Watched, folder: str, mask: int, entry: str) -> None:
        """Take notice of one event for one service."""
        if mask & (_SELF | inotify.IGNORED):
            self._must_scan(watched)
            return
        path = f"{folder.rstrip('/')}/{entry}"
        path = watched.links.get(path, path)
        is_folder = bool(mask & inotify.ISDIR)
        if not any(trees.does_count(path, root, is_folder=is_folder) for root in watched.paths):
            return
        if is_folder or (path in watched.paths and os.path.islink(path)):
            self._must_scan(watched)
        elif mask & _GONE and path not in watched.snapshot:
            # It came and went unseen: the other half of an atomic save.
            watched.pending.discard(path)
        elif mask & inotify.CREATE and not _is_complete(path):
            return  # whoever makes it will close it
        else:
            watched.pending.add(path)
            is_known = bool(mask & _COMPLETE) and path in watched.snapshot
            is_single = is_known and len(watched.pending) == 1 and not watched.must_scan
            self._wait(watched, SINGLE_S if is_single else SEVERAL_S)

    def _must_scan(self, watched: _Watched) -> None:
        watched.must_scan = True
        self._wait(watched, SEVERAL_S)

    def _wait(self, watched: _Watched, quiet_s: float) -> None:
        """Tell of the change when nothing more happens for a while."""
        loop = asyncio.get_running_loop()
        if watched.timer is None:
            watched.first_at = loop.time()
        else:
            watched.timer.cancel()
        due = min(loop.time() + quiet_s, watched.first_at + LONGEST_S)
        watched.timer = loop.call_at(due, self._compare, watched)

    def _compare(self, watched: _Watched) -> None:
        """Tell which files differ from what was known of them."""
        if watched.timer is not None:
            watched.timer.cancel()
            watched.timer = None
        before = watched.snapshot
        if watched.must_scan:
            after = self._scan(watched)
            touched = before.keys() | after.keys()
        else:
            touched = watched.pending
            after = {path: state for path in touched if (state := trees.look(path)) is not None}
        watched.must_scan = False
        changed = sorted(path for path in touched if before.get(path) != after.get(path))
        watched.pending = set()
        for path in changed:
            if path in after:
                before[path] = after[path]
            else:
                del before[path]
        if changed:
            self._tell(watched, tuple(changed))

    def _tell(self, watched: _Watched, paths: tuple[str, ...]) -> None:
        now = asyncio.get_running_loop().time()
        gave_up = ""
        if watched.is_starting or now - watched.started_at < LOOP_SETTLE_S:
            earlier = watched.own_changes
            if len(earlier) == LOOP_RESTARTS and now - earlier[0] < LOOP_WINDOW_S:
                gave_up = (
                    f'"{watched.name}" is watched no longer: what it watches changed while it was '
                    f"starting, {LOOP_RESTARTS + 1} times within {LOOP_WINDOW_S:g} s "
                    f'(now "{paths[0]}"); leave out of watch= what it writes itself'
                )
                self._drop(watched)
            earlier.append(now)
        self._callback(Change(name=watched.name, paths=paths, gave_up=gave_up))

    def _schedule_poll(self) -> None:
        if self._poll_timer is None and any(each.is_polled for each in self._watched.values()):
            self._poll_timer = asyncio.get_running_loop().call_later(POLL_S, self._poll)

    def _poll(self) -> None:
        self._poll_timer = None
        for watched in tuple(self._watched.values()):
            if watched.is_polled and self._watched.get(watched.name) is watched:
                watched.must_scan = True
                self._compare(watched)
        self._schedule_poll()


def _is_complete(path: str) -> bool:
    """Whether a name that was just made stands for something complete: a link, not a new file."""
    try:
        stat = os.lstat(path)
    except OSError:
        return False
    return stat.st_mode & 0o170000 != 0o100000 or stat.st_nlink > 1
