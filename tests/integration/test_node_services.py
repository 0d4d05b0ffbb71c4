"""What a real node does for one service: its surroundings, its ends, its restarts."""

import asyncio
import dataclasses
import os
import pwd
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from stackdsl.model import errors, probes, reports, services, specs
from tests.waiting import eventually_async
from tests.worlds import native

STRANGER = f"stray-{os.getpid()}"  # no other worker's
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")


@pytest.fixture
async def living(state_home: Path) -> AsyncIterator[native.NativeNode]:
    run = native.identity(state_home, environment=(*os.environ.items(), ("FROM_BASE", "base")))
    async with native.running(run) as node:
        yield node


@pytest.fixture
def folder(state_home: Path) -> Path:
    return Path(native.identity(state_home).folder)


def sh(name: str, script: str, **fields: object) -> specs.ServiceSpec:
    return native.spec(name, "sh", "-c", script, **fields)


def task(name: str, script: str, **fields: object) -> specs.ServiceSpec:
    return sh(name, script, kind="task", output_wanted=True, **fields)


async def output_of(living: native.NativeNode, spec: specs.ServiceSpec) -> str:
    await living.node.start([spec])
    done = await living.until(spec.name, "completed", "failed")
    assert done.state == "completed", done
    return done.output or ""


# --- surroundings ---------------------------------------------------------------------------------


async def test_the_environment_is_the_bases_with_the_specs_on_top(
    living: native.NativeNode,
) -> None:
    env = (("ADDED", "1"), ("HOME", None))
    said = await output_of(living, task("t", 'echo "$FROM_BASE $ADDED ${HOME-none}"', env=env))
    assert said == "base 1 none"


async def test_a_service_runs_in_its_folder(living: native.NativeNode, tmp_path: Path) -> None:
    assert await output_of(living, task("t", "pwd", cwd=str(tmp_path))) == str(tmp_path)


async def test_output_goes_into_one_file_for_each_stream(
    living: native.NativeNode, folder: Path
) -> None:
    await output_of(living, task("t", "echo out; echo err >&2"))
    assert (folder / "logs" / "t.out").read_text() == "out\n"
    assert (folder / "logs" / "t.err").read_text() == "err\n"


async def test_standard_input_is_empty(living: native.NativeNode) -> None:
    assert await output_of(living, task("t", "cat; echo end")) == "end"


async def test_a_services_own_folder_is_its_own_and_goes_with_the_run(
    living: native.NativeNode, folder: Path
) -> None:
    own = folder / "dirs" / "t"
    await output_of(living, task("t", "true", dir=str(own)))
    assert own.stat().st_mode & 0o777 == 0o700
    await living.node.leave("reap")
    assert not own.exists()


async def test_files_are_written_into_its_folder(living: native.NativeNode, folder: Path) -> None:
    own = folder / "dirs" / "t"
    files = (
        specs.RenderedFile(path="conf/app.toml", text="port = 1\n"),
        specs.RenderedFile(path="copy", copy=__file__),
    )
    said = await output_of(
        living,
        task("t", "cat conf/app.toml; head -1 copy", dir=str(own), cwd=str(own), files=files),
    )
    assert said.startswith('port = 1\n"""What a real node does')


async def test_a_file_may_not_leave_the_folder(living: native.NativeNode, folder: Path) -> None:
    files = (specs.RenderedFile(path="../other", text="x"),)
    await living.node.start([task("t", "true", dir=str(folder / "dirs" / "t"), files=files)])
    failed = await living.until("t", "failed")
    assert failed.reason == 'file "../other" would lie outside its folder'
    assert not (folder / "dirs" / "other").exists()


async def test_the_umask_is_the_specs(living: native.NativeNode) -> None:
    assert await output_of(living, task("t", "umask", umask=0o027)) == "0027"


async def test_the_limit_of_open_files_is_the_specs(living: native.NativeNode) -> None:
    limits = services.Limits(files=77)
    assert await output_of(living, task("t", "ulimit -n", limits=limits)) == "77"


async def test_a_limited_service_keeps_its_pid_over_the_shell_that_limits_it(
    living: native.NativeNode,
) -> None:
    limits = services.Limits(files=77)
    await living.node.start([native.spec("api", "sleep", "1000", limits=limits)])
    ready = await living.until("api", "ready")

    async def is_itself() -> bool:  # the shell may not have become it yet
        return (await living.node.inspect("api")).pids == ((ready.pid, "sleep 1000"),)

    await eventually_async(is_itself)


async def test_memory_beyond_the_limit_is_not_to_be_had(living: native.NativeNode) -> None:
    limits = services.Limits(memory_bytes=64 * 1024 * 1024)
    greedy = native.spec(
        "t", sys.executable, "-c", "x = b'x' * 200_000_000", kind="task", limits=limits
    )
    await living.node.start([greedy])
    failed = await living.until("t", "failed")
    assert failed.exit_code in (1, 128 + 9)


@NEEDS_ROOT
async def test_a_service_may_be_another_user_in_a_folder_of_its_own(
    living: native.NativeNode, folder: Path
) -> None:
    own = str(folder / "dirs" / "t")
    said = await output_of(
        living, task("t", "id -un; touch mine; echo $HOME", user="nobody", dir=own, cwd=own)
    )
    assert said.split() == ["nobody", pwd.getpwnam("nobody").pw_dir]


@NEEDS_ROOT
async def test_another_user_may_reopen_its_standard_output(living: native.NativeNode) -> None:
    assert await output_of(living, task("t", "echo x > /dev/stdout", user="nobody")) == "x"


async def test_a_user_that_does_not_exist_is_named(living: native.NativeNode) -> None:
    await living.node.start([task("t", "true", user="no-such-user")])
    failed = await living.until("t", "failed")
    assert failed.reason == 'user "no-such-user" does not exist on this machine'


async def test_a_folder_that_does_not_exist_is_named(living: native.NativeNode) -> None:
    await living.node.start([task("t", "true", cwd="/nonexistent/here")])
    failed = await living.until("t", "failed")
    assert failed.reason == 'folder "/nonexistent/here" does not exist'


async def test_a_missing_interpreter_is_named(living: native.NativeNode, tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text("#!/nonexistent/shell\n")
    script.chmod(0o755)
    await living.node.start([native.spec("t", str(script))])
    failed = await living.until("t", "failed")
    assert failed.reason == f'"/nonexistent/shell", which is to run "{script}", does not exist'


async def test_a_file_that_may_not_be_executed_is_named(
    living: native.NativeNode, tmp_path: Path
) -> None:
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/sh\n")
    await living.node.start([native.spec("t", str(script))])
    failed = await living.until("t", "failed")
    assert failed.reason == f'program "{script}" may not be executed'
    assert "chmod +x" in failed.do


async def test_a_misspelt_program_is_told_its_near_miss(living: native.NativeNode) -> None:
    await living.node.start([native.spec("t", "sleeep", "1")])
    failed = await living.until("t", "failed")
    assert 'did you mean "sleep"?' in failed.do


# --- terminals and pipes --------------------------------------------------------------------------


async def test_a_service_with_a_terminal_has_one_that_controls_it(
    living: native.NativeNode, folder: Path
) -> None:
    spec = sh("t", "tty; test -t 1 && : </dev/tty && echo controlled", kind="task", tty=True)
    await living.node.start([spec])
    await living.until("t", "completed")
    assert "controlled" in (folder / "logs" / "t.out").read_text()


async def test_the_output_of_a_piped_task_is_all_there_when_it_completes(
    living: native.NativeNode,
) -> None:
    said = await output_of(living, task("t", "seq 1 20000 | tail -n 3000", log="pipe"))
    assert said.splitlines()[-1] == "20000"
    assert len(said.splitlines()) == 3000


async def test_a_piped_service_outlives_its_node_and_loses_no_line(
    state_home: Path, folder: Path
) -> None:
    run = native.identity(state_home)
    counter = "i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo $i; sleep 0.02; done; sleep 1000"
    async with native.running(run) as first:
        await first.node.start([sh("t", counter, log="pipe")])
        await first.until("t", "ready")
        first.kill()
    async with native.running(run) as second:
        await second.until("t", "ready")
        log = folder / "logs" / "t.out"
        wanted = [str(n) for n in range(1, 61)]
        await native.holds(lambda: log.read_text().split() == wanted)


# --- tasks ----------------------------------------------------------------------------------------


async def test_output_that_is_no_text_is_replaced(living: native.NativeNode) -> None:
    assert await output_of(living, task("t", r"printf 'a\377b\n\n'")) == "a\ufffdb\n"


async def test_output_is_cut_at_64_kib(living: native.NativeNode) -> None:
    said = await output_of(living, task("t", "head -c 100000 /dev/zero | tr '\\0' x"))
    assert said == "x" * 65536


async def test_only_the_output_of_the_last_attempt_counts(
    living: native.NativeNode, tmp_path: Path
) -> None:
    seen = f"{tmp_path}/seen"
    script = f"test -e {seen} && echo second || {{ echo first; touch {seen}; exit 1; }}"
    policy = services.Restart(backoff_s=0.01)
    assert await output_of(living, task("t", script, retries=1, restart=policy)) == "second"


async def test_a_task_that_is_already_done_is_not_run(
    living: native.NativeNode, tmp_path: Path
) -> None:
    done = specs.Check(probe=probes.Exec(argv=("true",)))
    await living.node.start([task("t", f"touch {tmp_path}/ran", done=done)])
    completed = await living.until("t", "completed")
    assert completed.reason == "already done: check true"
    assert not (tmp_path / "ran").exists()


async def test_a_task_that_is_not_done_yet_is_run(living: native.NativeNode) -> None:
    done = specs.Check(probe=probes.Exec(argv=("false",)))
    assert await output_of(living, task("t", "echo ran", done=done)) == "ran"


async def test_a_task_that_takes_too_long_is_ended(living: native.NativeNode) -> None:
    await living.node.start([task("t", "echo begun; sleep 1000", timeout_s=0.2)])
    failed = await living.until("t", "failed")
    assert failed.reason == "not completed within 0.2 s"
    assert failed.lines == ("begun",)


async def test_the_last_lines_of_a_failed_task_come_with_its_failure(
    living: native.NativeNode,
) -> None:
    await living.node.start([task("t", "seq 1 50; exit 3")])
    failed = await living.until("t", "failed")
    assert failed.lines == tuple(str(n) for n in range(31, 51))


# --- hooks and stopping ---------------------------------------------------------------------------


async def test_hooks_run_around_a_service_with_its_environment(
    living: native.NativeNode, folder: Path
) -> None:
    hooks = tuple(
        (name, ("sh", "-c", f"echo {name} $WHO"))
        for name in ("before_start", "after_ready", "before_stop")
    )
    spec = sh("t", "echo running; exec sleep 1000", hooks=hooks, env=(("WHO", "me"),))
    await living.node.start([spec])
    await living.until("t", "ready")
    await living.node.stop(["t"])
    said = (folder / "logs" / "t.out").read_text().splitlines()
    assert said[0] == "before_start me"
    assert set(said[1:3]) == {"running", "after_ready me"}
    assert said[3] == "before_stop me"


async def test_a_failing_hook_before_start_keeps_it_from_starting(
    living: native.NativeNode,
) -> None:
    hooks = (("before_start", ("sh", "-c", "echo no; exit 4")),)
    await living.node.start([sh("t", "echo never", hooks=hooks)])
    failed = await living.until("t", "failed")
    assert failed.reason == "its hook before_start exited with 4"
    assert failed.lines == ("no",)
    assert living.states("t") == ["failed"]


async def test_a_failing_hook_after_ready_ends_it(living: native.NativeNode) -> None:
    hooks = (("after_ready", ("false",)),)
    await living.node.start([native.spec("t", "sleep", "1000", hooks=hooks)])
    failed = await living.until("t", "failed")
    assert failed.reason == "its hook after_ready exited with 1"
    assert (await living.node.inspect("t")).pids == ()


async def test_a_service_is_stopped_by_its_own_signal(living: native.NativeNode) -> None:
    await living.node.start([native.spec("t", "sleep", "1000", stop_signal=int(signal.SIGINT))])
    await living.until("t", "ready")
    await living.node.stop(["t"])
    assert living.of("t")[-1].exit_code == 128 + signal.SIGINT


async def test_a_service_is_stopped_by_its_own_command(
    living: native.NativeNode, tmp_path: Path
) -> None:
    flag = tmp_path / "stop"
    spec = sh(
        "t",
        f"while [ ! -e {flag} ]; do sleep 0.01; done; exit 7",
        stop_command=("touch", str(flag)),
    )
    await living.node.start([spec])
    await living.until("t", "ready")
    await living.node.stop(["t"])
    assert living.of("t")[-1].exit_code == 7


async def test_a_stopped_process_is_woken_to_end(living: native.NativeNode) -> None:
    await living.node.start([native.spec("t", "sleep", "1000")])
    ready = await living.until("t", "ready")
    assert ready.pid is not None
    os.kill(ready.pid, signal.SIGSTOP)
    await living.node.stop(["t"])
    assert living.of("t")[-1].exit_code == 128 + signal.SIGTERM


async def test_an_impatient_stop_overtakes_a_patient_one(living: native.NativeNode) -> None:
    ready = specs.Check(probe=probes.Log(regex="on"))
    await living.node.start(
        [sh("t", "trap '' TERM; echo on; while :; do sleep 0.1; done", ready=(ready,))]
    )
    await living.until("t", "ready")
    import asyncio

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(living.node.stop(["t"]))
        await living.until("t", "stopping")
        group.create_task(living.node.stop(["t"], at_once=True))
    assert living.of("t")[-1].exit_code == 128 + signal.SIGKILL


async def test_a_service_that_waits_to_be_restarted_can_be_stopped(
    living: native.NativeNode,
) -> None:
    policy = services.Restart(on="always", backoff_s=60, cap_s=60)
    await living.node.start([sh("t", "exit 1", restart=policy)])
    await living.until("t", "restarting")
    await living.node.stop(["t"])
    assert living.states("t")[-1] == "stopped"


async def test_always_restarts_what_exits_with_0_until_its_patience_is_spent(
    living: native.NativeNode,
) -> None:
    policy = services.Restart(on="always", max=2, backoff_s=0.01)
    await living.node.start([sh("t", "exit 0", restart=policy)])
    done = await living.until("t", "failed")
    assert (done.restarts, done.exit_code) == (2, 0)
    assert done.reason == "exited with 0; not again (2 of 2 restarts in a row)"
    again = [each.reason for each in living.of("t") if each.state == "restarting"]
    assert again[0] == "exited with 0; again in 0.01 s (1 of 2)"


# --- attached -------------------------------------------------------------------------------------


@pytest.fixture
def stranger() -> Iterator[int]:
    pid = os.posix_spawnp("sleep", [STRANGER, "1000"], os.environ)
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


async def test_an_attached_process_is_watched_and_let_go(
    living: native.NativeNode, stranger: int
) -> None:
    await living.node.start([native.spec("t", attach_pid=stranger)])
    assert (await living.until("t", "ready")).pid == stranger
    await living.node.stop(["t"])
    assert living.states("t")[-1] == "stopped"
    assert native.alive([stranger]) == [stranger]


async def test_a_process_is_attached_by_the_name_of_its_program(
    living: native.NativeNode, stranger: int
) -> None:
    await living.node.start([native.spec("t", attach_process=STRANGER)])
    assert (await living.until("t", "ready")).pid == stranger


async def test_a_name_that_several_processes_have_is_refused(
    living: native.NativeNode, stranger: int
) -> None:
    other = os.posix_spawnp("sleep", [STRANGER, "1000"], os.environ)
    try:
        await living.node.start([native.spec("t", attach_process=STRANGER)])
        failed = await living.until("t", "failed")
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
    assert failed.reason == f'2 processes are named "{STRANGER}"'
    assert str(stranger) in failed.why


async def test_the_end_of_an_attached_process_is_a_failure(living: native.NativeNode) -> None:
    pid = os.posix_spawnp("sleep", ["sleep", "1000"], os.environ)
    await living.node.start([native.spec("t", attach_pid=pid)])
    await living.until("t", "ready")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    failed = await living.until("t", "failed")
    assert failed.exit_code is None


# --- commands of people, and the rest -------------------------------------------------------------


async def test_a_command_is_executed_with_a_services_environment_and_folder(
    living: native.NativeNode, tmp_path: Path
) -> None:
    await living.node.start(
        [native.spec("t", "sleep", "1000", cwd=str(tmp_path), env=(("WHO", "me"),))]
    )
    done = await living.node.execute("t", ["sh", "-c", "echo $WHO; pwd; echo e >&2; exit 3"])
    assert (done.exit_code, done.stdout, done.stderr) == (3, f"me\n{tmp_path}\n", "e\n")


async def test_the_output_of_a_command_is_cut_at_1_mib(living: native.NativeNode) -> None:
    await living.node.start([native.spec("t", "sleep", "1000")])
    done = await living.node.execute("t", ["head", "-c", "3000000", "/dev/zero"])
    assert done.is_cut
    assert len(done.stdout) == 1024 * 1024


async def test_a_command_that_takes_too_long_is_killed(living: native.NativeNode) -> None:
    await living.node.start([native.spec("t", "sleep", "1000")])
    with pytest.raises(errors.ServiceError) as caught:
        await living.node.execute("t", ["sh", "-c", "sleep 1000 & wait"], timeout_s=0.2)
    assert caught.value.code == "run.exec-timeout"
    assert len((await living.node.inspect("t")).pids) == 1


async def test_a_command_that_does_not_exist_is_refused(living: native.NativeNode) -> None:
    await living.node.start([native.spec("t", "sleep", "1000")])
    with pytest.raises(errors.ServiceError) as caught:
        await living.node.execute("t", ["no-such-thing"])
    assert caught.value.what.startswith('cannot execute "no-such-thing" for "t": program')


async def test_a_change_of_a_watched_file_restarts_the_service(
    living: native.NativeNode, tmp_path: Path
) -> None:
    source = tmp_path / "api.py"
    source.write_text("1")
    await living.node.start([native.spec("t", "sleep", "1000", watch=(str(source),))])
    first = await living.until("t", "ready")
    source.write_text("2")
    second = await living.until("t", "ready", times=2)
    assert second.pid != first.pid
    (told,) = [each for each in living.of("t") if each.state == "restarting"]
    assert told.reason == f"watched file {source} changed"


async def test_reports_come_in_the_order_in_which_things_happened(
    living: native.NativeNode,
) -> None:
    await living.node.start([sh(f"t{n}", "exit 0", kind="task") for n in range(30)])
    for n in range(30):
        await living.until(f"t{n}", "completed")
    times = [each.time_ns for each in living.seen if isinstance(each, reports.StateReport)]
    assert times == sorted(times)


async def test_a_folder_is_kept_over_a_stop_and_goes_with_the_last_one(
    living: native.NativeNode, folder: Path
) -> None:
    own = folder / "dirs" / "api"
    spec = native.spec("api", "sh", "-c", "echo kept >data; exec sleep 1000", dir=str(own))
    spec = dataclasses.replace(spec, cwd=str(own))

    await living.node.start([spec])
    await eventually_async(lambda: asyncio.sleep(0, (own / "data").exists()))
    await living.node.stop(["api"])
    assert (own / "data").exists()

    await living.node.stop(["api"], is_last=True)
    await living.node.leave("reap")
    assert not own.exists()


async def test_a_program_is_found_by_its_path_from_where_it_starts(
    living: native.NativeNode, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "say"
    program.write_text("#!/bin/sh\necho here: $(pwd)\n")
    program.chmod(0o700)
    by_path = native.spec("a", "bin/say", kind="task", output_wanted=True)
    by_name = native.spec("b", "say", kind="task", output_wanted=True, env=(("PATH", "bin:/bin"),))

    await living.node.start(
        [dataclasses.replace(one, cwd=str(tmp_path)) for one in (by_path, by_name)]
    )

    assert (await living.until("a", "completed")).output == f"here: {tmp_path}"
    assert (await living.until("b", "completed")).output == f"here: {tmp_path}"
