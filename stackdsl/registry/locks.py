"""The lock of a state folder: names are claimed under it, and dead runs are ended under it.

Who ends a dead run looks for its processes by its folder too: without the lock it would end those
of a run that has just been started under the same name.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from stackdsl.model import errors

_NAME = "runs.lock"
_PAUSE_S = 0.02
_TIMEOUT_S = 60.0  # the longest end of a run that ignores TERM, and some


@contextmanager
def lock(root: str) -> Iterator[None]:
    """Hold the lock of the state folder ``root``; blocks the caller."""
    with _opened(root) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield


@asynccontextmanager
async def lock_async(root: str) -> AsyncIterator[None]:
    """Hold the lock of the state folder ``root``; the loop goes on meanwhile.

    Raises:
        HostError: another process held it for a minute.
    """
    with _opened(root) as fd:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                while not _try(fd):  # noqa: ASYNC110 - the lock is another process's
                    await asyncio.sleep(_PAUSE_S)
        except TimeoutError as error:
            raise errors.HostError(
                "state.locked",
                f'cannot claim a run in "{root}": another process ends one there for too long',
                do="run the command again; look for a stackdsl that hangs",
            ) from error
        yield


@contextmanager
def _opened(root: str) -> Iterator[int]:
    try:
        os.makedirs(root, mode=0o700, exist_ok=True)
        fd = os.open(os.path.join(root, _NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise errors.HostError(
            "state.unwritable",
            f'cannot open the state folder "{root}": {error.strerror}',
            do="make it writable, or name another in $STACKDSL_STATE",
        ) from error
    try:
        yield fd
    finally:
        os.close(fd)


def _try(fd: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
