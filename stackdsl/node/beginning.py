"""Taking up a run on this machine, and giving it back: locks, marks, the journal, what lives."""

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import Callable

from stackdsl.model import errors, reports
from stackdsl.model.requests import RunIdentity
from stackdsl.node import (
    cgroups,
    containers,
    driving,
    ending,
    enginekeeping,
    engines,
    journal,
    leavings,
    logs,
    marks,
    probing,
    processdriving,
    processes,
    proctable,
    reaping,
    supervising,
    surroundings,
)

LOG_LIMIT_BYTES = 64 * 1024 * 1024
_LOCK = "node.lock"
_LOCK_TIMEOUT_S = 15.0
_STRAY_GRACE_S = 3.0
_SWEEP_GRACE_S = 1.0
_SWEEP_LIMIT_S = 10.0
_RMDIR_TRIES = 100
_SUBREAPER = 36


async def take_up(
    identity: RunIdentity,
    report: Callable[[reports.Report], None],
    access: engines.Access | None = None,
) -> surroundings.Surroundings:
    """Open everything that a run needs here; nothing is started.

    Raises:
        HostError: the folder or the journal cannot be used.
        UsageError: a newer version wrote the journal.
    """
    kept: list[surroundings.Surroundings] = []

    def trouble(what: str, detail: str) -> None:
        if kept:
            kept[0].trouble(what, detail)

    with contextlib.ExitStack() as undo:
        lock = await _take_folder(identity.folder)
        undo.callback(os.close, lock)
        opened = await _open_journal(identity, lambda detail: trouble("journal", detail))
        undo.pop_all()
    spawner = processes.Spawner()
    environment = dict(identity.environment)
    environment[marks.RUN_ID] = identity.run_id
    engine = enginekeeping.EngineKeeper(
        access or engines.Access(dict(identity.environment)), identity.folder
    )
    around = surroundings.Surroundings(
        identity=identity,
        spawner=spawner,
        prober=probing.Prober(report),
        keeper=logs.LogKeeper(
            identity.folder, LOG_LIMIT_BYTES, lambda detail: trouble("logs", detail)
        ),
        journal=opened,
        families=ending.Families(spawner, identity.run_id, identity.folder),
        cgroup=cgroups.enter(identity.run_id),
        report=report,
        environment=environment,
        lock=lock,
        engine=engine,
        containers=containers.Containers(engine, identity, report),
    )
    kept.append(around)
    around.keeper.adopt()
    return around


async def _take_folder(folder: str) -> int:
    """Make the run's folder ours; return its lock."""
    try:
        for each in (folder, f"{folder}/logs", f"{folder}/dirs"):
            os.makedirs(each, mode=0o700, exist_ok=True)
        lock = await _lock(folder)
        _log_ourselves(folder)
    except OSError as error:
        raise errors.HostError(
            "state.refused",
            f'cannot use the run\'s folder "{folder}": {error.strerror}',
            do="make it writable, or choose another with STACKDSL_STATE",
        ) from error
    return lock


async def _lock(folder: str) -> int:
    """Make sure that no other node works in this folder.

    One that waits for its controller to come back (``grace``) is told to let go.
    """
    lock = os.open(f"{folder}/{_LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = asyncio.get_running_loop().time() + _LOCK_TIMEOUT_S
    has_asked = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).strip()
            if not has_asked and holder.isdigit():
                has_asked = True
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(int(holder), signal.SIGUSR1)
            if asyncio.get_running_loop().time() > deadline:
                os.close(lock)
                raise errors.HostError(
                    "state.locked",
                    f'cannot take up the run in "{folder}": another node works for it',
                    why=f"pid {holder.decode()}",
                    do="stop the run first: stackdsl stop",
                ) from None
            await asyncio.sleep(0.01)
        else:
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            return lock


def _log_ourselves(folder: str) -> None:
    """Let our own warnings go to a file: whoever started us may be gone by then."""
    fd = os.open(f"{folder}/node.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.dup2(fd, 2)
    os.close(fd)


def become_subreaper() -> None:
    """Make what our descendants leave behind fall to us. Source: PR_SET_CHILD_SUBREAPER(2const)."""
    import ctypes  # 5 ms; loaded while the controller still plans

    ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0)


async def _open_journal(
    identity: RunIdentity, on_trouble: Callable[[str], None]
) -> journal.Journal:
    opened = journal.open_journal(identity.folder, on_trouble, identity.secrets)
    try:
        earlier = opened.fact("run_id")
        if earlier is not None and earlier != identity.run_id:
            # The folder was another run's, of the same name; nothing of it may live on.
            await asyncio.get_running_loop().run_in_executor(
                None, reaping.reap_marked, earlier, identity.folder, _STRAY_GRACE_S
            )
            await asyncio.get_running_loop().run_in_executor(
                None, leavings.reap, earlier, identity.folder
            )
            opened.clear()
        opened.set_facts(
            {"run_id": identity.run_id, "run": identity.run, "boot": proctable.boot_id()}
        )
    except BaseException:
        opened.close()
        raise
    return opened


def take_up_replica(
    row: journal.Row, replica: supervising.Replica, around: surroundings.Surroundings
) -> bool:
    """Let a replica take up what its row names; return whether that may live."""
    if not driving.may_live(row, around):
        return False
    around.keeper.mark_start(row.spec.name, row.offsets)
    try:
        replica.adopt(row)
    except ProcessLookupError:
        return False
    return True


async def end_strays(around: surroundings.Surroundings, kept: set[str]) -> None:
    """End what carries the run's marks and belongs to no replica of ``kept``."""
    names = {
        name
        for pid in marks.find_marked(around.identity.run_id, around.folder)
        if (name := marks.replica_of(pid, around.folder)) is not None and name not in kept
    }
    if not names:
        return
    await processdriving.end_strays(around, names, _STRAY_GRACE_S)


async def remove_containers(around: surroundings.Surroundings) -> errors.HostError | None:
    """Remove the containers of the run, then its bridge; return why some may be left."""
    try:
        await around.containers.remove_all()
        await _remove_bridge(around)
        enginekeeping.note_cleared(around.folder)
    except errors.HostError as error:
        around.trouble("left-over", f"its containers: {error.what}")
        return error
    return None


async def _remove_bridge(around: surroundings.Surroundings) -> None:
    if not os.path.exists(os.path.join(around.folder, enginekeeping.BRIDGE_NOTE)):
        return  # runs without containers do without its module
    from stackdsl.node import bridges

    await bridges.remove(around.engine, around.identity)


async def end_left(around: surroundings.Surroundings) -> None:
    """End whatever no replica accounts for: TERM, after a second KILL, until nothing is left."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while left := _find_left(around):
        is_late = loop.time() - began > _SWEEP_GRACE_S
        ending.signal_all(left, signal.SIGKILL if is_late else signal.SIGTERM)
        if is_late and around.cgroup is not None:
            around.cgroup.leave()
            cgroups.kill_all(around.identity.run_id)
        if loop.time() - began > _SWEEP_LIMIT_S:
            around.trouble("left-over", f"pids {left} would not end")
            break
        await asyncio.sleep(0.002 if is_late else 0.02)
    if around.families.has_strangers:
        if around.cgroup is not None:
            around.cgroup.leave()  # else we would be killed with it
        await loop.run_in_executor(
            None, reaping.reap_marked, around.identity.run_id, around.folder, 0.0
        )


def begin_leaving(around: surroundings.Surroundings) -> None:
    """Begin to move out of the run's cgroup, which takes up to 20 ms."""
    if around.cgroup is not None:
        around.cgroup.begin_leaving()


async def remove_cgroup(around: surroundings.Surroundings) -> None:
    """Give the run's cgroup back; we move out of it first, which takes up to 20 ms."""
    if around.cgroup is None:
        return
    around.cgroup.leave()
    for _ in range(_RMDIR_TRIES):
        if cgroups.remove_all(around.identity.run_id):
            break
        await asyncio.sleep(0.01)


def _find_left(around: surroundings.Surroundings) -> list[int]:
    """Return what runs below us or in the run's cgroup, commands of people included."""
    around.spawner.orphans()  # those that have ended are reaped
    left = proctable.descendants([os.getpid()])
    if around.cgroup is not None:
        left += around.cgroup.pids()
    return [pid for pid in dict.fromkeys(left) if proctable.start_ticks(pid)]


def let_go(around: surroundings.Surroundings, *, is_over: bool) -> None:
    """Close what was opened; processes live on. ``is_over``: nobody will ask the journal again."""
    around.containers.close()
    around.engine.close()
    around.keeper.close()
    around.prober.close()
    around.spawner.close()
    around.journal.close(is_over=is_over)
    os.close(around.lock)
