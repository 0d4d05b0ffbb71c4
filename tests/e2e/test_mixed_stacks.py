"""Containers and processes in one stack through the command line: both directions, one network."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engines import Engine

Write = Callable[..., Path]

HEAD = '''
import sys

SERVER = """
import socket, sys
s = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    c, a = s.accept()
    c.sendall(f"{sys.argv[3]} saw {a[0]}\\\\n".encode())
    c.close()
"""
CLIENT = """
import socket, sys
for at in sys.argv[1:]:
    host, port = at.split(":")
    said = socket.create_connection((host, int(port)), 5).makefile().readline().strip()
    print("asked", at, "->", said, flush=True)
"""

def serve(me, bind=None, port=None):
    return [sys.executable, "-c", SERVER, bind or me.bind, str(port or me.port), me.name]

def ask(*refs):
    return [sys.executable, "-c", CLIENT, *(ref.addr for ref in refs)]

def box_serve(me):
    return ["nc", "-ll", "-p", str(me.port), "-e", "echo", f"{me.name} answers"]

def box_ask(*targets):
    words = (target.replace(":", " ") for target in targets)
    return ["sh", "-c", "; ".join(f"echo asked {word} $(nc {word})" for word in words)]
'''


@pytest.fixture
def mixed(write_stack: Write, engine: Engine) -> Write:
    """Write a stack that may speak of containers; the engine is $DOCKER_HOST."""

    def write(text: str, **options: Any) -> Path:
        return write_stack(HEAD + text, **options)

    return write


BOTH = """
@service(runs_on=docker("busybox:local"), port=7000)
def box(me: Me): return box_serve(me)

@service(port=7000)
def only_boxes(me: Me): return serve(me)

@service(port=7000)
def order_api(box: Ref, me: Me): return serve(me)

@task()
def here(box: Ref, order_api: Ref): return ask(box, order_api)

@task(runs_on=docker("busybox:local"))
def inside(box: Ref, order_api: Ref, only_boxes: Ref):
    return box_ask(box.addr, order_api.addr, only_boxes.addr, "order-api:7000", "box:7000")
"""


def test_containers_and_processes_call_each_other_at_canonical_ports(
    cli: Any, mixed: Write
) -> None:
    done = cli("run", mixed(BOTH), "--until-ready")

    said = done.stdout
    assert re.search(r"here +\| asked 127\.\S+:7000 -> box answers", said)
    assert re.search(r"here +\| asked 127\.\S+:7000 -> order_api saw", said)
    for name in ("box answers", "order_api saw", "only_boxes saw"):
        assert re.search(rf"inside +\| asked 10\.\S+ 7000 {name}", said), said
    assert re.search(r"inside +\| asked order-api 7000 order_api saw", said)
    assert re.search(r"inside +\| asked box 7000 box answers", said)


INSISTING = """
@service(port=Port(9000, listens="127.0.0.1:19100"))
def narrow(me: Me): return serve(me, "127.0.0.1", 19100)

@service(port=Port(19101, listens="0.0.0.0:19101"))
def wide(me: Me): return serve(me, "0.0.0.0", 19101)

@service(port=8080, isolated=True)
def apart(me: Me): return serve(me)

@service(port=8080, isolated=True)
def apart_too(me: Me): return serve(me)

@task()
def here(narrow: Ref, wide: Ref, apart: Ref, apart_too: Ref):
    return ask(narrow, wide, apart, apart_too)

@task(isolated=True)
def alone(narrow: Ref, wide: Ref, apart: Ref): return ask(narrow, wide, apart)

@task(runs_on=docker("busybox:local"))
def inside(narrow: Ref, wide: Ref, apart: Ref, apart_too: Ref):
    return box_ask("narrow:9000", wide.addr, apart.addr, "apart-too:8080")
"""


def test_programs_that_insist_and_isolated_ones_are_reached_from_everywhere(
    cli: Any, mixed: Write
) -> None:
    said = cli("run", mixed(INSISTING), "--until-ready").stdout

    for name in ("narrow", "wide", "apart", "apart_too"):
        assert re.search(rf"here +\| asked \S+ -> {name} saw", said), said
        assert re.search(rf"inside +\| asked \S+ \d+ {name} saw", said), said
    for name in ("narrow", "wide", "apart"):
        assert re.search(rf"alone +\| asked \S+ -> {name} saw", said), said


def test_without_privilege_containers_reach_processes_through_the_gateway(
    cli: Any, mixed: Write
) -> None:
    powers = "-net_admin,-sys_admin"
    done = subprocess.run(
        [
            *("setpriv", "--bounding-set", powers, "--inh-caps", powers),
            *(Path(sys.executable).with_name("stackdsl"), "run", mixed(BOTH), "--until-ready"),
        ],
        cwd=cli.folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    told = set(re.findall(r"asked (10\.\S+) \d+ (?:order_api|only_boxes) saw", done.stdout))
    assert len(told) == 1
    assert told.pop().endswith(".1")


BUILT = """
@service(runs_on=docker(build="image"))
def app(): return ["sh", "-c", "cat /version; exec sleep 1000"]

@service()
def other(): return ["sleep", "1000"]
"""


def test_start_on_an_edited_context_builds_and_replaces_only_what_is_made_of_it(
    cli: Any, mixed: Write
) -> None:
    file = mixed(BUILT)
    context = file.parent / "image"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM busybox:local\nCOPY version /version\n")
    (context / "version").write_text("first\n")
    cli("start", file)
    before = cli.services("shop")
    cli("start", file)
    assert cli.services("shop") == before
    (context / "version").write_text("second\n")

    done = cli("start", file)

    after = cli.services("shop")
    assert "sources of its image changed" in done.stderr
    assert after["other"] == before["other"]
    assert after["app"]["container"] != before["app"]["container"]
    assert cli("logs", "shop", "app").stdout.splitlines()[-1] == "app | second"
    cli("stop", "shop")


def test_a_failing_build_leaves_running_what_was_to_be_replaced(cli: Any, mixed: Write) -> None:
    file = mixed(BUILT)
    context = file.parent / "image"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM busybox:local\nRUN echo one > /version\n")
    cli("start", file)
    before = cli.services("shop")["app"]["container"]
    (context / "Dockerfile").write_text("FROM busybox:local\nRUN echo broken; exit 3\n")

    done = cli("start", file, code=1)

    assert "start.build-failed" in done.stderr
    assert "| broken" in done.stderr
    app = cli.services("shop")["app"]
    assert (app["state"], app["container"]) == ("ready", before)
    cli("stop", "shop")


def test_a_link_that_no_packet_passes_fails_its_caller_and_says_why(cli: Any, mixed: Write) -> None:
    file = mixed("""
@service(runs_on=docker("busybox:local"), port=7000, ready=log("up"))
def inner(): return ["sh", "-c", "echo up; exec httpd -f -p 127.0.0.1:7000"]

@service(runs_on=docker("busybox:local"))
def web(inner: Ref): return ["sleep", "1000"]
""")

    done = cli("run", file, code=1)

    assert 'cannot reach "inner" from "web"' in done.stderr
    assert "127.0.0.1 only" in done.stderr
    assert "link.unreachable" in done.stderr


def test_an_engine_that_is_not_there_is_told_before_anything_starts(
    cli: Any, mixed: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")

    done = cli("run", mixed(BOTH), code=3)

    assert "host.no-engine" in done.stderr
    assert "$DOCKER_HOST" in done.stderr
    assert cli("validate", mixed(BOTH)).code == 0
    assert cli("plan", mixed(BOTH), "--offline").code == 0


def test_images_that_are_not_to_be_had_are_errors_of_the_plan(cli: Any, mixed: Write) -> None:
    done = cli("plan", mixed("""
@service(runs_on=docker("nosuch:1", pull="never"))
def first(): ...

@service(runs_on=docker(build="nowhere"))
def second(): ...
"""), code=2)  # fmt: skip

    assert done.stderr.count("plan.no-image") == 2
    assert "@service first" in done.stderr


def test_a_container_of_others_is_called_at_addresses_of_ours_and_left_alone(
    cli: Any, mixed: Write, engine: Engine
) -> None:
    made = engine.api.create_container(
        "busybox:local", ["nc", "-ll", "-p", "6379", "-e", "echo", "legacy answers"], name="legacy"
    )
    engine.api.start(made)
    try:
        said = cli("run", mixed("""
@service(runs_on=attach(container="legacy"), port=6379)
def legacy(): ...

@task()
def here(legacy: Ref): return ask(legacy)

@task(runs_on=docker("busybox:local"))
def inside(legacy: Ref): return box_ask("legacy:6379")
"""), "--until-ready").stdout  # fmt: skip

        assert re.search(r"here +\| asked 127\.\S+:6379 -> legacy answers", said), said
        assert re.search(r"inside +\| asked legacy 6379 legacy answers", said), said
        assert engine.api.inspect_container(made)["State"]["Running"]
    finally:
        engine.api.remove_container(made, force=True)


def test_the_plan_in_json_names_the_bridge(cli: Any, mixed: Write) -> None:
    plan = json.loads(cli("plan", mixed(BOTH), "--json").stdout)

    bridge = plan["hosts"][0]["addresses"]["bridge"]
    assert bridge.endswith(".1")
    told = {
        link["address"].rpartition(".")[0] for link in plan["links"] if link["kind"] == "bridge"
    }
    assert told == {bridge.rpartition(".")[0]}


def test_exec_goes_into_the_namespace_of_an_isolated_service(cli: Any, mixed: Write) -> None:
    cli("start", mixed("""
@service(port=8080, isolated=True)
def apart(me: Me): return serve(me)
"""))  # fmt: skip

    seen = cli("exec", "shop", "apart", "--", "sh", "-c", "ip -br address; cat /etc/hosts").stdout

    told = cli.services("shop")["apart"]["addresses"]["default"].partition(":")[0]
    assert f"{told}/" in seen
    assert "docker0" not in seen
    assert re.search(rf"{re.escape(told)}\s+apart", seen)
    cli("stop", "shop")


ONE = """
@service(runs_on=docker("busybox:local"), port=7000)
def box(me: Me): return box_serve(me)
"""


def kill_all(record: Any) -> None:
    """Kill a run's controller and node: its containers live on."""
    pid = record["pid"]
    nodes = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for each in (pid, *map(int, nodes)):
        os.kill(each, signal.SIGKILL)


def test_containers_that_were_left_running_are_not_forgotten_by_another_run_of_the_name(
    cli: Any, mixed: Write, engine: Engine
) -> None:
    file = mixed(ONE)
    cli("start", file)
    kill_all(cli.json("ps")[0])

    done = cli("run", file, "--until-ready", code=2)

    assert "usage.run-lives" in done.stderr
    cli("stop", "shop")
    assert engine.left() == []


def test_containers_that_ended_untended_are_removed_by_the_next_run_of_the_name(
    cli: Any, mixed: Write, engine: Engine
) -> None:
    file = mixed(ONE)
    cli("start", file)
    container = cli.services("shop")["box"]["container"]
    kill_all(cli.json("ps")[0])
    engine.api.kill(container)
    engine.api.wait(container)

    cli("run", file, "--until-ready")

    assert engine.left() == []


def test_stopping_without_the_engine_says_so_and_what_is_left_is_known(
    cli: Any, mixed: Write, engine: Engine
) -> None:
    if engine.folder is None:
        pytest.skip("the engine that was given is not ours to kill")
    file = mixed(ONE)
    cli("start", file)
    engine.kill()
    try:
        done = cli("stop", "shop", code=3)
        assert "host.engine-down" in done.stderr
        assert "host.engine-down" in cli("run", file, code=3).stderr
    finally:
        engine.start()
    cli("clean")
    assert engine.left() == []
