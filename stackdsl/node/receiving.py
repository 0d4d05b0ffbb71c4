"""Files that a controller elsewhere sends: kept by the hash of what is in them, so that each comes
once.

Laws: what is kept under a hash has that hash; a file that was cut is not kept.
"""

import hashlib
import os
from collections.abc import Sequence

from stackdsl.model import errors

FOLDER = "sent"


def path_of(folder: str, key: str) -> str:
    """Return where a sent file lies; ``folder`` is the run's there, ``key`` what `key_of` gave."""
    return f"{folder}/{FOLDER}/{key}"


def key_of(digest: str, mode: int) -> str:
    """Return the name that a file is kept under: its hash and its permissions."""
    return f"{digest}-{mode & 0o7777:04o}"


def hash_of() -> "hashlib.blake2b":
    """Return what takes a file's bytes."""
    return hashlib.blake2b(digest_size=20)


def find_missing(folder: str, keys: Sequence[str]) -> tuple[str, ...]:
    """Return which of the files are not here."""
    return tuple(key for key in keys if not os.path.exists(path_of(folder, key)))


class Receiver:
    """Takes files that come one after another: ``take`` their bytes between `open` and `close`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._key = ""
        self._fd = -1
        self._hash = hash_of()
        self._error: OSError | None = None

    def open(self, key: str) -> None:
        """Begin a file.

        Raises:
            HostError: it cannot be made.
        """
        self.abandon()
        if os.path.basename(key) != key:
            raise ValueError(key)
        self._key = key
        self._hash = hash_of()
        self._error = None
        path = path_of(self._folder, key)
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._fd = os.open(f"{path}.part", flags, 0o600)
        except OSError as error:
            raise _refused(path, error) from error

    def take(self, data: bytes) -> None:
        """Take what comes; what cannot be written is told at the end."""
        self._hash.update(data)
        view = memoryview(data)
        while view and self._fd >= 0 and self._error is None:
            try:
                view = view[os.write(self._fd, view) :]
            except OSError as error:
                self._error = error

    def close(self) -> None:
        """Keep the file, if it is whole.

        Raises:
            HostError: it cannot be kept.
        """
        path, fd, self._fd = path_of(self._folder, self._key), self._fd, -1
        digest, _, mode = self._key.rpartition("-")
        try:
            try:
                if self._error is not None:
                    raise self._error
                if self._hash.hexdigest() != digest:
                    raise OSError(0, "it came damaged")
                os.fchmod(fd, int(mode, 8))
            finally:
                os.close(fd)
            os.replace(f"{path}.part", path)
        except OSError as error:
            raise _refused(path, error) from error

    def abandon(self) -> None:
        """Give up a file that has not ended."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _refused(path: str, error: OSError) -> errors.HostError:
    return errors.HostError(
        "host.file-refused",
        f'cannot keep a file that was sent: {error.strerror} ("{path}")',
        do="make room there, or send less",
    )
