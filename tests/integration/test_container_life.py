"""Containers of a run: started, probed, restarted, stopped, from start to end."""

import asyncio
import socket
from pathlib import Path

import pytest

from stackdsl.model import errors, probes, reports, services, specs
from tests.engines import Engine
from tests.waiting import eventually_async
from tests.worlds import containing, native

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("engine")]
SERVE = "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done"
WITHIN_S = 20.0


def log_of(home: Path, name: str, stream: str = "out") -> str:
    return (home / "runs" / "shop" / "logs" / f"{name}.{stream}").read_text()


async def test_a_container_runs_and_is_gone_with_the_run(state_home: Path, engine: Engine) -> None:
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.sh("web", SERVE)])
        ready = await living.until("web", "ready")
        assert ready.container is not None
        seen = await containing.ask(engine, "inspect_container", ready.container)
        assert seen["State"]["Running"]
        assert seen["State"]["Pid"] == ready.pid
        assert seen["HostConfig"]["RestartPolicy"]["Name"] == "no"
        assert seen["Config"]["Labels"]["stackdsl.service"] == "web"
    assert await containing.ask(engine, "containers", all=True) == []


@pytest.mark.parametrize(
    "probe",
    [probes.File(path="/etc/passwd"), probes.Exec(argv=("test", "-e", "/etc/passwd"))],
    ids=["file", "check"],
)
async def test_a_task_that_is_done_already_is_not_run(
    state_home: Path, engine: Engine, probe: probes.File | probes.Exec
) -> None:
    spec = containing.sh("job", "echo again; exit 3", kind="task", done=specs.Check(probe=probe))
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([spec])
        done = await living.until("job", "completed")
        assert done.reason.startswith("already done")
        assert await containing.ask(engine, "containers", all=True) == []


async def test_a_container_that_ends_in_order_at_once_has_been_ready(state_home: Path) -> None:
    policy = services.Restart(on="on-failure", backoff_s=0.01)
    names = [f"short-{n}" for n in range(4)]
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.container(n, "true", restart=policy) for n in names])
        for name in names:
            ended = await living.until(name, "completed", "failed", "restarting")
            assert (ended.state, ended.restarts) == ("completed", 0)
            assert "ready" in living.states(name)


async def test_both_streams_come_apart_from_the_first_byte_on(state_home: Path) -> None:
    script = "echo one; echo two >&2; printf three"
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.sh("job", script, kind="task", output_wanted=True)])
        done = await living.until("job", "completed")
    assert done.output == "one\nthree"
    assert log_of(state_home, "job", "err") == "two\n"


async def test_a_task_that_exits_otherwise_has_failed(state_home: Path) -> None:
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.sh("job", "echo no; exit 3", kind="task")])
        failed = await living.until("job", "failed")
    assert (failed.exit_code, failed.reason, failed.lines) == (3, "exited with 3", ("no",))


async def test_the_environment_is_what_was_declared(state_home: Path) -> None:
    spec = containing.container(
        "job", "env", kind="task", output_wanted=True, env=(("A", "1"), ("B", None))
    )
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([spec])
        done = await living.until("job", "completed")
    names = {row.partition("=")[0] for row in (done.output or "").splitlines()}
    assert names == {"A", "PATH", "HOME", "HOSTNAME"}


async def test_none_takes_a_variable_of_the_image_out(state_home: Path) -> None:
    spec = containing.container(
        "job", "/bin/env", kind="task", output_wanted=True, env=(("PATH", None), ("LANG", "C")),
        container_fields={"init": False},
    )  # fmt: skip
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([spec])
        done = await living.until("job", "completed")
    # the engine's own default, not the image's
    assert "PATH=/usr/local" not in (done.output or "")


async def test_lists_among_the_engines_options_arrive(state_home: Path, engine: Engine) -> None:
    options = {
        "security_opt": ("no-new-privileges",),
        "ulimits": ({"Name": "nofile", "Soft": 99, "Hard": 99},),
        "entrypoint": ("sh", "-c"),
        "group_add": ("1000",),
        "devices": ("/dev/null:/dev/nil:rwm",),
    }
    fields = {"options": tuple(options.items())}
    spec = containing.container("web", "ulimit -n; sleep 1000", container_fields=fields)
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([spec])
        ready = await living.until("web", "ready")
        seen = await containing.ask(engine, "inspect_container", ready.container)
        await native.holds(lambda: "99" in log_of(state_home, "web"))
    assert seen["HostConfig"]["SecurityOpt"] == ["no-new-privileges"]
    assert seen["HostConfig"]["GroupAdd"] == ["1000"]


async def test_user_folder_and_limits_are_the_containers(state_home: Path, engine: Engine) -> None:
    spec = containing.sh(
        "job",
        "id -u; pwd; touch /stackdsl/mine && echo wrote; ulimit -n; sleep 1000",
        user="1000",
        folder="/tmp",
        dir=str(state_home / "runs" / "shop" / "dirs" / "job"),
        limits=services.Limits(files=64, memory_bytes=32 * 1024 * 1024, cpu=0.5),
    )  # fmt: skip
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([spec])
        ready = await living.until("job", "ready")
        await native.holds(lambda: "64" in log_of(state_home, "job"))
        assert log_of(state_home, "job").split() == ["1000", "/tmp", "wrote", "64"]
        seen = await containing.ask(engine, "inspect_container", ready.container)
    assert seen["HostConfig"]["NanoCpus"] == 500_000_000
    assert seen["HostConfig"]["Memory"] == 32 * 1024 * 1024


async def test_a_port_is_published_and_the_probe_asks_the_container_itself(
    state_home: Path, engine: Engine
) -> None:
    spec = containing.container(
        "web", "httpd", "-f", "-p", "8080",
        container_fields={"publishes": (specs.Publish(host="127.77.0.3", port=8080, target=8080),)},
        ready=(specs.Check(probe=probes.Exec(argv=("sh", "-c", "nc 127.0.0.1 8080 < /dev/null"))),),
    )  # fmt: skip
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([spec])
        await living.until("web", "ready")
        reader, writer = await asyncio.open_connection("127.77.0.3", 8080)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await reader.read()  # the engine's proxy accepts whoever listens behind it
        writer.close()
    assert answer.startswith(b"HTTP/1.")


async def test_a_port_that_is_taken_is_named(state_home: Path) -> None:
    spec = containing.sh(
        "web", SERVE,
        container_fields={"publishes": (specs.Publish(host="127.77.0.4", port=8081, target=80),)},
    )  # fmt: skip
    with socket.create_server(("127.77.0.4", 8081)):
        async with native.running(native.identity(state_home)) as living:
            await living.node.start([spec])
            failed = await living.until("web", "failed")
    assert "8081" in failed.reason
    assert "in use" in failed.reason or "allocated" in failed.reason
    assert failed.do


async def test_a_program_that_the_image_lacks_is_told(state_home: Path) -> None:
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.container("web", "no-such-program")])
        failed = await living.until("web", "failed")
    assert failed.reason.startswith('program "no-such-program" was not found in its image')
    assert failed.is_final


async def test_an_image_without_a_command_is_told_so(state_home: Path, engine: Engine) -> None:
    engine.api.import_image_from_data(bytes(10240), "mute", "test")  # an empty archive
    mute = specs.Image(reference="mute:test", pull="never")
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.container("web", container_fields={"image": mute})])
        failed = await living.until("web", "failed")
    engine.api.remove_image("mute:test")
    assert failed.reason == "the image has no command of its own"
    assert failed.do == "return one from the body"


async def test_a_stop_signal_that_is_obeyed_gives_its_exit_code(state_home: Path) -> None:
    script = "trap 'exit 7' INT; while :; do sleep 0.1; done"
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.sh("web", script, stop_signal=2)])
        await living.until("web", "ready")
        await living.node.stop(["web"])
        stopped = await living.until("web", "stopped")
    assert stopped.exit_code == 7


async def test_a_container_that_ignores_its_stop_signal_is_killed(state_home: Path) -> None:
    script = "trap '' TERM; echo up; while :; do sleep 0.1; done"
    check = specs.Check(probe=probes.Log(regex="up"))
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.sh("web", script, stop_timeout_s=0.3, ready=(check,))])
        await living.until("web", "ready")
        await living.node.stop(["web"])
        stopped = await living.until("web", "stopped")
    assert stopped.exit_code == 137


async def test_a_restart_keeps_the_container_and_what_it_wrote(state_home: Path) -> None:
    script = f"test -e /mark && echo again; touch /mark; {SERVE}"
    check = specs.Check(probe=probes.Log(regex="up"))
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.sh("web", script, ready=(check,))])
        first = await living.until("web", "ready")
        await living.node.restart(["web"])
        second = await living.until("web", "ready", times=2)
        assert second.container == first.container
        assert log_of(state_home, "web") == "up\nagain\nup\n"


async def test_another_version_is_another_container(state_home: Path) -> None:
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.sh("web", SERVE)])
        first = await living.until("web", "ready")
        await living.node.stop(["web"])
        await living.node.start([containing.sh("web", SERVE, env=(("A", "2"),))])
        second = await living.until("web", "ready", times=2)
        assert second.container != first.container


async def test_a_failing_container_is_restarted_until_patience_ends(state_home: Path) -> None:
    policy = services.Restart(on="on-failure", max=2, backoff_s=0.001)
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.sh("web", "exit 4", restart=policy)])
        failed = await living.until("web", "failed", within_s=WITHIN_S)
    assert failed.restarts == 2
    assert failed.exit_code == 4


async def test_a_container_killed_from_outside_is_told_and_restarted(
    state_home: Path, engine: Engine
) -> None:
    policy = services.Restart(on="on-failure", backoff_s=0.01)
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.sh("web", SERVE, restart=policy)])
        first = await living.until("web", "ready")
        await containing.ask(engine, "kill", first.container)
        again = await living.until("web", "restarting")
        assert again.exit_code == 137
        assert "was killed by SIGKILL from outside" in again.reason
        second = await living.until("web", "ready", times=2, within_s=WITHIN_S)
        assert second.container == first.container


async def test_a_container_removed_from_outside_is_told_and_made_anew(
    state_home: Path, engine: Engine
) -> None:
    policy = services.Restart(on="on-failure", backoff_s=0.01)
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.sh("web", SERVE, restart=policy)])
        first = await living.until("web", "ready")
        await containing.ask(engine, "remove_container", first.container, force=True)
        again = await living.until("web", "restarting")
        assert "removed from outside" in again.reason
        second = await living.until("web", "ready", times=2, within_s=WITHIN_S)
        assert second.container not in (None, first.container)


async def test_hooks_run_in_containers_and_their_output_is_in_the_logs(state_home: Path) -> None:
    hooks = (
        ("before_start", ("sh", "-c", "echo before")),
        ("after_ready", ("sh", "-c", "echo after $(hostname) >&2")),
        ("before_stop", ("sh", "-c", "echo stopping")),
    )
    async with native.running(native.identity(state_home)) as living:
        check = specs.Check(probe=probes.Log(regex="up"))
        await living.node.start([containing.sh("web", SERVE, hooks=hooks, ready=(check,))])
        ready = await living.until("web", "ready")
        await living.node.stop(["web"])
        assert log_of(state_home, "web") == "before\nup\nstopping\n"
        assert log_of(state_home, "web", "err") == f"after {(ready.container or '')[:12]}\n"


async def test_a_hook_that_fails_fails_the_start(state_home: Path) -> None:
    hooks = (("before_start", ("sh", "-c", "exit 5")),)
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.sh("web", SERVE, hooks=hooks)])
        failed = await living.until("web", "failed")
    assert failed.reason == "its hook before_start exited with 5"


async def test_a_stop_command_runs_in_the_container(state_home: Path) -> None:
    script = "while ! test -e /stop; do sleep 0.05; done; exit 9"
    async with native.running(native.identity(state_home)) as living:
        spec = containing.sh("web", script, stop_command=("touch", "/stop"))
        await living.node.start([spec])
        await living.until("web", "ready")
        await living.node.stop(["web"])
        assert (await living.until("web", "stopped")).exit_code == 9


async def test_a_file_in_the_container_makes_it_ready(state_home: Path) -> None:
    check = specs.Check(probe=probes.File(path="/made"))
    script = f"sleep 0.2; touch /made; {SERVE}"
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.sh("web", script, ready=(check,))])
        await living.until("web", "ready")


async def test_a_file_that_is_not_in_the_container_is_told(state_home: Path) -> None:
    check = specs.Check(probe=probes.File(path="/made"))
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.sh("web", SERVE, ready=(check,), start_timeout_s=1.5)])
        failed = await living.until("web", "failed")
    assert "file /made does not exist" in failed.reason
    assert "did not answer" not in failed.reason


async def test_a_container_that_listens_on_nothing_is_told_so(state_home: Path) -> None:
    check = specs.Check(probe=probes.Tcp(), host="127.0.0.1", port=7000)
    async with native.running(native.identity(state_home)) as living:
        bridge = specs.Network(
            name="shop",
            bridge="sd-shop",
            subnet="10.202.9.0/24",
            gateway="10.202.9.1",
            is_engine=True,
        )
        await living.node.set_network(bridge)
        spec = containing.sh(
            "web", SERVE, ready=(check,), start_timeout_s=0.5,
            container_fields={"network": "shop"},
        )  # fmt: skip
        await living.node.start([spec])
        failed = await living.until("web", "failed")
    assert "it listens on nothing" in failed.reason


async def test_the_images_health_makes_it_ready(state_home: Path) -> None:
    health = {"test": ["CMD", "test", "-e", "/well"], "interval": 200_000_000}
    check = specs.Check(probe=probes.DockerHealth())
    script = f"sleep 0.3; touch /well; {SERVE}"
    async with native.running(native.identity(state_home)) as living:
        spec = containing.sh(
            "web", script, ready=(check,),
            container_fields={"options": (("healthcheck", health),)},
        )  # fmt: skip
        await living.node.start([spec])
        await living.until("web", "ready", within_s=WITHIN_S)


async def test_a_container_that_never_gets_healthy_fails_and_says_so(state_home: Path) -> None:
    check = specs.Check(probe=probes.DockerHealth())
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.sh("web", SERVE, ready=(check,), start_timeout_s=0.5)])
        failed = await living.until("web", "failed")
    assert "has no HEALTHCHECK" in failed.reason


async def test_a_container_can_say_that_it_is_ready(state_home: Path) -> None:
    check = specs.Check(probe=probes.Notify())
    program = (
        "import os,socket,time; s=socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM);"
        "s.sendto(b'STATUS=well\\nREADY=1', os.environ['NOTIFY_SOCKET']); time.sleep(1000)"
    )
    spec = containing.container(
        "web", "python3", "-c", program, ready=(check,),
        dir=str(state_home / "runs" / "shop" / "dirs" / "web"),
        container_fields={"image": specs.Image(reference="python:local", pull="never")},
    )  # fmt: skip
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([spec])
        ready = await living.until("web", "ready", within_s=WITHIN_S)
    assert ready.reason == "well"


async def test_commands_run_in_the_container(state_home: Path) -> None:
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.sh("web", SERVE, env=(("WHO", "me"),))])
        await living.until("web", "ready")
        done = await living.node.execute("web", ["sh", "-c", "echo $WHO; echo bad >&2; exit 6"])
        assert (done.exit_code, done.stdout, done.stderr) == (6, "me\n", "bad\n")
        with pytest.raises(errors.ServiceError) as caught:
            await living.node.execute("web", ["no-such-program"])
        assert "no-such-program" in caught.value.what


async def test_a_command_that_takes_too_long_is_killed(state_home: Path, engine: Engine) -> None:
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.sh("web", SERVE)])
        ready = await living.until("web", "ready")
        with pytest.raises(errors.ServiceError) as caught:
            await living.node.execute("web", ["sleep", "991"], timeout_s=0.3)
        assert caught.value.code == "run.exec-timeout"

        async def look() -> bool:
            rows = await containing.ask(engine, "top", ready.container)
            return not any("991" in " ".join(row) for row in rows["Processes"])

        await eventually_async(look)


async def test_a_container_with_a_terminal_has_one(state_home: Path) -> None:
    async with native.running(native.identity(state_home)) as living:
        spec = containing.sh("job", "tty && echo ok", kind="task", tty=True)
        await living.node.start([spec])
        await living.until("job", "completed")
    assert "/dev/pts/0" in log_of(state_home, "job")


async def test_what_a_container_reads_is_what_the_path_holds(state_home: Path) -> None:
    (state_home / "input").write_text("hello\n")
    async with native.running(native.identity(state_home)) as living:
        spec = containing.container(
            "job", "cat", kind="task", stdin=str(state_home / "input"), output_wanted=True
        )
        await living.node.start([spec])
        assert (await living.until("job", "completed")).output == "hello"


async def test_named_volumes_outlive_the_run(state_home: Path, engine: Engine) -> None:
    mounts = (specs.Mount(kind="named", source="stackdsl-shop-data", path="/data"),)
    spec = containing.sh("job", "touch /data/x", kind="task", container_fields={"mounts": mounts})
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([spec])
        await living.until("job", "completed")
    try:
        seen = await containing.ask(engine, "inspect_volume", "stackdsl-shop-data")
        assert seen["Labels"]["stackdsl.volume"] == "stackdsl-shop-data"
    finally:
        await containing.ask(engine, "remove_volume", "stackdsl-shop-data")


async def test_a_container_can_be_inspected(state_home: Path) -> None:
    async with native.running(native.identity(state_home)) as living:
        spec = containing.container("web", "httpd", "-f", "-p", "8080")
        await living.node.start([spec])
        ready = await living.until("web", "ready")
        seen = await living.node.inspect("web")
        assert ready.pid in [pid for pid, _ in seen.pids]
        await eventually_async(lambda: _listens(living, 8080))


async def _listens(living: native.NativeNode, port: int) -> bool:
    seen = await living.node.inspect("web")
    return port in [each.port for each in seen.listeners]


async def test_what_is_forgotten_is_removed(state_home: Path, engine: Engine) -> None:
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.sh("job", "exit 0", kind="task")])
        await living.until("job", "completed")
        await living.node.forget(["job"])
        assert await containing.ask(engine, "containers", all=True) == []


async def test_a_name_that_another_container_has_is_told(state_home: Path, engine: Engine) -> None:
    other = await containing.ask(
        engine, "create_container", "busybox:local", ["true"], name="shop-web-t"
    )
    try:
        async with native.running(native.identity(state_home)) as living:
            await living.node.start([containing.sh("web", SERVE)])
            failed = await living.until("web", "failed")
        assert "another has that name" in failed.reason
    finally:
        await containing.ask(engine, "remove_container", other["Id"], force=True)


async def test_twenty_containers_start_in_one_call(state_home: Path) -> None:
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([containing.sh(f"s{n}", SERVE) for n in range(20)])
        for n in range(20):
            await living.until(f"s{n}", "ready", within_s=60)


async def test_an_attached_container_is_watched_and_never_touched(
    state_home: Path, engine: Engine
) -> None:
    made = await containing.ask(
        engine, "create_container", "busybox:local",
        ["sh", "-c", "echo early; while ! test -e /go; do sleep 0.05; done; echo late; exit 3"],
        name="theirs",
    )  # fmt: skip
    try:
        await containing.ask(engine, "start", made["Id"])
        async with native.running(native.identity(state_home)) as living:
            spec = native.spec("db", attach_container="theirs")
            await living.node.start([spec])
            ready = await living.until("db", "ready")
            assert ready.container == made["Id"]
            await living.node.execute("db", ["touch", "/go"])
            failed = await living.until("db", "failed")
            assert failed.exit_code == 3
            assert log_of(state_home, "db") == "late\n"
        assert await containing.ask(engine, "inspect_container", made["Id"])
    finally:
        await containing.ask(engine, "remove_container", made["Id"], force=True)


async def test_leaving_an_attached_container_leaves_it_running(
    state_home: Path, engine: Engine
) -> None:
    made = await containing.ask(
        engine, "create_container", "busybox:local", ["sleep", "1000"], name="theirs"
    )
    try:
        await containing.ask(engine, "start", made["Id"])
        async with native.running(native.identity(state_home)) as living:
            await living.node.start([native.spec("db", attach_container="theirs")])
            await living.until("db", "ready")
            await living.node.stop(["db"])
            await living.until("db", "stopped")
        seen = await containing.ask(engine, "inspect_container", made["Id"])
        assert seen["State"]["Running"]
    finally:
        await containing.ask(engine, "remove_container", made["Id"], force=True)


async def test_attaching_to_a_container_that_is_not_there_is_refused(state_home: Path) -> None:
    async with native.running(native.identity(state_home)) as living:
        await living.node.start([native.spec("db", attach_container="nobody")])
        failed = await living.until("db", "failed")
    assert failed.reason == 'container "nobody" cannot be watched: the engine has none of that name'
    assert isinstance(failed, reports.StateReport)
