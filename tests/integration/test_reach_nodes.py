"""Nodes on other machines: started there, survived there, left there; over real sshds."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackdsl.model import errors, places, specs
from stackdsl.model.requests import Wanted
from stackdsl.node import following
from stackdsl.reach import booting, bundles, connecting, farnodes
from tests.waiting import eventually_async
from tests.worlds import far, native, sshds


@pytest.fixture
def net(state_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sshds.Net]:
    monkeypatch.setenv("HOME", str(state_home / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (state_home / "home").mkdir()
    with sshds.opened(state_home / "home") as net:
        yield net
        for machine in net.machines.values():
            far.wait_until_left(machine)


async def refusal(host: str, python: str | None = None) -> errors.StackError:
    place = places.Ssh(host=host, python=python)
    async with connecting.Connector() as connector, asyncio.TaskGroup() as group:
        with pytest.raises(errors.StackError) as caught:
            await farnodes.open_node(host, place, connector, group)
    assert caught.value.do
    return caught.value


async def test_a_machine_that_has_nothing_of_ours_is_sent_it_and_observed(net: sshds.Net) -> None:
    net.start("edge")
    async with far.running("edge", None) as edge:
        seen = await edge.node.observe(
            Wanted(programs=(("sh", None, "/"), ("nonsense", None, "/")))
        )
    assert (seen.name, seen.kind, seen.programs_missing) == ("edge", "ssh", ("nonsense",))


async def test_the_bundle_is_sent_once_a_version_and_unpacked_behind_the_node(
    net: sshds.Net,
) -> None:
    edge = net.start("edge")
    nodes = edge.cache / "stackdsl" / "nodes"
    folder = nodes / bundles.find().digest
    async with far.running("edge", None):
        first = folder.with_suffix(".zip").stat()
        await native.holds(folder.exists)
    async with far.running("edge", None) as again:
        assert (await again.node.observe(Wanted())).name == "edge"
        assert folder.with_suffix(".zip").stat().st_mtime_ns == first.st_mtime_ns
        assert (folder / "stackdsl" / "node" / "__pycache__").exists()
    assert sorted(each.name for each in nodes.iterdir()) == [folder.name, f"{folder.name}.zip"]


async def test_a_bundle_that_was_cut_is_not_kept(net: sshds.Net) -> None:
    edge = net.start("edge")
    async with connecting.Connector() as connector:
        connection = await connector.connect(places.Ssh(host="edge"))
        whole = bundles.find()
        cut = bundles.Bundle(digest=whole.digest, data=whole.data[:-10] + b"0123456789")
        with pytest.raises(errors.HostError) as caught:
            await booting.boot(connection, cut)
    assert caught.value.code == "host.node-refused"
    assert list((edge.cache / "stackdsl" / "nodes").iterdir()) == []


async def test_a_machine_without_the_python_that_was_named_is_told(net: sshds.Net) -> None:
    net.start("edge")
    error = await refusal("edge", python="/opt/no/python")
    assert error.code == "host.no-python"
    assert "/opt/no/python" in error.why


async def test_a_python_that_is_too_old_is_told_with_its_version(net: sshds.Net) -> None:
    edge = net.start("edge")
    old = edge.home / "python3.9"
    old.write_text('#!/bin/sh\necho "old: /usr/bin/python3.9 is Python 3.9.2" >&2\nexit 97\n')
    old.chmod(0o755)
    error = await refusal("edge", python=str(old))
    assert error.code == "host.python-old"
    assert error.why == "/usr/bin/python3.9 is Python 3.9.2"


async def test_a_full_disk_is_told(net: sshds.Net) -> None:
    edge = net.start("edge")
    edge.cache.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(edge.cache)], check=True
    )
    try:
        error = await refusal("edge")
    finally:
        subprocess.run(["umount", str(edge.cache)], check=True)
    assert error.code == "host.no-space"


async def test_a_folder_that_cannot_be_written_is_told(net: sshds.Net) -> None:
    edge = net.start("edge")
    edge.cache.write_text("no folder")
    error = await refusal("edge")
    assert error.code == "host.node-refused"
    assert "stackdsl" in error.why


async def test_an_sshd_that_forwards_nothing_is_told(net: sshds.Net) -> None:
    net.start("edge", "AllowStreamLocalForwarding=no")
    error = await refusal("edge")
    assert error.code == "host.no-forwarding"


async def test_a_service_there_has_the_environment_of_a_login_and_none_of_ours(
    net: sshds.Net, state_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_MINE", "1")
    net.start("edge")
    async with far.running("edge", native.identity(state_home)) as edge:
        spec = native.spec("env", "env", kind="task", output_wanted=True)
        await edge.node.start([spec])
        output = (await edge.until("env", "completed")).output or ""
    names = {line.partition("=")[0] for line in output.splitlines()}
    assert "SECRET_OF_MINE" not in names
    assert {"PATH", "HOME", "USER", "SHELL"} <= names


async def test_output_of_services_there_comes_into_the_logs_here(
    net: sshds.Net, state_home: Path
) -> None:
    net.start("edge")
    run = native.identity(state_home)
    async with far.running("edge", run) as edge:
        await edge.node.start([native.spec("job", "sh", "-c", "seq 5; echo no >&2", kind="task")])
        await edge.until("job", "completed")
        assert not Path(run.folder).exists() or not (Path(run.folder) / "journal.db").exists()
    chunks = list(following.LogReader(run.folder).read_all())
    text = {
        stream: b"".join(c.data for c in chunks if c.stream == stream) for stream in ("out", "err")
    }
    assert text == {"out": b"1\n2\n3\n4\n5\n", "err": b"no\n"}


async def test_a_flood_of_output_arrives_whole_while_calls_are_answered(
    net: sshds.Net, state_home: Path
) -> None:
    net.start("edge")
    run = native.identity(state_home)
    async with far.running("edge", run) as edge:
        await edge.node.start([native.spec("job", "seq", "1000000", kind="task")])
        await edge.node.inspect("job")
        await edge.until("job", "completed")
    data = b"".join(c.data for c in following.LogReader(run.folder).read_all())
    assert data == b"".join(b"%d\n" % n for n in range(1, 1000001))


async def test_files_and_folders_that_are_copied_are_sent_with_their_modes(
    net: sshds.Net, state_home: Path
) -> None:
    net.start("edge")
    source = state_home / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "tool").write_bytes(bytes(range(256)) * 4000)
    (source / "deep" / "tool").chmod(0o755)
    (source / "link").symlink_to("deep/tool")
    async with far.running("edge", native.identity(state_home)) as edge:
        there = state_home / "there"
        spec = native.spec(
            "job",
            *("sh", "-c", "stat -c %a conf/deep/tool; cat note; cat conf/link | wc -c"),
            kind="task",
            output_wanted=True,
            dir=str(there),
            cwd=str(there),
            files=(
                specs.RenderedFile(path="conf", copy=str(source)),
                specs.RenderedFile(path="note", text="hello\n"),
            ),
        )
        await edge.node.start([spec])
        assert (await edge.until("job", "completed")).output == "755\nhello\n1024000"


async def test_a_file_to_be_copied_that_is_missing_is_told(
    net: sshds.Net, state_home: Path
) -> None:
    net.start("edge")
    async with far.running("edge", native.identity(state_home)) as edge:
        missing = specs.RenderedFile(path="note", copy="/nonexistent/note")
        with pytest.raises(errors.ServiceError) as caught:
            await edge.node.start([native.spec("job", "true", files=(missing,))])
    assert caught.value.code == "start.files"


async def test_a_cut_connection_is_survived_and_no_report_is_missed(
    net: sshds.Net, state_home: Path
) -> None:
    machine = net.start("edge")
    run = native.identity(state_home)
    async with far.running("edge", run) as edge:
        go = state_home / "go"
        loop = f"while [ ! -e {go} ]; do sleep 0.01; done; echo late"
        await edge.node.start([native.spec("job", "sh", "-c", loop, kind="task")])
        await edge.until("job", "running")
        machine.stop()
        await native.holds(lambda: bool(edge.told))
        go.touch()
        await native.holds(lambda: [n for n in far.is_left(machine).values() if "sleep" in n] == [])
        net.restart("edge")
        await edge.until("job", "completed", within_s=20)
        assert edge.states("job") == ["running", "completed"]
        assert [text.partition(" ")[0] for text in edge.told] == ["lost", "connected"]
    assert b"".join(c.data for c in following.LogReader(run.folder).read_all()) == b"late\n"


async def test_a_call_that_was_cut_off_is_answered_after_all_and_done_once(
    net: sshds.Net, state_home: Path
) -> None:
    machine = net.start("edge")
    async with far.running("edge", native.identity(state_home)) as edge:
        await edge.node.start([native.spec("api", "sleep", "1000")])
        await edge.until("api", "ready")
        begun, go = state_home / "begun", state_home / "go"
        script = f"echo x >> {begun}; while [ ! -e {go} ]; do sleep 0.01; done; echo done"
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(edge.node.execute("api", ["sh", "-c", script]))
            await native.holds(begun.exists)
            machine.stop()
            go.touch()
            net.restart("edge")
            answer = await asked
        assert answer.stdout == "done\n"
        assert begun.read_text() == "x\n"


async def test_when_its_lease_runs_out_everything_of_the_run_is_gone_there(
    net: sshds.Net, state_home: Path
) -> None:
    machine = net.start("edge")
    async with far.running("edge", native.identity(state_home), lease_s=2.0) as edge:
        await edge.node.start([native.spec("api", "sleep", "1000")])
        await edge.until("api", "ready")
        machine.stop()
        await native.holds(lambda: not far.is_left(machine), within_s=15)
        with pytest.raises(errors.HostError) as caught:
            await edge.node.inspect("api")
    assert caught.value.code == "host.connection-lost"


async def test_adopted_services_outlive_the_lease_and_are_taken_back(
    net: sshds.Net, state_home: Path
) -> None:
    machine = net.start("edge")
    run = native.identity(state_home, crash="adopt")
    async with far.running("edge", run, lease_s=2.0) as first:
        await first.node.start([native.spec("api", "sleep", "1000", digest="d")])
        pid = (await first.until("api", "ready")).pid
        machine.stop()
        os.kill(first.node.standing.pid, 0)

        async def is_over() -> bool:
            return not Path(f"/proc/{first.node.standing.pid}").exists()

        await eventually_async(is_over, within_s=15)
        assert native.alive([pid or 0]) == [pid]
    net.restart("edge")
    async with far.running("edge", None) as second:
        (stood,) = await second.node.begin(run)
        assert (stood.name, stood.state, stood.host) == ("api", "ready", "edge")
        assert (pid, "sleep 1000") in (await second.node.inspect("api")).pids


async def test_a_killed_node_is_told_and_the_next_one_finds_its_services(
    net: sshds.Net, state_home: Path
) -> None:
    net.start("edge")
    run = native.identity(state_home)
    async with far.running("edge", run) as first:
        await first.node.start([native.spec("api", "sleep", "1000", digest="d")])
        pid = (await first.until("api", "ready")).pid
        os.kill(first.node.standing.pid, signal.SIGKILL)
        await native.holds(lambda: first.node.ended_why == "its node ended")
    async with far.running("edge", None) as second:
        (stood,) = await second.node.begin(run)
        assert stood.state == "ready"
        assert (pid, "sleep 1000") in (await second.node.inspect("api")).pids


async def test_a_controller_that_comes_again_takes_the_place_of_its_node(
    net: sshds.Net, state_home: Path
) -> None:
    net.start("edge")
    run = native.identity(state_home, crash="adopt")
    async with far.running("edge", run) as first:
        await first.node.start([native.spec("api", "sleep", "1000", digest="d")])
        pid = (await first.until("api", "ready")).pid
        async with far.running("edge", None) as second:
            (stood,) = await second.node.begin(run)
            assert stood.state == "ready"
            assert (pid, "sleep 1000") in (await second.node.inspect("api")).pids


async def test_a_node_that_nobody_gave_a_run_ends_with_its_connection(net: sshds.Net) -> None:
    machine = net.start("edge")
    async with far.running("edge", None) as edge:
        await edge.node.observe(Wanted())
        machine.stop()
        await native.holds(lambda: not far.is_left(machine))
        edge.node.close()


async def test_runs_of_two_controllers_share_a_host(net: sshds.Net, state_home: Path) -> None:
    net.start("edge")
    one = native.identity(state_home, run_id="one")
    two = native.identity(state_home, run_id="two", folder=str(state_home / "runs" / "two"))
    async with far.running("edge", one) as first, far.running("edge", two) as second:
        for each in (first, second):
            await each.node.start([native.spec("api", "sleep", "1000")])
            await each.until("api", "ready")
        await first.node.leave("reap")
        assert (await second.node.inspect("api")).pids


def test_the_same_files_make_the_same_bundle(
    state_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = set()
    for name in ("a", "b"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(state_home / name))
        digests.add(bundles.find().digest)
    assert len(digests) == 1


def test_everything_that_a_node_imports_is_in_the_bundle(state_home: Path) -> None:
    path = state_home / "bundle.zip"
    path.write_bytes(bundles.find().data)
    program = (
        f"import sys, zipfile, importlib; sys.path.insert(0, {str(path)!r})\n"
        f"names = zipfile.ZipFile({str(path)!r}).namelist()\n"
        "ours = [n[:-3].replace('/', '.') for n in names if n.startswith('stackdsl/')]\n"
        "for name in ours:\n"
        "    if not name.endswith(('__main__', '__init__')): importlib.import_module(name)\n"
        "import docker, pyroute2, requests\n"
        "assert '.zip' in docker.__file__ and '.zip' in pyroute2.__file__\n"
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True)
