"""Files under watched paths: which of them count, and what tells one state from another."""

import fnmatch
import functools
import os
import re
from collections.abc import Callable

SKIPPED_FOLDERS = frozenset(
    {
        *(".git", ".hg", ".svn", "__pycache__", "node_modules", ".venv", ".tox", ".idea"),
        *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"),
    }
)
# What editors put beside a file while it is edited or saved, and what interpreters compile.
_SKIPPED_FILES = (
    *("*~", "*.swp", "*.swo", "*.swx", "*.pyc", "*.pyo", ".#*", "#*#", "4913", "*.crswap"),
    *("*___jb_tmp___", "*___jb_old___", ".goutputstream-*", "*.kate-swp"),
)
# inotify tells nothing of what other machines do to these. Source: inotify(7), NOTES.
_REMOTE_FILE_SYSTEMS = frozenset(
    ("9p", "nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "drvfs", "virtiofs")
)

State = tuple[int, int, int]
Snapshot = dict[str, State]


@functools.cache
def _skipped_files() -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in _SKIPPED_FILES))


def is_skipped(entry: str, *, is_folder: bool) -> bool:
    """Whether a file or folder inside a watched folder does not count."""
    if is_folder:
        return entry in SKIPPED_FOLDERS
    return _skipped_files().match(entry) is not None


def look(path: str) -> State | None:
    """Return (mtime_ns, size, inode) of a file; None if there is none or it is a folder."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    if stat.st_mode & 0o170000 == 0o040000:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def take_snapshot(paths: tuple[str, ...], on_folder: Callable[[str], None]) -> Snapshot:
    """Return the files at and under ``paths`` as they are now.

    ``on_folder`` is called with each folder that must be watched to see a change, before it is
    listed: for a path that does not exist, with the nearest folder above it that does. Links to
    folders inside a watched folder are not followed.
    """
    found: Snapshot = {}
    for path in paths:
        on_folder(_nearest_folder(os.path.dirname(path)))
        real = os.path.realpath(path)
        if real != path and os.path.exists(real):
            on_folder(os.path.dirname(real))
        state = look(path)
        if state is not None:
            found[path] = state
        elif os.path.isdir(path):
            _walk(path, found, on_folder)
    return found


def _nearest_folder(path: str) -> str:
    while not os.path.isdir(path) and path != "/":
        path = os.path.dirname(path)
    return path


def _walk(top: str, found: Snapshot, on_folder: Callable[[str], None]) -> None:
    folders = [top]
    while folders:
        folder = folders.pop()
        on_folder(folder)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if is_skipped(entry.name, is_folder=is_folder):
                        continue
                    if is_folder:
                        folders.append(entry.path)
                        continue
                    state = look(entry.path)
                    if state is not None:
                        found[entry.path] = state
        except OSError:
            continue  # gone, or not ours to read: as if it were empty


def does_count(path: str, root: str, *, is_folder: bool) -> bool:
    """Whether what happened to ``path`` may matter to whoever watches ``root``."""
    if path == root or (is_folder and root.startswith(path + "/")):
        return True
    if not path.startswith(root + "/"):
        return False
    *folders, last = path[len(root) + 1 :].split("/")
    if any(is_skipped(each, is_folder=True) for each in folders):
        return False
    return not is_skipped(last, is_folder=is_folder)


def is_remote(path: str) -> bool:
    """Whether a path lies on a file system that other machines change unseen."""
    best, kind = "", ""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
            for row in mounts:
                _, point, file_system, *_ = row.split(" ")
                inside = path == point or path.startswith(point.rstrip("/") + "/")
                if inside and len(point) >= len(best):
                    best, kind = point, file_system
    except OSError:
        return False
    return kind in _REMOTE_FILE_SYSTEMS
