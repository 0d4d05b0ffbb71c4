"""Claiming a run's name: what lives under it is taken back, waited for, or refused."""

import asyncio
import os

from stackdsl.model import errors, plans, stacks
from stackdsl.model.data import dataclass
from stackdsl.node import leavings, marks
from stackdsl.registry import locks, places
from stackdsl.registry import store as stores
from stackdsl.session import recovering

_END_TIMEOUT_S = 20.0
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A name that is ours. ``previous`` is the plan of what is taken back, if it was stored."""

    record: stores.Record
    is_adopting: bool
    previous: plans.Plan | None


async def claim(
    store: stores.Store,
    stack: stacks.StackModel,
    run: str,
    crash: tuple[str, float],
    *,
    may_adopt: bool,
) -> Claim:
    """Take a run's name. ``crash`` is what becomes of it when we die; ``may_adopt``: what an
    earlier controller left running is taken back, else refused.

    Raises:
        UsageError: the name lives.
        HostError: what is ending under that name does not end.
    """
    await _wait_for_ending(store, run)
    async with locks.lock_async(store.root):
        known = store.record(run)
        is_adopting = known is not None and not known.has_controller and _is_adoptable(known)
        if known is not None and is_adopting and known.file != stack.file:
            raise lives(run, known)
        if known is not None and is_adopting and not may_adopt:
            await asyncio.to_thread(_end_remains, run, known)
            is_adopting = False
        record = stores.new_record(
            run,
            known.run_id if known is not None and is_adopting else os.urandom(6).hex(),
            stack=stack.name,
            file=stack.file,
            folder=places.run_folder(store.root, run),
            crash=crash,
        )
        previous = store.load_plan(run) if is_adopting else None
        owner = store.claim(record)
    if owner is not None:
        raise lives(run, owner)
    return Claim(record=record, is_adopting=is_adopting, previous=previous)


def make_folder(claimed: Claim) -> None:
    """Make the run's folder; what an ended run of that name left in it goes.

    Raises:
        HostError: it cannot be made.
    """
    folder = claimed.record.folder
    if not claimed.is_adopting:
        recovering.drop_folder(folder)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        raise errors.HostError(
            "state.unwritable",
            f'cannot make the run\'s folder "{folder}": {error.strerror}',
            do="make it writable or free some space, or name another in $STACKDSL_STATE",
        ) from error


def _end_remains(run: str, known: stores.Record) -> None:
    """Remove what stands still of a run that was left to be taken back: its folder, which knows of
    it, is about to go.

    Raises:
        UsageError: some of it goes on.
        HostError: the engine of its containers is not reached.
    """
    if marks.find_marked(known.run_id, known.folder):
        raise lives(run, known)
    if leavings.has_living(known.run_id, known.folder):
        raise lives(run, known)
    recovering.end_marked(known)


def _is_adoptable(known: stores.Record) -> bool:
    """Whether what a controller left waits to be taken back; ``grace`` ends with the node."""
    return known.crash == "adopt" or (known.crash == "grace" and known.node.is_alive)


async def _wait_for_ending(store: stores.Store, run: str) -> None:
    """Wait while the node of a controller that died gives the run back."""
    deadline = asyncio.get_running_loop().time() + _END_TIMEOUT_S
    known = store.record(run)
    while known is not None and recovering.is_ending(known):
        if asyncio.get_running_loop().time() > deadline:
            raise errors.HostError(
                "state.ending",
                f'cannot start run "{run}": an earlier one of that name has not ended yet',
                why=f"its node, pid {known.node.pid}, still gives it back",
                do=f"end it (stackdsl stop {run}), or run a second one beside it: --copy NAME",
            )
        await asyncio.sleep(_LOOK_S)
        known = store.record(run)
    if known is not None and recovering.is_dead(known):
        await asyncio.to_thread(recovering.end_dead, store.root, run)


def lives(run: str, owner: stores.Record) -> errors.UsageError:
    """Return the error for a name that is taken."""
    who = f"its controller has pid {owner.controller.pid}"
    if not owner.has_controller:
        who = "it was left running by a controller that is gone"
    return errors.UsageError(
        "usage.run-lives",
        f'cannot start run "{run}": it is alive already',
        why=f"{who}, from {owner.file or 'no file'}",
        do=f"stop it (stackdsl stop {run}), change it (stackdsl start), or run a second one"
        " beside it: --copy NAME",
    )
