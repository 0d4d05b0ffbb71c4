"""Giving a run back: stopped in order or at once, its node sent away, its name set free.

Laws: a node that died or hangs keeps nothing: what it cannot give back is found by its marks.
"""

import asyncio
from typing import TYPE_CHECKING, Literal

from stackdsl.model import errors
from stackdsl.plan import reconciling
from stackdsl.registry import store as stores
from stackdsl.run import engine
from stackdsl.session import claiming, nodekeeping, recovering, steadying

if TYPE_CHECKING:  # stacks on one machine do without SSH, which costs 0.2 s to load
    from stackdsl.session import farkeeping

LEAVE_TIMEOUT_S = 30.0
HURRY_TIMEOUT_S = 10.0


async def release(
    store: stores.Store,
    keeper: nodekeeping.NodeKeeper,
    fars: "farkeeping.FarKeeper | None",
    eng: engine.Engine,
    record: stores.Record,
    *,
    at_once: bool,
) -> tuple[errors.StackError, ...]:
    """Stop everything of a run and give it back; return what failed in it.

    Raises:
        TeardownError: some of its processes would not go; its name stays taken.
    """
    failures: list[errors.StackError] = []
    if fars is not None:
        fars.stop_waiting()
    try:
        if at_once:
            await hurry(eng, keeper)
        else:
            steps = reconciling.make_stop_plan(eng.current_plan, eng.ledger.observed())
            await eng.carry_out(steps, keep_going=True)
    except errors.StackError as error:
        if not steadying.is_lost(error):
            failures.append(error)
    if fars is not None:
        failures.extend(await fars.leave("reap"))
    failure = await _send_away(keeper, "reap")
    if failure is not None:
        if not steadying.is_lost(failure):
            failures.append(failure)
        await asyncio.to_thread(recovering.end_marked, record)
    store.remove(record.run, record.run_id)
    return tuple(failures)


async def hurry(eng: engine.Engine, keeper: nodekeeping.NodeKeeper) -> None:
    """Let what is being stopped end at once; a node that does not answer is killed.

    Raises:
        StackError: something could not be stopped.
    """
    try:
        async with asyncio.timeout(HURRY_TIMEOUT_S), asyncio.TaskGroup() as group:
            hurrying = [
                group.create_task(_hurry_on(eng, host), name=f"hurry {host}") for host in eng.nodes
            ]
    except TimeoutError:
        keeper.kill()
    else:
        errors.raise_all([error for task in hurrying if (error := task.result()) is not None])


async def _hurry_on(eng: engine.Engine, host: str) -> errors.StackError | None:
    """Let what is being stopped on a host end at once; return what failed."""
    mine = [name for name, one in eng.ledger.replicas.items() if one.planned.host == host]
    try:
        await eng.nodes[host].stop(sorted(mine), at_once=True)
    except errors.StackError as error:
        # without a node the stop under way ends by marks, which is at once too
        return None if steadying.is_lost(error) else error
    return None


async def release_unstarted(
    store: stores.Store,
    keeper: nodekeeping.NodeKeeper,
    fars: "farkeeping.FarKeeper | None",
    claimed: claiming.Claim,
) -> None:
    """Give back a run in which nothing was started; what was to be taken back is left running.

    Raises:
        TeardownError: some of its processes would not go.
    """
    record = claimed.record
    mode: Literal["reap", "adopt"] = "adopt" if claimed.is_adopting else "reap"
    if fars is not None:
        await fars.leave(mode)  # why it began no run is told already
    failure = await _send_away(keeper, mode)
    if claimed.is_adopting:
        store.release(record.run)
        return
    if failure is not None:
        await asyncio.to_thread(recovering.end_marked, record)
    store.remove(record.run, record.run_id)
    recovering.drop_folder(record.folder)


async def _send_away(
    keeper: nodekeeping.NodeKeeper, mode: Literal["reap", "adopt"]
) -> errors.StackError | None:
    """Send the node away, kill it if it does not go; return why it could not do its part."""
    if keeper.node is None:
        return None
    try:
        await asyncio.wait_for(keeper.node.leave(mode), LEAVE_TIMEOUT_S)
    except errors.StackError as error:
        return error
    except TimeoutError:
        keeper.kill()
        return errors.TeardownError(
            "teardown.node",
            f"cannot end the node: it did not answer within {LEAVE_TIMEOUT_S:g} s",
            why="it was killed, and what it had started too",
            do="look into node.log in the run's folder",
        )
    return None
