"""`stackdsl lab` as people call it, and the fixture `lab` as tests ask for it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import terminals
from tests.waiting import eventually

COMMAND = [sys.executable, "-m", "stackdsl", "lab"]
STACK = """
import sys
from stackdsl import Me, http, service

@service(port=8080, ready=http("/"))
def web(me: Me):
    return [sys.executable, "-m", "http.server", "--bind", me.bind, str(me.port)]
"""
TOPOLOGY = """
from stackdsl.lab import Lab

lab = Lab()
office = lab.site("office", nat="preserving")
cloud = lab.site("cloud", delay="5ms")
lab.controller(office)
office.host("db")
cloud.host("worker", user="deploy", sudo=False)
"""
WITHIN_S = 20.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "shop.py").write_text(STACK)
    (tmp_path / "shop_lab.py").write_text(TOPOLOGY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*words: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *words], input=given, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def up(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A lab that stands in front of another terminal."""
    process = subprocess.Popen(
        [*COMMAND, "up", "shop.py"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    eventually(lambda: call("status", "--json").stdout.strip() != "[]", WITHIN_S)
    eventually(lambda: call("exec", "worker", "true").returncode == 0, WITHIN_S)
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=WITHIN_S)


def test_a_stack_is_run_in_the_lab_of_its_topology(folder: Path) -> None:
    done = call("run", "shop.py", "--until-ready")

    assert done.returncode == 0, done.stderr
    assert "lab shop: 2 sites, 3 hosts, up in" in done.stderr
    assert "shop is ready" in done.stderr + done.stdout


def test_the_run_has_the_exit_code_of_the_stack(folder: Path) -> None:
    (folder / "shop.py").write_text(
        "from stackdsl import task\n\n@task()\ndef fails():\n    return ['false']\n"
    )

    assert call("run", "shop.py").returncode == 1


def test_ctrl_c_stops_the_run_in_order_and_then_the_lab(folder: Path, state_home: Path) -> None:
    with terminals.opening(folder, state_home) as open_terminal:
        terminal = open_terminal(100, 30)
        terminal.run(*COMMAND, "run", "shop.py")
        terminal.await_text("1 of 1 ready")

        terminal.press("C-c")

        terminal.await_text("shop stopped", "exit 130")


def test_ctrl_c_in_a_shell_ends_what_runs_in_it(
    up: "subprocess.Popen[str]", folder: Path, state_home: Path
) -> None:
    with terminals.opening(folder, state_home) as open_terminal:
        terminal = open_terminal(100, 30)
        terminal.run(*COMMAND, "shell", "worker")
        terminal.await_text("deploy@worker")
        terminal.type("echo begun; sleep 1000")
        terminal.press("Enter")
        eventually(lambda: terminal.text().count("begun") == 2)

        terminal.press("C-c")
        terminal.type("hostname | tr a-z A-Z")
        terminal.press("Enter")

        terminal.await_text("WORKER")
        terminal.type("exit")
        terminal.press("Enter")
        terminal.await_text("exit 0")


def test_a_lab_that_is_up_is_shown_from_elsewhere(up: "subprocess.Popen[str]") -> None:
    text = call("status").stdout
    (told,) = json.loads(call("status", "--json").stdout)

    assert "office  preserving NAT; 192.168.1.0/24" in text
    assert [host["name"] for host in told["hosts"]] == ["controller", "db", "worker"]
    assert {host["state"] for host in told["hosts"]} == {"up"}


def test_a_command_runs_on_a_host_and_its_exit_code_is_ours(up: "subprocess.Popen[str]") -> None:
    done = call("exec", "worker", "--", "sh", "-c", "id -un; cat; exit 7", given="given")

    assert (done.stdout, done.returncode) == ("deploy\ngiven", 7)


def test_a_command_may_be_another_users(up: "subprocess.Popen[str]") -> None:
    assert call("exec", "--user", "root", "worker", "--", "id", "-un").stdout == "root\n"


def test_a_shell_is_a_login_on_the_host(up: "subprocess.Popen[str]") -> None:
    assert call("shell", "worker", given="pwd; hostname\n").stdout == "/home/deploy\nworker\n"


def test_the_controller_knows_the_command_stackdsl(up: "subprocess.Popen[str]") -> None:
    done = call("exec", "controller", "--", sys.executable, "-m", "stackdsl", "ps", "--json")

    assert json.loads(done.stdout) == []


def test_ctrl_c_ends_a_lab(up: "subprocess.Popen[str]") -> None:
    up.send_signal(signal.SIGINT)

    assert up.wait(WITHIN_S) == 130
    assert call("status", "--json").stdout.strip() == "[]"


def test_a_lab_whose_command_is_killed_is_gone(up: "subprocess.Popen[str]") -> None:
    up.kill()
    up.wait(WITHIN_S)

    eventually(lambda: call("status", "--json").stdout.strip() == "[]", WITHIN_S)


def test_an_unknown_host_names_the_near_one(up: "subprocess.Popen[str]") -> None:
    done = call("exec", "wroker", "true")

    assert done.returncode == 2
    assert 'did you mean "worker"?' in done.stderr


def test_without_a_lab_the_way_to_one_is_told(folder: Path) -> None:
    done = call("exec", "db", "true")

    assert done.returncode == 2
    assert "stackdsl lab up" in done.stderr


def test_a_wrong_topology_is_told_with_its_line(folder: Path) -> None:
    (folder / "shop_lab.py").write_text(TOPOLOGY.replace('"preserving"', '"symetric"'))

    done = call("up", "shop.py")

    assert done.returncode == 2
    assert "where  shop_lab.py:5 site office" in done.stderr
    assert 'did you mean "symmetric"?' in done.stderr


def test_a_stack_without_a_topology_is_told_where_it_would_be(folder: Path) -> None:
    (folder / "shop_lab.py").unlink()

    done = call("run", "shop.py")

    assert done.returncode == 2
    assert "shop_lab.py" in done.stderr


def test_a_topology_is_drawn(folder: Path) -> None:
    done = subprocess.run(
        [*COMMAND[:-1], "graph", "shop_lab.py", "--kind", "topology"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "host:office" in done.stdout
    assert "worker" in done.stdout
    assert "uplink preserving NAT" in done.stdout


def test_the_fixture_runs_a_stack_in_a_lab(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(shop=STACK, shop_lab=TOPOLOGY)
    pytester.makepyfile(
        """
        from pathlib import Path

        def test_web(lab):
            with lab("shop_lab.py") as net:
                run = net.up("shop.py")
                assert run["web"].state == "ready"
                told = net.exec("controller", ["curl", "-s", f"http://{run['web'].addr}/"])
                assert "shop.py" in told.stdout
                assert run["web"].exec(["hostname"]).stdout == "controller\\n"
                assert net.exec("db", ["hostname"]).stdout == "db\\n"
                assert "GET" in run["web"].logs()
                run.stop()

        def test_power(lab):
            with lab("shop_lab.py") as net:
                net["db"].power_off()
                assert not net["db"].is_powered
        """
    )

    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_a_failing_test_tells_what_its_stack_did_in_the_lab(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(shop=STACK, shop_lab=TOPOLOGY)
    pytester.makepyfile(
        """
        def test_web(lab):
            with lab("shop_lab.py") as net:
                net.up("shop.py")
                raise AssertionError("no")
        """
    )

    result = pytester.runpytest_subprocess()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*stack shop in a lab*", "*web: ready at*"])


def test_a_stack_that_cannot_start_fails_as_it_would_outside(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        shop="from stackdsl import task\n\n@task()\ndef bad():\n    return ['false']\n",
        shop_lab=TOPOLOGY,
    )
    pytester.makepyfile(
        """
        import pytest
        from stackdsl import StackError

        def test_bad(lab):
            with lab("shop_lab.py") as net:
                with pytest.raises(StackError, match="bad"):
                    net.up("shop.py")
        """
    )

    pytester.runpytest_subprocess().assert_outcomes(passed=1)
