"""Room set aside in a state folder: on a full disk runs can still be looked at and given back."""

import contextlib
import os

_NAME = "runs.reserve"
_BYTES = 256 * 1024  # SQLite's shared memory, and a log of some transactions


def keep(root: str) -> None:
    """Set the room aside, if it is not yet; without effect where there is none."""
    path = os.path.join(root, _NAME)
    if os.path.exists(path):
        return
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, _BYTES)
        except OSError:
            os.unlink(path)
            raise
        finally:
            os.close(fd)


def spend(root: str) -> bool:
    """Give the room back to the disk; return whether there was some."""
    try:
        os.unlink(os.path.join(root, _NAME))
    except OSError:
        return False
    return True


def is_full(root: str) -> bool:
    """Whether a disk has less left than what is set aside."""
    try:
        stat = os.statvfs(root)
    except OSError:
        return False
    return stat.f_bavail * stat.f_frsize < _BYTES
