"""Unpacking what a node was sent, behind the running node: the next one starts from a folder, where
Python keeps what it has compiled."""

import asyncio
import os

_PAUSE_S = 1.0
_OLD_S = 30 * 24 * 3600.0


async def unpack_later(source: str) -> None:
    """Unpack the bundle that we were loaded from beside it, when the first rush is over.

    Packages that are loaded go on to be read from the bundle, so that it stays.
    """
    if not source.endswith(".zip"):
        return
    await asyncio.sleep(_PAUSE_S)
    await asyncio.get_running_loop().run_in_executor(None, _unpack, source)


def _unpack(source: str) -> None:
    import shutil
    import zipfile

    folder = source.removesuffix(".zip")
    part = f"{folder}.{os.getpid()}.part"
    try:
        with zipfile.ZipFile(source) as bundle:
            bundle.extractall(part)  # its names were checked when it came: it is ours by its hash
        os.rename(part, folder)
        _drop_old(os.path.dirname(source))
    except OSError:  # a full disk, or another node was first: a bundle does as well
        shutil.rmtree(part, ignore_errors=True)


def _drop_old(nodes: str) -> None:
    """Delete what no node was started from for long."""
    import shutil
    import time

    for entry in os.scandir(nodes):
        if time.time() - entry.stat().st_mtime > _OLD_S:
            if entry.is_dir():
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)
