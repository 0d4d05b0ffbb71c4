"""Namespaces and mounts of this process, called in the C library: Python 3.11 knows none of it.

Sources: unshare(2), setns(2), mount(2), pivot_root(2), prctl(2).
"""

import ctypes
import os

NEWNS = 0x00020000
NEWCGROUP = 0x02000000
NEWUTS = 0x04000000
NEWIPC = 0x08000000
NEWPID = 0x20000000
NEWNET = 0x40000000

RDONLY = 1
NOSUID = 2
NODEV = 4
NOEXEC = 8
REMOUNT = 32
BIND = 4096
REC = 16384
PRIVATE = 1 << 18
_DETACH = 2
_SET_TIMERSLACK = 29

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones; a new PID namespace is that of the next child."""
    _check(_libc.unshare(flags), "unshare")


def enter(path: str) -> None:
    """Enter the namespace that a file stands for."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(fd, 0), path)
    finally:
        os.close(fd)


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount a file system, or bind, move and remount with ``flags``."""
    arguments = [each.encode() if each else None for each in (source, target, kind)]
    done = _libc.mount(*arguments, flags, options.encode() or None)
    _check(done, f"mount {kind or 'bind'} on {target}")


def bind(source: str, target: str, *, is_read_only: bool = False, is_whole: bool = False) -> None:
    """Let a file or folder be seen at another place too; ``is_whole``: with what is mounted in
    it."""
    mount(source, target, flags=BIND | (REC if is_whole else 0))
    if is_read_only:
        flags = BIND | REMOUNT | RDONLY | _locked_flags(target)
        mount("", target, flags=flags)


def _locked_flags(target: str) -> int:
    """Return the flags that a remount must keep in a user namespace. Source:
    mount_namespaces(7), "Restrictions on mount namespaces"."""
    told = os.statvfs(target).f_flag
    kept = 0
    for held, flag in ((os.ST_NOSUID, NOSUID), (os.ST_NODEV, NODEV), (os.ST_NOEXEC, NOEXEC)):
        kept |= flag if told & held else 0
    for held, flag in ((os.ST_NOATIME, 1024), (os.ST_NODIRATIME, 2048), (os.ST_RELATIME, 1 << 21)):
        kept |= flag if told & held else 0
    return kept


def unmount(target: str) -> None:
    """Take a mount out of sight; it ends with its last user."""
    _check(_libc.umount2(target.encode(), _DETACH), target)


def change_root(folder: str) -> None:
    """Make a mount the root of this mount namespace, and let go of the old one."""
    os.chdir(folder)
    _check(_libc.pivot_root(b".", b"."), f"pivot_root {folder}")
    unmount(".")
    os.chdir("/")


def set_timer_slack(nanoseconds: int) -> None:
    """Wake up from sleep no later than this after the time."""
    _libc.prctl(_SET_TIMERSLACK, ctypes.c_ulong(nanoseconds), 0, 0, 0)
