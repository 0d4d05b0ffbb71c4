"""What every node keeps to: the real one with processes, with containers, the one in memory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stackdsl import ports
from stackdsl.model import errors, probes, reports, services, specs
from stackdsl.model.requests import RunIdentity, Wanted
from tests.waiting import eventually_async
from tests.worlds import far, memory, native, sshds

# The engine stands before the first test looks at what is on the machine.
pytestmark = [pytest.mark.timeout(60), pytest.mark.usefixtures("session_engine")]


@dataclass
class World:
    """A node, what it has reported, and programs of which the test knows what they do."""

    node: ports.Node
    seen: list[reports.Report]
    identity: RunIdentity
    make: Callable[..., specs.ServiceSpec]
    host: str = "local"

    def states(self, name: str) -> list[str]:
        return [r.state for r in self.seen if isinstance(r, reports.StateReport) and r.name == name]

    async def until(self, name: str, state: str, times: int = 1) -> reports.StateReport:
        async def look() -> reports.StateReport:
            found = [
                r
                for r in self.seen
                if isinstance(r, reports.StateReport) and r.name == name and r.state == state
            ]
            assert len(found) >= times, f"{self.seen[-5:]}"
            return found[times - 1]

        return await eventually_async(look, within_s=10.0)


NEVER = specs.Check(probe=probes.File(path="/nonexistent/never"))


def _make_native(name: str, does: str, **fields: object) -> specs.ServiceSpec:
    kind, _, value = does.partition(" ")
    argv = {
        "serves": ("sleep", "1000"),
        "exits": ("sh", "-c", f"exit {value}"),
        "says": ("printf", "%s\n", value),
        "missing": ("no-such-program-anywhere",),
        "never-ready": ("sleep", "1000"),
    }[kind]
    if kind == "never-ready":
        fields = {"ready": (NEVER,), "start_timeout_s": 0.2, **fields}
    return native.spec(name, *argv, **fields)


def _make_container(name: str, does: str, **fields: object) -> specs.ServiceSpec:
    like = _make_native(name, does, **fields)
    inner = specs.Container(
        name=f"contract-{name}", image=specs.Image(reference="busybox:local", pull="never")
    )
    return replace(like, container=inner, cwd="")


def _make_in_memory(node: memory.MemoryNode) -> Callable[..., specs.ServiceSpec]:
    def make(name: str, does: str, **fields: object) -> specs.ServiceSpec:
        kind, _, value = does.partition(" ")
        behaviours: dict[str, Callable[[], memory.Behaviour]] = {
            "serves": memory.Behaviour,
            "exits": lambda: memory.Behaviour(exit_code=int(value)),
            "says": lambda: memory.Behaviour(exit_code=0, output=value),
            "missing": lambda: memory.Behaviour(is_missing=True),
            "never-ready": lambda: memory.Behaviour(ready_after_s=None),
        }
        node.behaviours[name] = behaviours[kind]()
        return _make_native(name, does, **fields)

    return make


@contextlib.asynccontextmanager
async def _open_native(run: RunIdentity) -> AsyncIterator[World]:
    async with native.running(None) as living:
        yield World(living.node, living.seen, run, _make_native)


@contextlib.asynccontextmanager
async def _open_containers(run: RunIdentity) -> AsyncIterator[World]:
    async with native.running(None) as living:
        yield World(living.node, living.seen, run, _make_container)


@contextlib.asynccontextmanager
async def _open_memory(run: RunIdentity) -> AsyncIterator[World]:
    node = memory.MemoryNode()
    seen: list[reports.Report] = []

    async def gather() -> None:
        async for report in node.reports():
            seen.append(report)  # noqa: PERF401  # seen by the test as they come

    async with asyncio.TaskGroup() as group:
        task = group.create_task(gather(), name="gather")
        yield World(node, seen, run, _make_in_memory(node))
        task.cancel()


@contextlib.asynccontextmanager
async def _open_far(run: RunIdentity) -> AsyncIterator[World]:
    async with far.running("edge", None) as living:
        yield World(living.node, living.seen, run, _make_native, host="edge")


@pytest.fixture(scope="module", autouse=True)
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshds.Machine]:
    """Yield a machine that has our bundle; it is there before a test looks what there is."""
    with sshds.opened(tmp_path_factory.mktemp("net")) as net:
        machine = net.start("edge")
        far.send_ahead(machine)
        yield machine


@pytest.fixture(
    params=[_open_native, _open_containers, _open_memory, _open_far],
    ids=["native", "containers", "memory", "far"],
)
async def unbegun(
    request: pytest.FixtureRequest, state_home: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    if request.param is _open_containers:
        request.getfixturevalue("engine")
    if request.param is _open_far:
        there: sshds.Machine = request.getfixturevalue("machine")
        monkeypatch.setenv("HOME", str(there.home.parent.parent))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    async with request.param(native.identity(state_home)) as world:
        yield world
    if request.param is _open_far:
        far.wait_until_left(there)


@pytest.fixture
async def world(unbegun: World) -> World:
    await unbegun.node.begin(unbegun.identity)
    return unbegun


async def test_a_machine_can_be_observed_before_a_run_begins(unbegun: World) -> None:
    seen = await unbegun.node.observe(Wanted())
    assert seen.name == unbegun.host
    assert not any(address.startswith("127.") for address in seen.addresses)


async def test_nothing_is_started_before_a_run_begins(unbegun: World) -> None:
    with pytest.raises(errors.UsageError) as caught:
        await unbegun.node.start([unbegun.make("api", "serves")])
    assert caught.value.code == "usage.not-begun"


async def test_nothing_stands_where_nothing_was_started(unbegun: World) -> None:
    assert list(await unbegun.node.begin(unbegun.identity)) == []


async def test_a_service_without_probes_is_ready_when_it_has_started(world: World) -> None:
    await world.node.start([world.make("api", "serves")])
    ready = await world.until("api", "ready")
    assert world.states("api") == ["starting", "ready"]
    assert ready.pid is not None


async def test_many_services_start_in_one_call(world: World) -> None:
    await world.node.start([world.make(f"s{n}", "serves") for n in range(20)])
    for n in range(20):
        await world.until(f"s{n}", "ready")


async def test_what_is_announced_is_not_started_before_it_is_asked_for(world: World) -> None:
    api, db = world.make("api", "serves"), world.make("db", "serves")
    await world.node.announce([api, db])
    await world.node.start([db])
    await world.until("db", "ready")
    assert world.states("api") == []
    await world.node.start([api])
    await world.until("api", "ready")


async def test_what_is_started_counts_not_what_was_announced(world: World) -> None:
    await world.node.announce([world.make("t", "exits 3", kind="task")])
    await world.node.start([world.make("t", "exits 0", kind="task")])
    assert (await world.until("t", "completed")).exit_code == 0


async def test_a_stopped_service_is_gone_when_the_call_returns(world: World) -> None:
    await world.node.start([world.make("api", "serves")])
    await world.until("api", "ready")
    await world.node.stop(["api"])
    stopped = await world.until("api", "stopped")
    assert stopped.is_final
    assert stopped.exit_code == 128 + 15
    assert (await world.node.inspect("api")).pids == ()


async def test_a_service_stopped_at_once_is_killed(world: World) -> None:
    await world.node.start([world.make("api", "serves")])
    await world.until("api", "ready")
    await world.node.stop(["api"], at_once=True)
    assert (await world.until("api", "stopped")).exit_code == 128 + 9


async def test_stopping_what_is_unknown_or_has_ended_changes_nothing(world: World) -> None:
    await world.node.start([world.make("job", "exits 0", kind="task")])
    await world.until("job", "completed")
    await world.node.stop(["job", "nobody"])
    assert world.states("job")[-1] == "completed"


async def test_a_task_completes_when_it_exits_with_0(world: World) -> None:
    await world.node.start([world.make("job", "exits 0", kind="task")])
    done = await world.until("job", "completed")
    assert (done.exit_code, done.is_final) == (0, True)
    assert world.states("job") == ["running", "completed"]


async def test_a_tasks_output_comes_with_its_completion_where_wanted(world: World) -> None:
    await world.node.start([world.make("job", "says v42", kind="task", output_wanted=True)])
    assert (await world.until("job", "completed")).output == "v42"


async def test_a_task_that_exits_otherwise_has_failed(world: World) -> None:
    await world.node.start([world.make("job", "exits 3", kind="task")])
    failed = await world.until("job", "failed")
    assert (failed.exit_code, failed.is_final, failed.reason) == (3, True, "exited with 3")


async def test_a_task_is_retried_as_often_as_it_may(world: World) -> None:
    policy = services.Restart(backoff_s=0.001)
    await world.node.start([world.make("job", "exits 3", kind="task", retries=2, restart=policy)])
    await world.until("job", "failed")
    assert world.states("job").count("running") == 3


async def test_a_service_that_exits_before_it_is_ready_has_failed(world: World) -> None:
    await world.node.start([world.make("api", "exits 3", ready=(NEVER,))])
    failed = await world.until("api", "failed")
    assert (failed.exit_code, failed.is_final) == (3, True)
    assert failed.reason == "exited with 3 before it was ready"


async def test_a_missing_program_is_named(world: World) -> None:
    await world.node.start([world.make("api", "missing")])
    failed = await world.until("api", "failed")
    assert failed.reason.startswith('program "no-such-program-anywhere" was not found')
    assert failed.is_final
    assert failed.do


async def test_a_service_never_ready_fails_and_names_its_probe(world: World) -> None:
    await world.node.start([world.make("api", "never-ready")])
    failed = await world.until("api", "failed")
    assert NEVER.label in failed.reason
    assert (await world.node.inspect("api")).pids == ()


async def test_a_failing_service_is_restarted_until_patience_ends(world: World) -> None:
    policy = services.Restart(on="on-failure", max=2, backoff_s=0.001)
    await world.node.start([world.make("api", "exits 1", ready=(NEVER,), restart=policy)])
    failed = await world.until("api", "failed")
    assert failed.restarts == 2
    assert world.states("api") == [
        "starting", "restarting", "starting", "restarting", "starting", "failed",
    ]  # fmt: skip


async def test_restart_returns_when_another_process_runs(world: World) -> None:
    await world.node.start([world.make("api", "serves")])
    first = await world.until("api", "ready")
    await world.node.restart(["api"])
    second = await world.until("api", "ready", times=2)
    assert second.pid != first.pid
    assert second.restarts == 1
    assert "restarting" in world.states("api")


async def test_restart_starts_what_has_ended(world: World) -> None:
    await world.node.start([world.make("job", "exits 0", kind="task")])
    await world.until("job", "completed")
    await world.node.restart(["job"])
    await world.until("job", "completed", times=2)


async def test_restarting_an_unknown_name_is_refused(world: World) -> None:
    with pytest.raises(errors.UsageError) as caught:
        await world.node.restart(["nobody"])
    assert caught.value.code == "usage.unknown-service"


async def test_starting_again_what_runs_as_wanted_leaves_it_alone(world: World) -> None:
    wanted = world.make("api", "serves", digest="d1")
    await world.node.start([wanted])
    await world.until("api", "ready")
    await world.node.start([wanted])
    assert world.states("api") == ["starting", "ready"]


async def test_starting_another_version_of_what_runs_is_refused(world: World) -> None:
    await world.node.start([world.make("api", "serves", digest="d1")])
    await world.until("api", "ready")
    with pytest.raises(errors.UsageError) as caught:
        await world.node.start([world.make("api", "serves", digest="d2")])
    assert caught.value.code == "usage.alive"


async def test_what_was_stopped_can_be_started_again(world: World) -> None:
    await world.node.start([world.make("api", "serves")])
    await world.until("api", "ready")
    await world.node.stop(["api"])
    await world.node.start([world.make("api", "serves", digest="new")])
    await world.until("api", "ready", times=2)


async def test_begin_tells_what_stands(world: World) -> None:
    await world.node.start([world.make("api", "serves", digest="d1")])
    await world.until("api", "ready")
    (one,) = await world.node.begin(world.identity)
    assert (one.name, one.kind, one.state, one.digest) == ("api", "service", "ready", "d1")


async def test_what_runs_cannot_be_forgotten(world: World) -> None:
    await world.node.start([world.make("api", "serves")])
    await world.until("api", "ready")
    with pytest.raises(errors.UsageError):
        await world.node.forget(["api"])


async def test_what_is_forgotten_is_unknown(world: World) -> None:
    await world.node.start([world.make("job", "exits 0", kind="task")])
    await world.until("job", "completed")
    await world.node.forget(["job"])
    with pytest.raises(errors.UsageError):
        await world.node.inspect("job")


async def test_a_living_service_can_be_inspected(world: World) -> None:
    await world.node.start([world.make("api", "serves")])
    ready = await world.until("api", "ready")
    seen = await world.node.inspect("api")
    assert ready.pid in [pid for pid, _ in seen.pids]
    assert any(command.endswith("sleep 1000") for _, command in seen.pids)


async def test_reports_end_when_the_node_has_left(world: World) -> None:
    await world.node.start([world.make("api", "serves")])
    await world.until("api", "ready")
    await world.node.leave("reap")
    await world.until("api", "stopped")
