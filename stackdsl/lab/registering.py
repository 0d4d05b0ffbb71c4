"""The labs of this user: a folder each in the state folder, held by the lock of a living guard."""

import contextlib
import fcntl
import json
import os
import shutil
import time
from typing import Any

from stackdsl.dsl import faults
from stackdsl.lab import guarding, topologies
from stackdsl.model import errors
from stackdsl.model.data import dataclass

_BEGUN_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A lab that lives: its name, its folder, and what it was built of."""

    name: str
    folder: str
    topology: topologies.Topology
    groups: tuple[str, ...]
    is_rootless: bool


def make_folder(root: str, name: str, content: dict[str, Any]) -> str:
    """Make the folder of a new lab with what its keeper must know; return its path. The name gets
    a number if there is a lab of that name."""
    sweep(root)
    os.makedirs(root, mode=0o700, exist_ok=True)
    number = 1
    while True:
        folder = os.path.join(root, name if number == 1 else f"{name}-{number}")
        try:
            os.mkdir(folder, 0o700)
            break
        except FileExistsError:
            number += 1
    with open(os.path.join(folder, guarding.FILE), "w", encoding="utf-8") as file:
        json.dump(content, file)
    return folder


def sweep(root: str) -> None:
    """Remove the folders of labs whose guard was killed; the kernel has ended the rest."""
    for folder in _list_folders(root):
        if not _is_held(folder) and _is_over(folder):
            _remove_groups(folder)
            shutil.rmtree(folder, ignore_errors=True)


def _is_over(folder: str) -> bool:
    """Whether a lab that nobody holds has been held, or was never begun."""
    if os.path.exists(os.path.join(folder, guarding.LOCK)):
        return True
    with contextlib.suppress(OSError):
        return time.time() - os.stat(folder).st_mtime > _BEGUN_WITHIN_S
    return False


def _remove_groups(folder: str) -> None:
    with contextlib.suppress(OSError, ValueError, KeyError):
        with open(os.path.join(folder, guarding.FILE), encoding="utf-8") as file:
            groups = json.load(file)["groups"]
        guarding.remove_groups([path.removesuffix("/all") for path in groups])


def list_records(root: str) -> tuple[Record, ...]:
    """Return the labs that live, by name."""
    found = []
    for folder in _list_folders(root):
        if _is_held(folder):
            with contextlib.suppress(OSError, ValueError, KeyError):  # it is just beginning
                found.append(read_record(folder))
    return tuple(found)


def read_record(folder: str) -> Record:
    """Return what is written down of a lab."""
    with open(os.path.join(folder, guarding.FILE), encoding="utf-8") as file:
        told = json.load(file)
    return Record(
        name=os.path.basename(folder),
        folder=folder,
        topology=topologies.from_json(told["topology"]),
        groups=tuple(told["groups"]),
        is_rootless=told["is_rootless"],
    )


def find(root: str, name: str | None) -> Record:
    """Return a lab that lives: the one of that name, or the only one.

    Raises:
        UsageError: there is none, or several.
    """
    records = list_records(root)
    names = [one.name for one in records]
    if name is None and len(records) == 1:
        return records[0]
    for one in records:
        if one.name == name:
            return one
    if not records:
        raise errors.UsageError(
            "usage.no-lab",
            "cannot find a lab: none is up",
            do="build one in another terminal: stackdsl lab up --topology FILE",
        )
    what = f'"{name}" is not up' if name else f"{len(records)} are up"
    raise errors.UsageError(
        "usage.no-lab",
        f"cannot choose a lab: {what}",
        why=f"up: {', '.join(names)}",
        do=f"{faults.nearest(name or '', names)}name one with --lab NAME",
    )


def _list_folders(root: str) -> list[str]:
    try:
        return sorted(os.path.join(root, name) for name in os.listdir(root))
    except OSError:
        return []


def _is_held(folder: str) -> bool:
    try:
        fd = os.open(os.path.join(folder, guarding.LOCK), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
