"""Files and folders that a replica is given: its own folder, and what is rendered into it."""

import asyncio
import os
import threading
from collections.abc import Callable

from stackdsl.model import errors, specs
from stackdsl.node import accounts

OWN_LEVELS = 4  # STATE/runs/RUN/dirs


def prepare(spec: specs.ServiceSpec) -> None:
    """Make a replica's folder, 0700 and its user's own, and write its files.

    Raises:
        ServiceError: a path leaves the folder, or something cannot be written.
    """
    if not spec.dir:
        return
    is_of_machine = spec.user and spec.container is None
    account = accounts.find(spec.user) if spec.user and is_of_machine else None
    owner = account if account is not None and not account.is_us and os.geteuid() == 0 else None
    try:
        os.makedirs(spec.dir, mode=0o700, exist_ok=True)
        if spec.container is not None:
            # Users of an image are any numbers; the run's folder above lets nobody else come here.
            os.chmod(spec.dir, 0o777)  # noqa: S103  # as said
        if owner is not None:
            os.chown(spec.dir, owner.uid, owner.gid)
            _open_way(spec.dir, spec.user or "")
        for file in spec.files:
            _write(spec, file, owner)
    except OSError as error:
        raise errors.ServiceError(
            "start.files",
            f'its files cannot be written: "{error.filename}": {error.strerror}',
            do="make room, or correct the path or its permissions",
        ) from error


def _write(
    spec: specs.ServiceSpec, file: specs.RenderedFile, owner: accounts.Account | None
) -> None:
    root = os.path.realpath(spec.dir)
    path = os.path.realpath(os.path.join(root, file.path))
    if os.path.commonpath((root, path)) != root or path == root:
        raise errors.ServiceError(
            "start.files",
            f'file "{file.path}" would lie outside its folder',
            why=f'its folder is "{spec.dir}"',
            do="give a path that stays below it",
        )
    made = []
    parent = os.path.dirname(path)
    while parent != root and not os.path.isdir(parent):
        made.append(parent)
        parent = os.path.dirname(parent)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    made += _fill(file, path)
    if spec.container is not None:
        for each in (*made, path):
            if not os.path.islink(each):
                os.chmod(each, os.stat(each).st_mode | (0o777 if os.path.isdir(each) else 0o666))
    if owner is not None:
        for each in (*made, path):
            os.chown(each, owner.uid, owner.gid, follow_symlinks=False)


def _fill(file: specs.RenderedFile, path: str) -> list[str]:
    """Make what is at a path; return what was made below it."""
    if file.copy is not None:
        return _copy(file.copy, path)
    if file.link is not None:
        if not os.path.lexists(path):
            os.symlink(file.link, path)
        return []
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "w", encoding="utf-8", newline="") as stream:
        stream.write(file.text or "")
    return []


def _copy(source: str, path: str) -> list[str]:
    """Copy a file or a folder, modes included; return what was made below ``path``."""
    import shutil  # loads every compressor; few services copy

    if not os.path.isdir(source):
        shutil.copyfile(source, path)
        shutil.copymode(source, path)
        return []
    shutil.copytree(source, path, symlinks=True, dirs_exist_ok=True)
    made: list[str] = []
    for folder, folders, files in os.walk(path):
        made += [os.path.join(folder, name) for name in (*folders, *files)]
    return made


def _open_way(path: str, user: str) -> None:
    """Make sure that another user can come to a folder of ours.

    The state folder and what is below are opened for passing through (0711), not for looking; ones
    further up are the person's.
    """
    above = os.path.dirname(path)
    for _ in range(OWN_LEVELS):
        mode = os.stat(above).st_mode
        if not mode & 0o001 and os.stat(above).st_uid == os.geteuid():
            os.chmod(above, mode | 0o011)  # noqa: S103  # passing through is what is wanted
        above = os.path.dirname(above)
    while above != "/":
        if not os.stat(above).st_mode & 0o001:
            raise errors.ServiceError(
                "start.folder-closed",
                f'user "{user}" cannot come to its folder: "{above}" is closed to others',
                why=f'its folder is "{path}"',
                do=f"keep state where that user may come: STACKDSL_STATE=/var/lib/stackdsl, "
                f"or chmod o+x {above}",
            )
        above = os.path.dirname(above)


class Dropper:
    """Deletes folders of replicas in a thread: the kernel lets whoever removes a folder wait, on
    some file systems, and a run may have hundreds."""

    def __init__(self) -> None:
        self._begun: set[str] = set()
        self._left: list[str] = []
        self._lock = threading.Lock()
        self._is_working = False
        self._on_idle: Callable[[], object] = lambda: None

    def drop(self, path: str) -> None:
        """Begin to delete a folder and all that is in it; asked for twice, it is done once."""
        if path in self._begun:
            return
        self._begun.add(path)
        with self._lock:
            self._left.append(path)
            if self._is_working:
                return
            self._is_working = True
        threading.Thread(target=self._work, name="drop folders", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._left:
                    self._is_working = False
                    self._on_idle()
                    return
                path = self._left.pop()
            drop(path)

    async def finish(self) -> None:
        """Wait until all is deleted."""
        loop = asyncio.get_running_loop()
        idle = asyncio.Event()
        with self._lock:
            if not self._is_working:
                return
            self._on_idle = lambda: loop.call_soon_threadsafe(idle.set)
        await idle.wait()


def drop(path: str) -> None:
    """Delete a replica's folder and all that is in it; what is gone already is fine."""
    if not path:
        return
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
    except OSError:  # it is not empty
        import shutil  # as above

        shutil.rmtree(path, ignore_errors=True)
