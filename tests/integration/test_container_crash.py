"""Containers when something dies: the node, its controller, both, the engine."""

import asyncio
from pathlib import Path

import pytest

from stackdsl.model import errors, reports, services
from stackdsl.node import endpoints, enginekeeping, leavings, reaping
from tests.engines import Engine
from tests.worlds import containing, native

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("engine")]
COUNT = "i=0; while :; do i=$((i+1)); echo $i; echo $i >&2; sleep 0.01; done"
WITHIN_S = 60.0


def lines_of(home: Path, name: str, stream: str = "out") -> list[str]:
    return (home / "runs" / "shop" / "logs" / f"{name}.{stream}").read_text().splitlines()


async def counts_on(home: Path, name: str, more: int = 30) -> int:
    """Wait until a counter has written some lines more; return how many."""
    before = len(lines_of(home, name))
    await native.holds(lambda: len(lines_of(home, name)) >= before + more, WITHIN_S)
    return len(lines_of(home, name))


def assert_whole(home: Path, name: str) -> None:
    """Every number stands once, in order."""
    for stream in ("out", "err"):
        lines = lines_of(home, name, stream)
        assert lines == [str(n + 1) for n in range(len(lines))]


async def test_a_node_that_was_killed_is_replaced_and_takes_the_container_back(
    state_home: Path,
) -> None:
    run = native.identity(state_home, crash="adopt")
    hooks = (("after_ready", ("sh", "-c", "echo hook")),)
    async with native.running(run) as first:
        await first.node.start(
            [containing.sh("web", COUNT), containing.sh("hooked", "sleep 1000", hooks=hooks)]
        )
        ready = await first.until("web", "ready")
        await first.until("hooked", "ready")
        await counts_on(state_home, "web")
        first.kill()
    async with native.running(run) as second:
        taken = await second.until("web", "ready", within_s=WITHIN_S)
        assert (taken.container, taken.pid, taken.restarts) == (ready.container, ready.pid, 0)
        await counts_on(state_home, "web")
        assert_whole(state_home, "web")
        assert lines_of(state_home, "hooked") == ["hook"]


async def test_a_container_that_ended_without_a_node_tells_its_exit_code(
    state_home: Path, engine: Engine
) -> None:
    run = native.identity(state_home, crash="adopt")
    async with native.running(run) as first:
        script = "echo a; while ! test -e /go; do sleep 0.05; done; echo b; exit 6"
        await first.node.start([containing.sh("web", script)])
        ready = await first.until("web", "ready")
        first.kill()
    made = await containing.ask(engine, "exec_create", ready.container, ["touch", "/go"])
    await containing.ask(engine, "exec_start", made["Id"])
    await containing.ask(engine, "wait", ready.container)
    async with native.running(run) as second:
        failed = await second.until("web", "failed", within_s=WITHIN_S)
        assert failed.exit_code == 6
        assert lines_of(state_home, "web") == ["a", "b"]


async def test_when_the_controller_is_gone_its_containers_go(
    state_home: Path, engine: Engine
) -> None:
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.sh("web", COUNT), containing.sh("db", COUNT)])
        await living.until("web", "ready")
        await living.until("db", "ready")
        living.node.close()
        await living.wait(20)
    assert await containing.ask(engine, "containers", all=True) == []


async def test_when_node_and_controller_are_gone_labels_find_the_containers(
    state_home: Path, engine: Engine
) -> None:
    run = native.identity(state_home)
    async with native.running(run) as living:
        await living.node.start([containing.sh("web", COUNT)])
        await living.until("web", "ready")
        living.kill()
    assert len(await containing.ask(engine, "containers")) == 1
    await asyncio.to_thread(reaping.reap_marked, run.run_id, run.folder, 0.0)
    await asyncio.to_thread(leavings.reap, run.run_id, run.folder)
    assert await containing.ask(engine, "containers", all=True) == []


def test_an_engine_that_was_cleared_of_a_run_is_not_looked_into_again(tmp_path: Path) -> None:
    gone = endpoints.Endpoint(url="unix:///gone", source="a test")
    enginekeeping.write_note(str(tmp_path), gone)
    with pytest.raises(errors.HostError):
        leavings.reap("some", str(tmp_path))
    enginekeeping.note_cleared(str(tmp_path))
    leavings.reap("some", str(tmp_path))


async def test_a_run_that_ended_in_order_has_noted_that_its_engine_is_cleared(
    state_home: Path, engine: Engine
) -> None:
    run = native.identity(state_home)
    async with native.running(run) as living:
        await living.node.start([containing.sh("web", COUNT)])
        await living.until("web", "ready")
        await living.node.leave("reap")
    assert enginekeeping.read_note(run.folder, is_in_use=True) is None
    assert enginekeeping.read_note(run.folder) is not None


async def test_a_container_made_and_not_noted_does_not_stand_in_the_way(
    state_home: Path, engine: Engine
) -> None:
    run = native.identity(state_home, crash="adopt")
    async with native.running(run) as first:
        await first.node.start([containing.sh("web", COUNT)])
        await first.until("web", "ready")
        first.kill()
    (Path(run.folder) / "journal.db").unlink()
    async with native.running(run) as second:
        await second.node.start([containing.sh("web", "sleep 1000")])
        await second.until("web", "ready")
        assert len(await containing.ask(engine, "containers", all=True)) == 1


async def test_a_killed_engine_is_waited_for_and_its_containers_are_started_again(
    state_home: Path, engine: Engine
) -> None:
    policy = services.Restart(on="on-failure", backoff_s=0.01)
    async with native.running(native.identity(state_home)) as living:
        await living.node.start(
            [containing.sh("web", COUNT, restart=policy), native.spec("plain", "sleep", "1000")]
        )
        await living.until("web", "ready")
        await counts_on(state_home, "web")
        await asyncio.to_thread(engine.kill)
        away = await living.until("web", "unready")
        assert "is not reached" in away.reason
        await asyncio.to_thread(engine.start)
        await living.until("web", "restarting", within_s=WITHIN_S)
        await living.until("web", "ready", times=2, within_s=WITHIN_S)
        lines = lines_of(state_home, "web")
        again = len(lines) - 1 - lines[::-1].index("1")
        assert lines[:again] == [str(n + 1) for n in range(again)]
        assert living.states("plain")[-1] == "ready"
        await living.node.start([containing.sh("late", "sleep 1000")])
        await living.until("late", "ready", within_s=WITHIN_S)


async def test_an_engine_that_stopped_in_order_is_waited_for(
    state_home: Path, engine: Engine
) -> None:
    policy = services.Restart(on="always", backoff_s=0.01)
    async with native.running(native.identity(state_home)) as living:
        await living.node.start(
            [containing.sh("web", f"trap 'exit 0' TERM; {COUNT}", restart=policy)]
        )
        await living.until("web", "ready")
        await asyncio.to_thread(engine.stop)
        await asyncio.to_thread(engine.start)
        await living.until("web", "ready", times=2, within_s=WITHIN_S)


async def test_stopping_while_the_engine_is_away_complains(
    state_home: Path, engine: Engine
) -> None:
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.sh("web", COUNT)])
        await living.until("web", "ready")
        await asyncio.to_thread(engine.kill)
        await living.until("web", "unready")
        await living.node.stop(["web"], at_once=True)
        failed = await living.until("web", "failed")
        assert "cannot be ended" in failed.reason
        assert "is not reached" in failed.reason
        await asyncio.to_thread(engine.start)
        await native.holds(
            lambda: any(
                isinstance(each, reports.HostReport) and each.what == "engine-back"
                for each in living.seen
            ),
            WITHIN_S,
        )


async def test_a_node_that_comes_while_the_engine_is_away_waits_for_it(
    state_home: Path, engine: Engine
) -> None:
    run = native.identity(state_home, crash="adopt")
    policy = services.Restart(on="on-failure", backoff_s=0.01)
    async with native.running(run) as first:
        await first.node.start([containing.sh("web", COUNT, restart=policy)])
        await first.until("web", "ready")
        first.kill()
    await asyncio.to_thread(engine.kill)
    async with native.running(run) as second:
        await second.until("web", "unready")
        await asyncio.to_thread(engine.start)
        await second.until("web", "ready", within_s=WITHIN_S)


async def test_a_native_run_loads_nothing_of_the_engine(state_home: Path) -> None:
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([native.spec("web", "sleep", "1000")])
        await living.until("web", "ready")
        mapped = Path(f"/proc/{living.pid}/maps").read_text()
        assert "docker" not in mapped
        assert not (state_home / "runs" / "shop" / "engine").exists()
