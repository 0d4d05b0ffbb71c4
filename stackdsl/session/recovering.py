"""What earlier runs left: found by the store and by marks, adopted or reaped."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence

from stackdsl.model import errors
from stackdsl.model.data import dataclass
from stackdsl.node import cgroups, leavings, reaping
from stackdsl.registry import locks, places
from stackdsl.registry import store as stores
from stackdsl.session import farreaping

_NODE_TIMEOUT_S = 10.0
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A run as `ps` shows it. ``state``: as stored, "adopted" for one that lives without a
    controller, "ending" for one whose node is giving it back."""

    run: str
    stack: str
    state: str
    file: str | None
    folder: str
    pid: int | None
    created_ns: int
    crash: str


def is_ending(record: stores.Record) -> bool:
    """Whether a node gives back what its dead controller owned, and is not waiting for another."""
    is_kept = record.crash in ("adopt", "grace")
    return not record.has_controller and record.node.is_alive and not is_kept


def is_dead(record: stores.Record) -> bool:
    """Whether owner and node of a run are dead, and nobody is to take it back."""
    return not (record.has_controller or record.node.is_alive or record.crash == "adopt")


def sweep(store: stores.Store) -> tuple[stores.Record, ...]:
    """Give back every run whose owner and node are dead and that is not to be adopted.

    Returns the runs that are still something. Called before every command.
    """
    records = store.records()
    dead = [record.run for record in records if is_dead(record)]
    if not dead:
        return records
    for run in dead:
        # An engine that is away keeps what it has: the run stays known, the next command tries.
        with contextlib.suppress(errors.HostError):
            end_dead(store.root, run)
    return store.records()


def sweep_here() -> None:
    """Do as `sweep` does in the state folder in force; for a thread, it blocks."""
    store = open_store()
    try:
        sweep(store)
    finally:
        store.close()


def end_dead(root: str, run: str) -> None:
    """End a run that is dead, unless another process does it or has started it anew meanwhile.

    Raises:
        TeardownError: some of it would not go.
    """
    store = stores.Store(root)
    try:
        with locks.lock(root):
            record = store.record(run)
            if record is not None and is_dead(record):
                reap(store, record, grace_s=3.0)
    finally:
        store.close()


def reap(store: stores.Store, record: stores.Record, *, grace_s: float) -> None:
    """End everything of a run by its marks alone.

    Raises:
        TeardownError: some would not go.
    """
    end_marked(record, grace_s)
    store.remove(record.run, record.run_id)


def end_marked(record: stores.Record, grace_s: float = 3.0) -> None:
    """End every process and container of a run by its marks, and drop its services' folders.

    Raises:
        TeardownError: some would not go.
        HostError: the engine of its containers is not reached.
    """
    left = reaping.reap_marked(record.run_id, record.folder, grace_s)
    if left:
        raise errors.TeardownError(
            "teardown.left",
            f'cannot end run "{record.run}": {len(left)} of its processes would not go',
            why=f"pids {', '.join(map(str, left))}",
            do="look at them with ps; they may belong to another user or hang in the kernel",
        )
    leavings.reap(record.run_id, record.folder)
    drop_folder(os.path.join(record.folder, "dirs"))


def drop_folder(path: str) -> None:
    """Delete a folder and all that is in it; what is gone already is fine."""
    if os.path.lexists(path):
        import shutil  # loads every compressor; most runs find nothing of an earlier one

        shutil.rmtree(path, ignore_errors=True)


def list_runs(store: stores.Store) -> tuple[Listed, ...]:
    """Return every run that is something, by name."""
    return tuple(
        Listed(
            run=record.run,
            stack=record.stack,
            state=_state_of(record),
            file=record.file,
            folder=record.folder,
            pid=record.controller.pid if record.has_controller else None,
            created_ns=record.created_ns,
            crash=record.crash,
        )
        for record in sweep(store)
    )


def _state_of(record: stores.Record) -> str:
    if record.has_controller:
        return record.state
    return "ending" if record.node.is_alive else "adopted"


def end_orphaned(store: stores.Store, record: stores.Record) -> None:
    """End a run that has no controller, as `stop` and `clean` do.

    Raises:
        UsageError: it was taken back meanwhile.
        TeardownError: some of it would not go.
        HostError: another machine that it uses is not reached.
    """
    with locks.lock(store.root):
        known = store.record(record.run)
        if known is None or known.run_id != record.run_id:
            return
        if known.has_controller:
            raise errors.UsageError(
                "usage.run-lives",
                f'cannot end run "{record.run}": it was taken back just now',
                do="run the command again",
            )
        _send_node_away(known)
        farreaping.reap(known.run, known.run_id, known.stack, known.folder)
        reap(store, known, grace_s=10.0)


def _send_node_away(record: stores.Record) -> None:
    """Let a node that waits for another controller (``grace``) end what it has: it would start
    again what others end."""
    if not record.node.is_alive:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(record.node.pid, signal.SIGTERM)
    deadline = time.monotonic() + _NODE_TIMEOUT_S
    while record.node.is_alive and time.monotonic() < deadline:
        time.sleep(_LOOK_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """What `clean` gave back."""

    runs: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()


def clean(store: stores.Store, names: Sequence[str] = (), *, volumes: bool = False) -> Cleaned:
    """End every run without a controller and drop the folders of ended ones; ``volumes``: and the
    named volumes of these runs.

    Living runs with a controller are left alone.

    Raises:
        TeardownError: some processes would not go.
        HostError: an engine that a run has used is not reached; the rest is done.
    """
    ended: list[str] = []
    dropped = _drop_volumes_after(store, names) if volumes else tuple
    for record in store.records():
        if record.has_controller or (names and record.run not in names):
            continue
        _end_and_drop(store, record)
        ended.append(record.run)
    folders: list[str] = []
    failures: list[errors.HostError] = []
    alive = {record.run for record in store.records()}
    runs = os.path.join(store.root, "runs")
    for name in sorted(os.listdir(runs)) if os.path.isdir(runs) else ():
        if name not in alive and (not names or name in names):
            reaping.reap_marked("", os.path.join(runs, name), 3.0)
            try:
                leavings.reap("", os.path.join(runs, name))
            except errors.HostError as error:
                failures.append(error)
                continue
            drop_folder(os.path.join(runs, name))
            folders.append(name)
    cgroups.remove_deserted()
    if failures:
        raise failures[0]
    return Cleaned(runs=tuple(ended), folders=tuple(folders), volumes=dropped())


def _drop_volumes_after(store: stores.Store, names: Sequence[str]) -> Callable[[], tuple[str, ...]]:
    """Return what drops volumes, with what the folders say before they are dropped."""
    runs = os.path.join(store.root, "runs")
    there = (
        [os.path.join(runs, name) for name in sorted(os.listdir(runs))]
        if os.path.isdir(runs)
        else []
    )
    living = {record.folder for record in store.records() if record.has_controller}
    find = leavings.find_engines(there)

    def drop() -> tuple[str, ...]:
        wanted = None if not names else {os.path.join(runs, name) for name in names}
        return leavings.drop_volumes(
            find,
            lambda folder: (
                os.path.dirname(folder) == runs
                and folder not in living
                and (wanted is None or folder in wanted)
            ),
        )

    return drop


def _end_and_drop(store: stores.Store, record: stores.Record) -> None:
    """End a run without a controller; its folder goes first where a full disk wants room."""
    try:
        end_orphaned(store, record)
    except errors.HostError as error:
        if error.code != "state.disk-full":
            raise
        drop_folder(record.folder)
        store.remove(record.run, record.run_id)


def open_store() -> stores.Store:
    """Return the store of the state folder in force."""
    return stores.Store(places.state_root())
