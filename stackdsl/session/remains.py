"""What runs leave on disk: their folders, and whose output is in them."""

import contextlib
import os
from collections.abc import Sequence

from stackdsl.node import logfiles
from stackdsl.registry import places
from stackdsl.registry import store as stores
from stackdsl.session import masking, stacks

_NOTE = "has-secrets"


def list_folders(store: stores.Store) -> list[str]:
    """Return the names of runs, living or ended, whose folder is there."""
    try:
        return sorted(os.listdir(os.path.join(store.root, "runs")))
    except OSError:
        return []


def folder_of(store: stores.Store, run: str) -> str:
    """Return the folder of a run."""
    return places.run_folder(store.root, run)


def note_secrets(folder: str, file: str | None) -> None:
    """Write down that output in a run's folder may hold secrets, and whose stack knows them: not
    the secrets themselves, they may not be stored."""
    with (
        contextlib.suppress(OSError),  # a full disk may not keep a run from going on
        open(os.path.join(folder, _NOTE), "w", encoding="utf-8") as note,
    ):
        note.write(file or "")


def find_secrets(folder: str) -> tuple[str, ...]:
    """Return what must be masked in the output of a run that has no controller: what its stack's
    file says now.

    Raises:
        StackError: there are secrets, and the stack that knows them cannot be loaded.
    """
    try:
        with open(os.path.join(folder, _NOTE), encoding="utf-8") as note:
            file = note.read()
    except OSError:
        return ()
    stack = stacks.load(file)
    return (*stack.secrets, *masking.find_secrets(stack.plan()))


def list_writers(folder: str) -> list[str]:
    """Return the replicas whose output is in a run's folder."""
    return sorted({name for name, _ in logfiles.find_all(folder)})


def list_replicas(store: stores.Store, run: str) -> list[str]:
    """Return the replicas of a run's stored plan; none without one."""
    plan = store.load_plan(run)
    return [] if plan is None else sorted(one.name for one in plan.services)


def find_replicas(asked: str, known: Sequence[str]) -> list[str]:
    """Return which of the known replicas a name stands for: itself, or a service's replicas."""
    plain = asked.replace("-", "_")
    found = [name for name in known if name.replace("-", "_") == plain]
    if found:
        return found
    return [
        name
        for name in known
        for stem, dash, index in (name.rpartition("-"),)
        if dash and index.isdigit() and stem.replace("-", "_") == plain
    ]
