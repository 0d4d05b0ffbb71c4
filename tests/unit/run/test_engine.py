"""The engine over machines in memory: order, width, failures, what depends on what restarts."""

import asyncio
import itertools
import textwrap
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import get_args

import pytest

from stackdsl import ports
from stackdsl.dsl import loading
from stackdsl.model import errors, facts, plans, reports, stacks
from stackdsl.plan import planning, reconciling
from stackdsl.run import engine, timeline
from tests.worlds import memory


def load(folder: Path, text: str) -> stacks.StackModel:
    file = folder / "shop.py"
    file.write_text("from stackdsl import *\n" + textwrap.dedent(text))
    return loading.load(file)


@asynccontextmanager
async def running(
    stack: stacks.StackModel, behaviours: Mapping[str, object]
) -> AsyncIterator[tuple[engine.Engine, memory.MemoryNode, plans.Plan]]:
    node = memory.MemoryNode(behaviours)  # type: ignore[arg-type] # the tests' own tables
    identity = ports.RunIdentity(run="shop", run_id="r", stack="shop", folder="/nowhere")
    await node.begin(identity)
    plan = planning.make_plan(stack, facts.Facts(), run="shop", folder="/nowhere")
    ticks = itertools.count()
    async with (
        asyncio.timeout(10),
        engine.Engine(
            {"local": node},
            timeline.Timeline(),
            resolve=lambda p, name, outputs: planning.resolve(p, stack, name, outputs),
            clock_ns=lambda: next(ticks),
        ) as eng,
    ):
        eng.take_plan(plan)
        async with asyncio.TaskGroup() as group:
            following = group.create_task(eng.follow("local"))
            try:
                yield eng, node, plan
            finally:
                following.cancel()


CHAIN = """
    @service(port=1000)
    def db(): return "db"
    @task()
    def migrate(db: Ref): return "migrate"
    @service(port=1001, needs=[migrate])
    def api(db: Ref): return "api"
    @service(port=1002)
    def cache(): return "cache"
"""


def started(node: memory.MemoryNode) -> list[list[str]]:
    return [list(names) for call, names in node.calls if call == "start"]


async def test_what_needs_nothing_starts_together_and_the_rest_when_its_needs_are_met(
    tmp_path: Path,
) -> None:
    async with running(load(tmp_path, CHAIN), {}) as (eng, node, plan):
        await eng.carry_out(plan.steps)
        assert started(node) == [["cache", "db"], ["migrate"], ["api"]]
        assert eng.ledger.is_settled()


async def test_a_failed_need_keeps_its_dependents_from_starting(tmp_path: Path) -> None:
    behaviours = {"migrate": memory.Behaviour(exit_code=3)}
    async with running(load(tmp_path, CHAIN), behaviours) as (eng, node, plan):
        with pytest.raises(errors.ServiceError) as caught:
            await eng.carry_out(plan.steps, keep_going=True)
        assert caught.value.code == "run.task-failed"
        assert ["api"] not in started(node)
        api = eng.ledger.replicas["api"]
        assert (api.state, api.reason) == ("waiting", "migrate failed")
        assert eng.ledger.replicas["cache"].state == "ready"


async def test_a_body_that_takes_a_task_is_called_with_its_output(tmp_path: Path) -> None:
    stack = load(
        tmp_path,
        """
        @task()
        def token(): return "make-token"
        @service()
        def api(token: Ref): return ["api", token.output]
        """,
    )
    behaviours = {"token": memory.Behaviour(exit_code=0, output="s3cret")}
    async with running(stack, behaviours) as (eng, _node, plan):
        await eng.carry_out(plan.steps)
        planned = eng.current_plan.service("api")
        assert planned is not None
        assert planned.command == ("api", "s3cret")


async def test_what_restarts_with_a_service_is_restarted_once_it_is_ready_again(
    tmp_path: Path,
) -> None:
    stack = load(
        tmp_path,
        """
        @service(port=1)
        def db(): return "db"
        @service(restart_with=["db"])
        def follower(db: Ref): return "follower"
        @service()
        def other(db: Ref): return "other"
        """,
    )
    async with running(stack, {}) as (eng, node, plan):
        await eng.carry_out(plan.steps)
        await node.restart(["db"])
        await until(lambda: [c for c in node.calls if c[0] == "restart"][-1][1] == ("follower",))
        assert [call for call in node.calls if call[0] == "restart"] == [
            ("restart", ("db",)),
            ("restart", ("follower",)),
        ]


async def test_stopping_goes_against_the_order_of_needs(tmp_path: Path) -> None:
    async with running(load(tmp_path, CHAIN), {}) as (eng, node, plan):
        await eng.carry_out(plan.steps)
        steps = reconciling.make_stop_plan(plan, eng.ledger.observed())
        await eng.carry_out(steps, keep_going=True)
        stops = [set(names) for call, names in node.calls if call == "stop"]
        assert stops == [{"api", "cache"}, {"db"}]


async def test_a_change_keeps_what_is_as_wanted_and_replaces_the_rest(tmp_path: Path) -> None:
    async with running(load(tmp_path, CHAIN), {}) as (eng, node, plan):
        await eng.carry_out(plan.steps)
        node.calls.clear()
        edited = load(tmp_path, CHAIN.replace('"cache"', '"cache --big"'))
        changed = planning.make_plan(
            edited,
            facts.Facts(),
            run="shop",
            folder="/nowhere",
            previous=plan,
            observed=eng.ledger.observed(),
        )
        eng.take_plan(changed)
        await eng.carry_out(changed.steps)
        assert [list(names) for call, names in node.calls if call == "stop"] == [["cache"]]
        assert ["cache"] in started(node)
        assert eng.ledger.is_settled()


async def test_every_change_of_state_is_an_event_in_order(tmp_path: Path) -> None:
    async with running(load(tmp_path, CHAIN), {}) as (eng, _node, plan):
        await eng.carry_out(plan.steps)
        eng.events.close()
        seen = [e async for e in eng.events.read(0) if e.kind == "service-changed"]
        assert [e.state for e in seen if e.subject == "db"] == ["starting", "ready"]
        assert [e.seq for e in seen] == sorted(e.seq for e in seen)


async def test_every_kind_of_step_has_a_handler(tmp_path: Path) -> None:
    async with running(load(tmp_path, CHAIN), {}) as (eng, _node, _plan):
        assert eng.handled_steps == set(get_args(plans.Step))


async def test_what_changes_right_after_changed_was_asked_for_is_told(tmp_path: Path) -> None:
    async with running(load(tmp_path, CHAIN), {}) as (eng, _node, _plan):
        changed = asyncio.ensure_future(eng.ledger.changed())
        eng.ledger.set_state(eng.ledger.replicas["db"], "starting", reason="")
        await asyncio.wait_for(changed, 1)


FOLLOWED = """
    @service(port=1)
    def db(): return "db"
    @service(restart_with=["db"])
    def follower(db: Ref): return "follower"
"""


async def test_a_node_that_tells_ready_once_more_restarts_nothing(tmp_path: Path) -> None:
    async with running(load(tmp_path, FOLLOWED), {}) as (eng, node, plan):
        await eng.carry_out(plan.steps)
        again = reports.StateReport(name="db", state="ready", time_ns=1)
        eng.take(again)
        await asyncio.sleep(0)
        assert not [call for call in node.calls if call[0] == "restart"]


async def test_what_was_adopted_as_ready_restarts_what_follows_it(tmp_path: Path) -> None:
    async with running(load(tmp_path, FOLLOWED), {}) as (eng, node, plan):
        await eng.carry_out(plan.steps)
        for replica in eng.ledger.replicas.values():
            replica.was_ready = False  # as in a controller that has just begun
        eng.adopt(eng.ledger.observed())
        await node.restart(["db"])
        await until(lambda: [c for c in node.calls if c[0] == "restart"][-1][1] == ("follower",))


async def test_a_walk_that_waits_for_what_a_new_node_found_failed_fails(tmp_path: Path) -> None:
    behaviours = {"db": memory.Behaviour(ready_after_s=60.0)}
    async with running(load(tmp_path, CHAIN), behaviours) as (eng, _node, plan):
        async with asyncio.TaskGroup() as group:
            walking = group.create_task(raised_by(eng.carry_out(plan.steps)))
            await until(lambda: eng.ledger.replicas["db"].state == "starting")
            found = plans.Observed(name="db", kind="service", state="failed", digest="")
            eng.adopt([found])
        error = walking.result()
    assert isinstance(error, errors.ServiceError)
    assert '"db"' in error.what


async def test_a_second_walk_that_starts_what_lives_already_ends(tmp_path: Path) -> None:
    stack = load(tmp_path, "@service()\ndef one(): return 'one'")
    async with running(stack, {}) as (eng, _node, plan):
        async with asyncio.timeout(5):
            await eng.carry_out(plan.steps)
            await eng.carry_out(plan.steps)  # planned before the first one had begun


async def test_a_lost_node_fails_each_walk_with_one_error(tmp_path: Path) -> None:
    lost = errors.HostError("host.connection-lost", "cannot reach it: it ended", do="wait")

    async with running(load(tmp_path, CHAIN), {}) as (eng, node, plan):

        async def refuse(*_: object, **__: object) -> None:
            raise lost

        await eng.carry_out(plan.steps)
        node.stop = refuse  # type: ignore[method-assign]
        steps = reconciling.make_stop_plan(plan, eng.ledger.observed())
        error = await raised_by(eng.carry_out(steps, keep_going=True))
    assert error is lost


async def raised_by(work: Coroutine[object, object, None]) -> BaseException | None:
    try:
        await work
    except errors.StackError as error:
        return error
    return None


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                if check():
                    return
            except IndexError:
                pass
            await asyncio.sleep(0.001)
