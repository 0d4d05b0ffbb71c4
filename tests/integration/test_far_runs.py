"""Whole runs with services on other machines: real sshds, each in a network of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackdsl.model import errors
from stackdsl.session import runs, stacks
from tests.waiting import eventually
from tests.worlds import far, sshds

pytestmark = pytest.mark.timeout(120)

HEAD = """
import sys
from stackdsl import Me, Ref, Stack, copy, service, ssh, task, template
SERVE = (
    "import http.server, sys; print('serving', flush=True);"
    "http.server.test(http.server.SimpleHTTPRequestHandler, http.server.ThreadingHTTPServer,"
    " port=int(sys.argv[2]), bind=sys.argv[1])"
)
GET = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).status)"
edge, cloud = ssh("edge"), ssh("cloud")
"""
WEB = """
@service(runs_on=edge, port=8080)
def web(me: Me):
    return ["python3", "-c", SERVE, me.bind, str(me.port)]
"""


@pytest.fixture
def net(state_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sshds.Net]:
    monkeypatch.setenv("HOME", str(state_home / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (state_home / "home").mkdir()
    with sshds.opened(state_home / "home") as net:
        for name in ("edge", "cloud"):
            net.start(name, is_apart=True)
        yield net
        for machine in net.machines.values():
            far.wait_until_left(machine)


@pytest.fixture
def folder(state_home: Path) -> Path:
    made = state_home / "project"
    made.mkdir()
    return made


def write(folder: Path, text: str) -> str:
    file = folder / "shop.py"
    file.write_text(HEAD + text)
    return str(file)


def call(*words: str, within_s: float = 60) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "stackdsl", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=within_s, check=False)


def host_state(run: runs.Run, name: str = "edge") -> str:
    return {host.name: host.state for host in run.status().hosts}[name]


def get(address: str) -> int:
    with urllib.request.urlopen(f"http://{address}/", timeout=10) as answer:
        return int(answer.status)


def test_callers_on_three_machines_reach_a_service_and_the_plan_says_how(
    net: sshds.Net, folder: Path
) -> None:
    text = (
        WEB
        + """
@task(runs_on=cloud)
def there(web: Ref):
    return ["python3", "-c", GET, web.url]

@task()
def here(web: Ref):
    return ["python3", "-c", GET, web.url]

@task(runs_on=edge)
def beside(web: Ref):
    return ["python3", "-c", GET, web.url]
"""
    )
    file = write(folder, text.replace("port=8080", 'ports={"http": 8080}'))
    looked = call("plan", "--json", file)
    assert looked.returncode == 0, looked.stderr
    planned = json.loads(looked.stdout)
    kinds = {link["from"]: link["kind"] for link in planned["links"]}
    assert kinds == {"beside": "loopback", "here": "lan", "there": "tunnel"}
    ran = call("run", "--until-ready", file)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("200") >= 3


def test_a_far_service_is_reached_from_here_and_tells_of_itself(
    net: sshds.Net, folder: Path
) -> None:
    with stacks.load(write(folder, WEB)).up() as run:
        web = run["web"]
        assert web.state == "ready"
        assert get(web.addr) == 200
        assert "serving" in web.logs()
        done = web.exec(["sh", "-c", "echo $PORT; pwd"])
        port, cwd = done.stdout.split()
        assert (port, "/far/" in cwd) == ("8080", True)
        assert host_state(run) == "connected"


def test_nothing_is_left_there_when_the_run_is_over(net: sshds.Net, folder: Path) -> None:
    with stacks.load(write(folder, WEB)).up():
        pass
    far.wait_until_left(net.machines["edge"])
    state = net.machines["edge"].home / "state"
    assert [path for path in state.rglob("*") if path.is_file()] == []


def test_files_of_a_far_service_are_made_there(net: sshds.Net, folder: Path) -> None:
    (folder / "greeting").write_text("hello")
    (folder / "app.tmpl").write_text("web at ${web.addr}")
    text = (
        WEB
        + """
@task(runs_on=edge, files={"greeting": copy("greeting"), "app.conf": template("app.tmpl")})
def job(web: Ref):
    return ["cat", "greeting", "app.conf"]
"""
    )
    with stacks.load(write(folder, text)).up() as run:
        run["job"].wait("completed")
        assert "helloweb at 127." in run["job"].logs()


def test_a_missing_program_there_names_the_host(net: sshds.Net, folder: Path) -> None:
    text = """
@service(runs_on=edge)
def tool():
    return ["no-such-program"]
"""
    with pytest.raises(errors.HostError) as caught, stacks.load(write(folder, text)).up():
        pass
    assert caught.value.code == "host.no-program"
    assert 'on host "edge"' in caught.value.what


def test_hosts_that_are_off_are_told_together_and_nothing_is_started(
    net: sshds.Net, folder: Path
) -> None:
    for machine in net.machines.values():
        machine.stop()
    text = (
        WEB
        + """
@service(runs_on=cloud)
def other():
    return ["sleep", "100"]
"""
    )
    ran = call("run", write(folder, text))
    assert ran.returncode == 3
    assert ran.stderr.count("host.unreached") == 2


def test_a_host_that_is_cut_off_for_a_while_is_lost_then_found(
    net: sshds.Net, folder: Path
) -> None:
    with stacks.load(write(folder, WEB)).up() as run:
        pid = run["web"].pid
        net.machines["edge"].stop()
        eventually(lambda: run["web"].state == "unready", within_s=20)
        lost = {host.name: host for host in run.status().hosts}["edge"]
        assert (lost.state, bool(lost.reason)) == ("lost", True)
        net.restart("edge")
        eventually(lambda: run["web"].state == "ready", within_s=20)
        assert run["web"].pid == pid
        assert get(run["web"].addr) == 200


def test_services_of_a_killed_far_node_are_taken_back(net: sshds.Net, folder: Path) -> None:
    with stacks.load(write(folder, WEB)).up() as run:
        pid = run["web"].pid
        (node,) = [
            number
            for number, text in far.is_left(net.machines["edge"]).items()
            if "--listen" in text
        ]
        os.kill(node, signal.SIGKILL)
        eventually(lambda: host_state(run) == "lost", within_s=20)
        eventually(lambda: host_state(run) == "connected", within_s=20)
        assert run["web"].pid == pid
        run["web"].restart()
        assert run["web"].pid != pid
        assert get(run["web"].addr) == 200


def test_a_run_that_stays_is_taken_back_with_its_far_services(net: sshds.Net, folder: Path) -> None:
    file = write(folder, WEB)
    started = call("start", file)
    assert started.returncode == 0, started.stderr
    before = json.loads(call("status", "--json").stdout)
    listed = json.loads(call("ps", "--json").stdout)
    os.kill(listed[0]["pid"], signal.SIGKILL)
    eventually(
        lambda: json.loads(call("ps", "--json").stdout)[0]["state"] == "adopted", within_s=20
    )
    again = call("start", file)
    assert again.returncode == 0, again.stderr
    after = json.loads(call("status", "--json").stdout)
    stopped = call("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert [one["pid"] for one in after["services"]] == [one["pid"] for one in before["services"]]


def test_a_run_without_a_controller_is_ended_there_too(net: sshds.Net, folder: Path) -> None:
    assert call("start", write(folder, WEB)).returncode == 0
    listed = json.loads(call("ps", "--json").stdout)
    os.kill(listed[0]["pid"], signal.SIGKILL)
    eventually(lambda: json.loads(call("ps", "--json").stdout)[0]["state"] == "adopted", 20)
    stopped = call("stop")
    assert stopped.returncode == 0, stopped.stderr
    far.wait_until_left(net.machines["edge"])


def test_a_killed_controller_leaves_nothing_there_once_the_lease_is_over(
    net: sshds.Net, folder: Path
) -> None:
    file = write(folder, WEB)
    argv = [sys.executable, "-m", "stackdsl", "run", file]
    running = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert running.stdout is not None
    assert "serving" in running.stdout.readline()
    running.kill()
    running.wait()
    running.stdout.close()
    assert far.is_left(net.machines["edge"])
    eventually(lambda: not far.is_left(net.machines["edge"]), within_s=50)


def test_a_run_ends_though_a_host_is_lost_and_says_what_it_could_not_see(
    net: sshds.Net, folder: Path
) -> None:
    text = (
        WEB
        + """
@service(port=8081)
def here(me: Me):
    return [sys.executable, "-c", SERVE, me.bind, str(me.port)]
"""
    )
    scope = contextlib.ExitStack()
    run = scope.enter_context(stacks.load(write(folder, text)).up())
    net.machines["edge"].stop()
    eventually(lambda: host_state(run) == "lost", within_s=20)
    pid = run["here"].pid
    with pytest.raises(errors.StackError) as caught:
        scope.close()
    assert {one.code for one in errors.flatten(caught.value)} == {"teardown.host-lost"}
    assert not Path(f"/proc/{pid}").exists()
    eventually(lambda: not far.is_left(net.machines["edge"]), within_s=50)


def test_a_service_that_moves_to_another_machine_ends_where_it_was(
    net: sshds.Net, folder: Path
) -> None:
    file = write(folder, WEB)
    assert call("start", file).returncode == 0
    (before,) = json.loads(call("status", "--json").stdout)["services"]
    write(folder, WEB.replace("runs_on=edge", "runs_on=cloud"))
    changed = call("start", file)
    assert changed.returncode == 0, changed.stderr
    (after,) = json.loads(call("status", "--json").stdout)["services"]
    assert (after["host"], after["state"]) == ("cloud", "ready")
    assert not Path(f"/proc/{before['pid']}").exists()
    assert call("stop").returncode == 0
