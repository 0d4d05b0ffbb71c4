"""Services that will not go quietly, nodes and controllers that are killed: nothing is left."""

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stackdsl.model import errors, probes, services, specs
from stackdsl.node import cgroups, client, marks, reaping
from tests.waiting import eventually
from tests.worlds import native

MISBEHAVE = str(Path(__file__).parent / "programs" / "misbehave.py")
IGNORING = specs.Check(probe=probes.Log(regex="ignoring"))
DETACHED = specs.Check(probe=probes.Log(regex="detached"))


def misbehaving(name: str, *how: str, **fields: object) -> specs.ServiceSpec:
    return native.spec(name, sys.executable, "-I", "-S", MISBEHAVE, *how, **fields)


def read_pid(path: Path) -> int:
    eventually(path.exists)
    return int(path.read_text())


@pytest.fixture
async def living(state_home: Path) -> AsyncIterator[native.NativeNode]:
    async with native.running(native.identity(state_home)) as node:
        yield node


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def test_a_service_that_ignores_term_is_killed_after_its_stop_timeout(
    living: native.NativeNode,
) -> None:
    await living.node.start(
        [misbehaving("deaf", "ignore_term", ready=(IGNORING,), stop_timeout_s=0.3)]
    )
    await living.until("deaf", "ready")
    begun = time.monotonic()
    await living.node.stop(["deaf"])
    assert 0.3 <= time.monotonic() - begun < 2
    assert living.of("deaf")[-1].exit_code == 128 + 9


async def test_what_a_service_daemonized_is_stopped_with_it(
    living: native.NativeNode, state_home: Path
) -> None:
    await living.node.start(
        [misbehaving("forker", "daemonize", str(state_home), ready=(DETACHED,))]
    )
    await living.until("forker", "ready")
    daemon = read_pid(state_home / "daemon")
    assert native.alive([daemon]) == [daemon]
    await living.node.stop(["forker"])
    assert native.alive([daemon]) == []


async def test_a_daemon_that_overwrote_its_environment_is_stopped_too(
    living: native.NativeNode, state_home: Path
) -> None:
    await living.node.start(
        [misbehaving("forker", "daemonize_unmarked", str(state_home), ready=(DETACHED,))]
    )
    await living.until("forker", "ready")
    daemon = read_pid(state_home / "overwritten")
    assert b"STACKDSL" not in Path(f"/proc/{daemon}/environ").read_bytes()
    await living.node.stop(["forker"])
    assert native.alive([daemon]) == []


async def test_stopping_one_service_leaves_the_daemons_of_another(
    living: native.NativeNode, state_home: Path
) -> None:
    (state_home / "b").mkdir()
    await living.node.start(
        [
            misbehaving("a", "ignore_term", ready=(IGNORING,), stop_timeout_s=0.1),
            misbehaving("b", "daemonize", str(state_home / "b"), ready=(DETACHED,)),
        ]
    )
    await living.until("a", "ready")
    await living.until("b", "ready")
    await living.node.stop(["a"])
    daemon = read_pid(state_home / "b" / "daemon")
    assert native.alive([daemon]) == [daemon]


async def test_what_is_left_by_a_service_that_daemonized_and_exited_is_cleared_away(
    living: native.NativeNode, state_home: Path
) -> None:
    never = specs.Check(probe=probes.File(path="/nonexistent"))
    await living.node.start([misbehaving("old", "leave_daemon", str(state_home), ready=(never,))])
    failed = await living.until("old", "failed")
    assert failed.reason == "exited with 0 before it was ready"
    assert "foreground" in failed.do
    assert native.alive([read_pid(state_home / "daemon")]) == []


async def test_a_service_that_starts_itself_anew_for_ever_is_stopped(
    living: native.NativeNode, state_home: Path
) -> None:
    await living.node.start([misbehaving("hydra", "hydra", str(state_home), stop_timeout_s=0.2)])
    read_pid(state_home / "hydra")
    await living.node.stop(["hydra"])
    run = native.identity(state_home)
    assert marks.find_marked(run.run_id, run.folder) in ([], [living.pid])


async def test_a_service_that_never_listens_is_stopped_and_told_about(
    living: native.NativeNode, free_port: int
) -> None:
    check = specs.Check(probe=probes.Tcp(), host="127.42.0.3", port=free_port)
    await living.node.start(
        [native.spec("api", "sleep", "1000", ready=(check,), start_timeout_s=0.3)]
    )
    failed = await living.until("api", "failed")
    assert f"tcp 127.42.0.3:{free_port} refused" in failed.reason
    assert "times in 0.3 s; it listens on nothing" in failed.reason
    assert "127.42.0.3" in failed.do
    assert failed.is_final


async def test_a_service_that_listens_elsewhere_is_told_where(
    living: native.NativeNode, free_port: int
) -> None:
    check = specs.Check(probe=probes.Tcp(), host="127.42.0.3", port=free_port)
    await living.node.start(
        [
            misbehaving(
                "api", "listen", "127.0.0.1", str(free_port), ready=(check,), start_timeout_s=1.0
            )
        ]
    )
    failed = await living.until("api", "failed")
    assert f"it listens on 127.0.0.1:{free_port}" in failed.reason
    assert f'listens="127.0.0.1:{free_port}"' in failed.do


async def test_where_it_listens_instead_is_told_while_it_starts(
    state_home: Path, free_port: int
) -> None:
    serve = (
        "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1])));"
        "time.sleep(1000)"
    )
    check = specs.Check(probe=probes.Tcp(), host="127.9.9.9", port=free_port)
    spec = native.spec("api", sys.executable, "-c", serve, str(free_port), ready=(check,))
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([spec])
        told = await living.until("api", "starting", times=2)

    assert told.reason == f"listens on 127.0.0.1:{free_port}, not on 127.9.9.9:{free_port}"
    assert told.pid is not None


async def test_a_service_that_listens_late_is_ready_soon_after(
    living: native.NativeNode, free_port: int
) -> None:
    check = specs.Check(probe=probes.Tcp(), host="127.42.0.3", port=free_port)
    spec = misbehaving("api", "listen", "127.42.0.3", str(free_port), "0.3", ready=(check,))
    begun = time.monotonic()
    await living.node.start([spec])
    await living.until("api", "ready")
    assert 0.3 < time.monotonic() - begun < 1.0


async def test_a_flood_of_binary_on_standard_error_harms_nothing(
    living: native.NativeNode,
) -> None:
    await living.node.start([misbehaving("loud", "flood", log_limit_bytes=1024 * 1024)])
    await living.until("loud", "ready")
    await living.node.start([native.spec("calm", "sleep", "1000")])
    await living.until("calm", "ready")
    await living.node.stop(["loud"])
    assert living.states("loud")[-1] == "stopped"


async def test_a_service_killed_from_outside_is_restarted_as_its_policy_says(
    living: native.NativeNode,
) -> None:
    policy = services.Restart(on="on-failure", backoff_s=0.01)
    await living.node.start([native.spec("api", "sleep", "1000", restart=policy)])
    first = await living.until("api", "ready")
    assert first.pid is not None
    os.kill(first.pid, 9)
    again = await living.until("api", "ready", times=2)
    assert again.restarts == 1
    (told,) = [each for each in living.of("api") if each.state == "restarting"]
    assert told.reason.startswith("was killed by SIGKILL; again in 0.01 s")
    assert told.exit_code == 128 + 9


async def test_when_its_controller_is_gone_everything_is_reaped_within_five_seconds(
    state_home: Path,
) -> None:
    run = native.identity(state_home)
    (state_home / "d").mkdir()
    async with native.running(run) as living:
        await living.node.start(
            [
                misbehaving("deaf", "ignore_term", ready=(IGNORING,)),
                misbehaving("fork", "daemonize_stubborn", str(state_home / "d"), ready=(DETACHED,)),
                misbehaving("hydra", "hydra", str(state_home)),
                native.spec("calm", "sleep", "1000", dir=f"{run.folder}/dirs/calm"),
            ]
        )
        await living.until("deaf", "ready")
        await living.until("fork", "ready")
        await living.until("calm", "ready")
        read_pid(state_home / "hydra")
        begun = time.monotonic()
        living.node.close()
        await living.wait(within_s=5)
    assert time.monotonic() - begun < 5
    assert marks.find_marked(run.run_id, run.folder) == []
    assert not Path(run.folder, "dirs", "calm").exists()
    assert Path(run.folder, "logs", "deaf.out").read_text() == "ignoring\n"
    assert cgroups.find_all(run.run_id) == []


async def test_a_controller_lost_in_the_middle_of_a_start_leaves_nothing(
    state_home: Path,
) -> None:
    run = native.identity(state_home)
    async with native.running(run) as living, asyncio.TaskGroup() as group:
        many = [native.spec(f"s{n}", "sleep", "1000") for n in range(100)]
        call = group.create_task(_start_in_vain(living, many))
        await living.until("s3", "ready")
        assert not call.done()
        living.node.close()
        await living.wait(within_s=5)
    assert marks.find_marked(run.run_id, run.folder) == []


async def _start_in_vain(living: native.NativeNode, many: list[specs.ServiceSpec]) -> None:
    with contextlib.suppress(errors.HostError):
        await living.node.start(many)


async def test_a_node_told_to_adopt_leaves_services_when_its_controller_is_gone(
    state_home: Path,
) -> None:
    run = native.identity(state_home, crash="adopt")
    async with native.running(run) as first:
        await first.node.start([native.spec("api", "sleep", "1000", digest="d1")])
        pid = (await first.until("api", "ready")).pid
        first.node.close()
        await first.wait()
    assert pid is not None
    assert native.alive([pid]) == [pid]
    async with native.running(run) as second:
        (one,) = second.stands
        assert (one.name, one.state, one.digest) == ("api", "ready", "d1")
        told = await second.until("api", "ready")
        assert told.pid == pid
        await second.node.stop(["api"])
        assert native.alive([pid]) == []
        stopped = second.of("api")[-1]
        assert (stopped.state, stopped.exit_code) == ("stopped", None)


async def test_a_killed_node_is_followed_by_one_that_finds_its_services(
    state_home: Path,
) -> None:
    run = native.identity(state_home)
    (state_home / "d").mkdir()
    async with native.running(run) as first:
        await first.node.start(
            [
                native.spec("api", "sleep", "1000", digest="d1"),
                misbehaving("fork", "daemonize", str(state_home / "d"), ready=(DETACHED,)),
            ]
        )
        pid = (await first.until("api", "ready")).pid
        await first.until("fork", "ready")
        daemon = read_pid(state_home / "d" / "daemon")
        first.kill()
    async with native.running(run) as second:
        assert [one.name for one in second.stands] == ["api", "fork"]
        assert (await second.until("api", "ready")).pid == pid
        await second.node.stop(["fork"])
        assert native.alive([daemon]) == []
        await second.node.restart(["api"])
        again = await second.until("api", "ready", times=2)
        assert again.pid != pid


async def test_an_adopted_service_that_ends_has_an_unknown_exit_code_and_has_failed(
    state_home: Path,
) -> None:
    run = native.identity(state_home)
    async with native.running(run) as first:
        await first.node.start([native.spec("api", "sleep", "1000")])
        pid = (await first.until("api", "ready")).pid
        first.kill()
    assert pid is not None
    async with native.running(run) as second:
        await second.until("api", "ready")
        os.kill(pid, 15)
        failed = await second.until("api", "failed")
        assert failed.exit_code is None
        assert "cannot be known" in failed.reason


async def test_a_pid_that_is_another_process_by_now_is_not_adopted(state_home: Path) -> None:
    run = native.identity(state_home)
    async with native.running(run) as first:
        await first.node.start([native.spec("api", "sleep", "1000")])
        pid = (await first.until("api", "ready")).pid
        first.kill()
    assert pid is not None
    import sqlite3

    with contextlib.closing(sqlite3.connect(f"{run.folder}/journal.db")) as journal:
        journal.execute("UPDATE replicas SET pid = ?", (os.getpid(),))
        journal.commit()
    async with native.running(run) as second:
        (one,) = second.stands
        assert one.state == "failed"
        assert native.alive([pid]) == [], "what carries the run's marks is cleared away"


async def test_completed_tasks_and_their_output_are_remembered_by_the_next_node(
    state_home: Path,
) -> None:
    run = native.identity(state_home, crash="adopt")
    async with native.running(run) as first:
        task = native.spec("job", "echo", "v42", kind="task", output_wanted=True, digest="d")
        await first.node.start([task])
        await first.until("job", "completed")
        first.node.close()
        await first.wait()
    async with native.running(run) as second:
        assert [(one.name, one.state) for one in second.stands] == [("job", "completed")]
        assert (await second.until("job", "completed")).output == "v42"


async def test_when_controller_and_node_are_both_killed_marks_find_everything(
    state_home: Path,
) -> None:
    run = native.identity(state_home)
    async with native.running(run) as living:
        await living.node.start(
            [
                misbehaving("deaf", "ignore_term", ready=(IGNORING,)),
                misbehaving("fork", "daemonize", str(state_home), ready=(DETACHED,)),
                misbehaving("hydra", "hydra", str(state_home)),
            ]
        )
        await living.until("deaf", "ready")
        await living.until("fork", "ready")
        read_pid(state_home / "hydra")
        living.kill()
    assert len(marks.find_marked(run.run_id, run.folder)) >= 4
    begun = time.monotonic()
    assert reaping.reap_marked(run.run_id, run.folder, 0.5) == []
    assert time.monotonic() - begun < 3
    assert marks.find_marked(run.run_id, run.folder) == []
    assert cgroups.find_all(run.run_id) == []


async def test_a_node_that_waits_out_its_grace_makes_room_for_the_next(
    state_home: Path,
) -> None:
    run = native.identity(state_home, crash="grace", grace_s=60.0)
    async with native.running(run) as first:
        await first.node.start([native.spec("api", "sleep", "1000")])
        pid = (await first.until("api", "ready")).pid
        first.node.close()
        async with native.running(run) as second:
            assert (await second.until("api", "ready")).pid == pid
        await first.wait()


async def test_services_are_reaped_when_the_grace_is_over(state_home: Path) -> None:
    run = native.identity(state_home, crash="grace", grace_s=0.2)
    async with native.running(run) as living:
        await living.node.start([native.spec("api", "sleep", "1000")])
        pid = (await living.until("api", "ready")).pid
        living.node.close()
        await living.wait()
    assert pid is not None
    assert native.alive([pid]) == []


async def test_term_to_the_node_is_taken_like_the_loss_of_its_controller(
    state_home: Path,
) -> None:
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([native.spec("api", "sleep", "1000")])
        pid = (await living.until("api", "ready")).pid
        os.kill(living.pid, 15)
        await living.wait()
    assert pid is not None
    assert native.alive([pid]) == []


async def test_a_node_that_nothing_was_asked_of_ends_with_its_controller(
    state_home: Path,
) -> None:
    async with native.running(None) as living:
        living.node.close()
        await living.wait(within_s=5)
    assert isinstance(living.node, client.RemoteNode)


async def test_a_node_holds_no_pipe_of_its_controllers_open(state_home: Path) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    try:
        async with native.running(native.identity(state_home)) as living:
            await living.node.start([native.spec("api", "sleep", "1000")])
            await living.until("api", "ready")
            os.close(writing)
            assert os.read(reading, 1) == b""
    finally:
        os.close(reading)
