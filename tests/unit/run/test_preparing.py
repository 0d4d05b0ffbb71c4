"""Images, networks and links on machines in memory: done before the start, or the start fails."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from stackdsl import ports
from stackdsl.model import errors, plans, reports, specs
from stackdsl.run import engine, replicas, timeline
from tests.worlds import memory

IMAGE = plans.PrepareImage(
    id="image:shop:1", subject="shop:1", needs=(), cause="api is made from it", host="local",
    image=specs.Image(reference="shop:1"),
)  # fmt: skip
NETWORK = plans.SetNetwork(
    id="network:local", subject="local", needs=(), cause="api stands in it",
    network=specs.Network(name="net", subnet="10.1.0.0/24", gateway="10.1.0.1", bridge="sd-x"),
)  # fmt: skip
PROOF = plans.ProveLinks(
    id="link:api", subject="api", needs=("network:local",), cause="api calls db", host="local",
    edges=(specs.Edge(source="api", target="db", port="default", host="10.1.0.2", number=5432),),
)  # fmt: skip
STARTING = plans.StartService(
    id="start:api", subject="api", needs=("image:shop:1", "link:api", "network:local"), cause="x"
)
READY = plans.AwaitReady(id="ready:api", subject="api", needs=("start:api",), cause="x")
STEPS: tuple[plans.Step, ...] = (IMAGE, NETWORK, PROOF, STARTING, READY)


def make_plan() -> plans.Plan:
    spec = specs.ServiceSpec(name="api", service="api", index=0, kind="service", argv=("x",))
    api = plans.PlannedService(
        name="api", kind="service", service="api", index=0, host="local", target="local",
        needs=(), ports=(), bind="", env=(), command=("x",), spec=spec, where="shop.py:3",
    )  # fmt: skip
    return plans.Plan(stack="shop", run="shop", hosts=(), services=(api,), links=(), steps=STEPS)


@asynccontextmanager
async def running(
    node: memory.MemoryNode,
) -> AsyncIterator[engine.Engine]:
    identity = ports.RunIdentity(run="shop", run_id="r", stack="shop", folder="/nowhere")
    await node.begin(identity)
    ticks = itertools.count()

    def resolve(plan: plans.Plan, name: str, outputs: object) -> plans.PlannedService:
        found = plan.service(name)
        assert found is not None
        return found

    async with (
        asyncio.timeout(10),
        engine.Engine(
            {"local": node}, timeline.Timeline(), resolve=resolve, clock_ns=lambda: next(ticks)
        ) as eng,
    ):
        eng.take_plan(make_plan())
        async with asyncio.TaskGroup() as group:
            following = group.create_task(eng.follow("local"))
            try:
                yield eng
            finally:
                following.cancel()


async def failing(node: memory.MemoryNode) -> tuple[errors.StackError, replicas.Replica]:
    async with running(node) as eng:
        with pytest.raises(errors.StackError) as caught:
            await eng.carry_out(STEPS)
        return caught.value, eng.ledger.replicas["api"]


def told(events: timeline.Timeline) -> Sequence[tuple[str, str | None, str]]:
    return [(e.subject, e.state, e.reason) for e in events._window if e.kind == "step"]


async def test_images_networks_and_links_come_before_the_start() -> None:
    node = memory.MemoryNode()
    async with running(node) as eng:
        await eng.carry_out(STEPS)
    assert {call for call, _ in node.calls[:2]} == {"prepare_image", "set_network"}
    assert [call for call, _ in node.calls[2:4]] == ["prove", "start"]


async def test_an_image_that_cannot_be_had_fails_its_service_with_the_reason() -> None:
    node = memory.MemoryNode(missing=["shop:1"])
    error, api = await failing(node)
    assert error.code == "start.no-image"
    assert (api.state, api.reason, api.is_final) == ("failed", error.what, True)
    assert "start" not in [call for call, _ in node.calls]


async def test_a_link_that_no_packet_passes_fails_its_caller_with_the_cause() -> None:
    node = memory.MemoryNode()
    node.unreachable["10.1.0.2:5432"] = "it listens on 127.0.0.1 only\nbind me.bind"
    error, api = await failing(node)
    assert error.code == "link.unreachable"
    assert error.what == 'cannot reach "db" from "api": 10.1.0.2:5432'
    assert (error.why, error.do) == ("it listens on 127.0.0.1 only", "bind me.bind")
    assert error.where == "shop.py:3"
    assert (api.state, api.why, api.do) == ("failed", error.why, error.do)


async def test_a_service_that_another_failure_keeps_from_starting_fails_by_its_own_too() -> None:
    node = memory.MemoryNode(missing=["shop:1"])
    node.unreachable["10.1.0.2:5432"] = "refused"
    async with running(node) as eng:
        with pytest.raises(errors.StackError):
            await eng.carry_out(STEPS, keep_going=True)
        api = eng.ledger.replicas["api"]
        assert (api.state, api.why) == ("failed", "refused")


async def test_progress_of_an_image_is_told_of_its_step() -> None:
    node = memory.MemoryNode()
    async with running(node) as eng:
        eng.take(reports.ProgressReport(subject="shop:1", text="pulling 3 of 9 MB", time_ns=1))
        assert ("image:shop:1", "begun", "pulling 3 of 9 MB") in told(eng.events)


async def test_the_status_names_the_container() -> None:
    node = memory.MemoryNode()
    async with running(node) as eng:
        eng.take(reports.StateReport(name="api", state="ready", time_ns=1, container="c0ffee"))
        assert replicas.service_status(eng.ledger.replicas["api"]).container == "c0ffee"
