"""A host's own view of the file system: the machine's files, with everything written kept apart.

What a host writes goes to a memory-backed disk of its own (overlayfs): the machine's files stay as
they are, and nothing is left when the lab ends. Homes, /run, /tmp, /dev, /proc and /sys are the
host's own. Sources: Documentation/filesystems/overlayfs.rst, hier(7), mount_namespaces(7).
"""

import contextlib
import os
import stat
import subprocess
from collections.abc import Iterable

from stackdsl.lab import namespaces
from stackdsl.model.data import dataclass

OUTSIDE = "/run/outside"
_OWN = ("/proc", "/sys", "/dev", "/run", "/tmp", "/root", "/home")  # noqa: S108 - each host's own
_LEFT_OUT = ("boot", "lost+found", "media", "mnt")
COPIES = "/run/lab/copies"
_SUDO = ("/usr/bin/sudo", "/usr/libexec/sudo", "/usr/lib/sudo")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """Where a host's files are kept: ``folder`` outlives its power, not the lab."""

    folder: str
    is_rootless: bool

    def path(self, *parts: str) -> str:
        """Return a path on it."""
        return os.path.join(self.folder, *parts)


def assemble(disk: Disk) -> str:
    """Mount a host's root and return its path; this mount namespace must be the host's.

    Raises:
        OSError: the kernel has no overlayfs that we may use.
    """
    root = disk.path("root")
    for name in ("root", "upper", "work", "homes/root", "homes/people", "docker"):
        os.makedirs(disk.path(name), exist_ok=True)
    if disk.is_rootless:
        _assemble_by_folder(disk, root)
    else:
        _overlay("/", disk.path("upper"), disk.path("work"), root)
    _add_other_mounts(root)
    if disk.is_rootless:
        put_copies(root)
    return root


def _overlay(lower: str, upper: str, work: str, target: str, options: str = "") -> None:
    namespaces.mount(
        "overlay",
        target,
        "overlay",
        0,
        f"lowerdir={lower},upperdir={upper},workdir={work}{options}",
    )


def _assemble_by_folder(disk: Disk, root: str) -> None:
    """Put a root together of folders: in a user namespace, "/" as a whole is no lower folder (it
    has mounts that are locked). Source: mount_namespaces(7)."""
    namespaces.bind(root, root)
    for name in os.listdir("/"):
        source, target = f"/{name}", f"{root}/{name}"
        if os.path.islink(source):
            if not os.path.lexists(target):
                os.symlink(os.readlink(source), target)
            continue
        if not os.path.isdir(source):
            continue
        os.makedirs(target, exist_ok=True)
        if source in _OWN or name in _LEFT_OUT:
            continue
        upper, work = disk.path("upper", name), disk.path("work", name)
        os.makedirs(upper, exist_ok=True)
        os.makedirs(work, exist_ok=True)
        if name == "var":  # nothing of the machine's could be written to
            namespaces.bind(upper, target)
            _make_var(target)
            continue
        lower = COPIES + source if name == "etc" else source
        try:
            _overlay(lower, upper, work, target, ",userxattr")
        except OSError:  # it has mounts of its own
            with contextlib.suppress(OSError):
                namespaces.bind(source, target, is_whole=True)


def _make_var(folder: str) -> None:
    for name in ("cache", "lib", "log", "spool", "tmp"):
        os.makedirs(f"{folder}/{name}", exist_ok=True)
    os.chmod(f"{folder}/tmp", 0o1777)  # noqa: S103, S108 - as everywhere
    if not os.path.lexists(f"{folder}/run"):
        os.symlink("/run", f"{folder}/run")


def copy_system() -> None:
    """Copy what hosts must own: in a user namespace, files of the real root are nobody's there, to
    be read only, and a program of his makes nobody root. Source: user_namespaces(7)."""
    for path in ("/etc", *_SUDO):
        if os.path.exists(path):
            os.makedirs(os.path.dirname(COPIES + path), exist_ok=True)
            # What is not ours to read stays away, and cp says so.
            words = ["cp", "-a", "--no-preserve=ownership", path, COPIES + path]
            subprocess.run(words, stderr=subprocess.DEVNULL, check=False)
    if os.path.exists(COPIES + _SUDO[0]):
        os.chmod(COPIES + _SUDO[0], 0o4755)  # noqa: S103 - what sudo is


def put_copies(root: str) -> None:
    """Let a host see the copies of `copy_system` where the originals are."""
    for path in _SUDO:
        if os.path.exists(COPIES + path):
            namespaces.bind(COPIES + path, root + path)


def _add_other_mounts(root: str) -> None:
    """Show the machine's other file systems too, not to be written to: an overlay has none."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        points = [row.split()[4].encode().decode("unicode_escape") for row in file]
    for point in sorted(set(points)):
        first = f"/{point.split('/')[1]}"
        if point == "/" or first in _OWN or point.startswith(root):
            continue
        with contextlib.suppress(OSError):  # a file system that is not ours to show
            namespaces.bind(point, root + point, is_read_only=True)


def furnish(root: str, disk: Disk, *, has_tun: bool, has_docker: bool) -> None:
    """Mount what each host has of its own."""
    namespaces.mount("proc", f"{root}/proc", "proc", _SAFE)
    namespaces.mount("sysfs", f"{root}/sys", "sysfs", _SAFE)
    namespaces.mount("run", f"{root}/run", "tmpfs", _TIDY, "mode=755")
    namespaces.mount("tmp", f"{root}/tmp", "tmpfs", _TIDY, "mode=1777")  # noqa: S108 - its own
    for name, target in (("homes/root", "/root"), ("homes/people", "/home")):
        os.makedirs(root + target, exist_ok=True)
        namespaces.bind(disk.path(name), root + target)
    os.chmod(f"{root}/root", 0o700)
    if has_docker:
        # An overlay cannot lie on an overlay's upper half.
        os.makedirs(f"{root}/var/lib/docker", exist_ok=True)
        namespaces.bind(disk.path("docker"), f"{root}/var/lib/docker")
    _make_devices(f"{root}/dev", has_tun=has_tun)


_TIDY = namespaces.NOSUID | namespaces.NODEV
_SAFE = _TIDY | namespaces.NOEXEC


def _make_devices(folder: str, *, has_tun: bool) -> None:
    namespaces.mount("dev", folder, "tmpfs", namespaces.NOSUID, "mode=755")
    for name in _DEVICES:
        _bind_device(f"/dev/{name}", f"{folder}/{name}")
    for name, target in _LINKS.items():
        os.symlink(target, f"{folder}/{name}")
    for name, mode in (("pts", 0o755), ("shm", 0o1777), ("net", 0o755)):
        os.mkdir(f"{folder}/{name}")
        os.chmod(f"{folder}/{name}", mode)
    namespaces.mount("shm", f"{folder}/shm", "tmpfs", _TIDY, "mode=1777")
    namespaces.mount(
        "devpts", f"{folder}/pts", "devpts", namespaces.NOSUID, "newinstance,ptmxmode=0666,mode=620"
    )
    os.symlink("pts/ptmx", f"{folder}/ptmx")
    if has_tun and os.path.exists("/dev/net/tun"):
        _bind_device("/dev/net/tun", f"{folder}/net/tun")


def _bind_device(source: str, target: str) -> None:
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
    namespaces.bind(source, target)


def mount_cgroups(root: str, hierarchies: Iterable[tuple[str, str, str]]) -> None:
    """Mount control groups as this namespace sees them: (place, kind, options) each."""
    for place, kind, options in sorted(hierarchies):
        target = root + place
        with contextlib.suppress(OSError):  # in a user namespace there are none
            if not os.path.isdir(target):
                if not os.path.ismount(f"{root}/sys/fs/cgroup"):
                    namespaces.mount("cgroups", f"{root}/sys/fs/cgroup", "tmpfs", _SAFE, "mode=755")
                os.makedirs(target, exist_ok=True)
            namespaces.mount("cgroup", target, kind, _SAFE, options)


def take_python_away(disk: Disk) -> None:
    """Leave no python3 on the PATH of a root that is yet to be assembled. Source:
    Documentation/filesystems/overlayfs.rst, "whiteouts"."""
    for folder in ("/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/sbin", "/bin", "/sbin"):
        if os.path.islink(folder) or not os.path.isdir(folder):
            continue
        upper = disk.path("upper", folder[1:])
        for name in os.listdir(folder):
            if name.startswith(("python", "pypy")):
                os.makedirs(upper, exist_ok=True)
                with contextlib.suppress(FileExistsError):  # the power was off in between
                    os.mknod(os.path.join(upper, name), stat.S_IFCHR, os.makedev(0, 0))


def show_outside(root: str) -> None:
    """Let the controller see the machine's own files, all of them, in a place apart."""
    os.makedirs(root + OUTSIDE, mode=0o700)
    namespaces.bind("/", root + OUTSIDE, is_whole=True)


def show(path: str, outside: str, *, is_read_only: bool) -> None:
    """Let a path of the machine be seen where it is, though its folder is a host's own; ``outside``
    is where the machine's files are. A home or /tmp is shown by what lies in it."""
    source = outside + path
    if path in ("/", *_OWN):
        if path in ("/root", "/home", "/tmp"):  # noqa: S108 - a path to compare with
            for name in os.listdir(source):
                if not name.startswith("."):
                    _show_one(f"{source}/{name}", f"{path}/{name}", is_read_only=is_read_only)
        return
    _show_one(source, path, is_read_only=is_read_only)


def _show_one(source: str, target: str, *, is_read_only: bool) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif os.path.isfile(source):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
    else:
        return
    with contextlib.suppress(OSError):  # a file system that is not ours to show
        namespaces.bind(source, target, is_read_only=is_read_only, is_whole=not is_read_only)
