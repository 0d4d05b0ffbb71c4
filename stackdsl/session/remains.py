"""What runs leave on disk: their folders, and whose output is in them."""

import os
from collections.abc import Sequence

from stackdsl.node import logfiles
from stackdsl.registry import places
from stackdsl.registry import store as stores


def list_folders(store: stores.Store) -> list[str]:
    """Return the names of runs, living or ended, whose folder is there."""
    try:
        return sorted(os.listdir(os.path.join(store.root, "runs")))
    except OSError:
        return []


def folder_of(store: stores.Store, run: str) -> str:
    """Return the folder of a run."""
    return places.run_folder(store.root, run)


def touched_ns(store: stores.Store, run: str) -> int:
    """Return when a run's folder was changed last; 0 if it is gone."""
    try:
        return os.stat(folder_of(store, run)).st_mtime_ns
    except OSError:
        return 0


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
