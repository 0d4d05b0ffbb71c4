"""What is asked of runs and stacks: shapes of JSON, logs, events, waits."""

import json
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import COMMAND
from tests.waiting import eventually

SHOP = """
    db = Service(name="db", runs_on=external("127.0.0.1:7009"), ready=[])
    @service(port=7001, ready=http("/"))
    def api(): return [PY, f"{PROGRAMS}/server.py", "--say", "api speaks"]
    @task()
    def seed(api: Ref): return ["sh", "-c", "echo one; echo two; echo three"]
    @service(replicas=2)
    def worker(seed: Ref, me: Me):
        return ["sh", "-c", f"echo worker {me.index}; exec sleep 1000"]
"""
SERVICE_KEYS = {
    "name", "kind", "service", "index", "state", "host", "target", "pid", "container",
    "addresses", "restarts", "since", "exit_code", "reason",
}  # fmt: skip
EVENT_KEYS = {"seq", "time", "kind", "subject", "was", "state", "reason"}
EVENT_KINDS = {"service-changed", "log", "probe", "step", "link", "host", "run", "gap"}

Write = Callable[..., Path]


@pytest.fixture
def shop(cli: Any, write_stack: Write) -> Iterator[Path]:
    """A living run."""
    file = write_stack(
        SHOP.replace(
            '    db = Service(name="db", runs_on=external("127.0.0.1:7009"), ready=[])\n', ""
        )
    )
    cli("start", file)
    yield file
    cli("stop", "shop", code=None)


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_status_has_the_keys_of_the_contract(cli: Any, shop: Path) -> None:
    status = cli.json("status")

    assert set(status) == {"run", "stack", "state", "since", "services", "hosts", "links"}
    assert all(set(row) == SERVICE_KEYS for row in status["services"])
    assert all(set(row) == {"name", "state", "reason"} for row in status["hosts"])
    assert all(
        set(row) == {"from", "to", "port", "kind", "address", "state"} for row in status["links"]
    )
    assert {row["name"]: (row["service"], row["index"]) for row in status["services"]} == {
        "api": ("api", 0),
        "seed": ("seed", 0),
        "worker-0": ("worker", 0),
        "worker-1": ("worker", 1),
    }


def test_plan_has_the_keys_of_the_contract(cli: Any, write_stack: Write) -> None:
    plan = cli.json("plan", write_stack(SHOP), "--offline")

    assert set(plan) == {
        "stack", "run", "hosts", "services", "links", "mesh", "steps", "warnings",
    }  # fmt: skip
    assert set(plan["services"][0]) == {
        "name", "kind", "service", "index", "host", "target", "needs", "ports", "bind", "env",
        "command", "stage",
    }  # fmt: skip
    assert all(set(row) == {"id", "kind", "subject", "needs", "cause"} for row in plan["steps"])
    assert set(plan["hosts"][0]["addresses"]) == {"lan", "mesh", "bridge"}
    assert plan["mesh"] is None


def test_plan_looks_at_the_machine_and_changes_nothing(
    cli: Any, write_stack: Write, state_home: Path
) -> None:
    file = write_stack("""
        @service()
        def a(): return ["no-such-program-here"]
    """)

    assert '"no-such-program-here"' in cli("plan", file, code=3).stderr
    assert "no-such-program-here" in cli("plan", file, "--offline").stdout
    assert not list(state_home.glob("stackdsl/runs/*"))


def test_plan_of_a_living_run_tells_what_start_would_change(cli: Any, shop: Path) -> None:
    shop.write_text(shop.read_text() + "\n@service()\ndef extra(): return ['sleep', '9']\n")
    steps = cli.json("plan", shop)["steps"]

    assert [step["subject"] for step in steps if step["kind"] == "start"] == ["extra"]
    assert "extra" not in cli.states()


def test_facts_of_doctor_are_what_plan_takes(cli: Any, write_stack: Write, tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    facts.write_text(cli("doctor", "--json").stdout)

    assert cli.json("plan", write_stack(SHOP), "--facts", facts)["stack"] == "shop"


def test_facts_that_are_none_are_refused(cli: Any, write_stack: Write, tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    facts.write_text('{"hosts": [{"nam": "local"}]}')

    assert '"nam"' in cli("plan", write_stack(SHOP), "--facts", facts, code=2).stderr


@pytest.mark.parametrize("kind", ["dependency", "topology"])
def test_graph_has_the_keys_of_the_contract(cli: Any, write_stack: Write, kind: str) -> None:
    graph = cli.json("graph", write_stack(SHOP), "--kind", kind)

    assert set(graph) == {"nodes", "edges"}
    assert all(set(row) == {"id", "kind", "host", "state"} for row in graph["nodes"])
    assert all(set(row) == {"from", "to", "kind", "address", "condition"} for row in graph["edges"])


@pytest.mark.parametrize(
    ("form", "sign"),
    [
        ("tree", "└─"), ("mermaid", "flowchart"), ("dot", "digraph"), ("svg", "<svg "),
        ("html", "<!DOCTYPE html>"), ("json", '"nodes"'),
    ],
)  # fmt: skip
def test_graphs_are_drawn_in_every_form(cli: Any, write_stack: Write, form: str, sign: str) -> None:
    assert sign in cli("graph", write_stack(SHOP), "--format", form).stdout


def test_an_unknown_form_names_the_known_ones(cli: Any, write_stack: Write) -> None:
    assert "mermaid" in cli("graph", write_stack(SHOP), "--format", "mermade", code=2).stderr


def test_a_suffix_of_no_form_is_refused_and_nothing_is_written(
    cli: Any, write_stack: Write, tmp_path: Path
) -> None:
    done = cli("graph", write_stack(SHOP), "-o", "shop.pdf", code=2)

    assert '".pdf"' in done.stderr
    assert ".svg, .html" in done.stderr
    assert not (tmp_path / "shop.pdf").exists()


def test_a_form_that_is_said_is_written_whatever_the_suffix(
    cli: Any, write_stack: Write, tmp_path: Path
) -> None:
    cli("graph", write_stack(SHOP), "--format", "dot", "-o", "shop.graph")

    assert (tmp_path / "shop.graph").read_text().startswith("digraph")


@pytest.mark.parametrize("kind", ["dependency", "topology"])
def test_the_suffix_of_the_file_says_the_form_of_a_graph(
    cli: Any, write_stack: Write, tmp_path: Path, kind: str
) -> None:
    stack = write_stack(SHOP)
    signs = {"svg": "<svg ", "html": "<!DOCTYPE html>", "mmd": "flowchart", "dot": "digraph"}
    for suffix, sign in signs.items():
        file = tmp_path / f"shop.{suffix}"
        done = cli("graph", stack, "--kind", kind, "-o", file)

        assert done.stdout == ""
        assert str(file) in done.stderr
        assert file.read_text().startswith(sign)


@pytest.mark.parametrize(
    "command", [("graph", "--format", "json"), ("plan", "--json"), ("validate", "--json")]
)
def test_what_a_stack_prints_stands_beside_the_result(
    cli: Any, write_stack: Write, command: tuple[str, ...]
) -> None:
    file = write_stack("""
        print("read")
        @service()
        def web():
            print("called")
            return ["sleep", "1000"]
    """)
    done = cli(command[0], file, *command[1:])

    assert json.loads(done.stdout)
    assert "read\n" in done.stderr
    assert "called\n" in done.stderr


def test_a_graph_is_drawn_on_a_terminal_whose_encoding_lacks_its_signs(
    cli: Any, write_stack: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")

    assert "?? " in cli("graph", write_stack(SHOP)).stdout


@pytest.mark.parametrize("buffering", ["", "1"])
def test_output_that_cannot_be_written_says_so(
    write_stack: Write, monkeypatch: pytest.MonkeyPatch, buffering: str
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", buffering)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [COMMAND, "graph", write_stack(SHOP)],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip

    assert done.returncode == 2
    assert "cannot write to standard output: No space left on device" in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_do_no_harm(write_stack: Write, closed: str) -> None:
    command = shlex.join([str(COMMAND), "graph", str(write_stack(SHOP))])
    done = subprocess.run(
        ["sh", "-c", f"exec {command} {closed}"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


def test_a_graph_that_cannot_be_written_says_so(
    cli: Any, write_stack: Write, tmp_path: Path
) -> None:
    done = cli("graph", write_stack(SHOP), "-o", tmp_path / "none" / "shop.svg", code=2)

    assert "usage.output" in done.stderr


def test_the_picture_of_a_living_run_shows_states(cli: Any, shop: Path) -> None:
    assert "is-ready" in cli("graph", "shop", "--format", "svg").stdout


def test_the_graph_of_a_living_run_holds_states(cli: Any, shop: Path) -> None:
    nodes = cli.json("graph", "shop")["nodes"]

    assert {row["id"]: row["state"] for row in nodes}["api"] == "ready"


def test_events_are_an_object_a_line_with_growing_numbers(cli: Any, shop: Path) -> None:
    found = rows(cli("events", "--json").stdout)

    assert all(set(row) >= EVENT_KEYS for row in found)
    assert {row["kind"] for row in found} <= EVENT_KINDS
    assert [row["seq"] for row in found] == list(range(1, len(found) + 1))
    assert ("run", "shop", "ready") in {
        (row["kind"], row["subject"], row["state"]) for row in found
    }


def test_events_go_on_after_a_number_without_loss(cli: Any, shop: Path) -> None:
    first = rows(cli("events", "--json").stdout)[-1]["seq"]
    cli("restart", "worker")
    found = rows(cli("events", "--json", "--since", first).stdout)

    assert found[0]["seq"] == first + 1
    states = [row["state"] for row in found if row["subject"] == "worker-0"]
    assert "ready" in states


def test_lines_of_output_are_events_once_however_often_they_are_asked_for(
    cli: Any, shop: Path
) -> None:
    follower = cli.spawn("events", "--json", "-f")
    told = json.loads(follower.stdout.readline())
    while told["kind"] != "log" or told["subject"] != "seed":
        told = json.loads(follower.stdout.readline())
    follower.kill()
    cli("events", "--json")
    cli("restart", "worker")
    found = rows(cli("events", "--json").stdout)

    assert [row["lines"] for row in found if (row["kind"], row["subject"]) == ("log", "seed")] == [
        ["one", "two", "three"]
    ]


def test_events_without_output_end_even_when_output_came_last(cli: Any, write_stack: Write) -> None:
    file = write_stack("""
        @service()
        def ticker(): return ["sh", "-c", "while :; do echo tick; sleep 0.05; done"]
    """)
    cli("start", file)
    eventually(lambda: rows(cli("events", "--json").stdout)[-1]["kind"] == "log")
    told = cli("events").stdout
    cli("stop")

    assert "ticker starting → ready" in told
    assert "tick\n" not in told


def test_followed_events_end_with_the_run(cli: Any, shop: Path) -> None:
    follower = cli.spawn("events", "--json", "-f")
    assert json.loads(follower.stdout.readline())["seq"] == 1
    cli("stop", "shop")
    told = follower.stdout.read()
    follower.wait(timeout=10)

    assert follower.returncode == 0
    assert rows(told)[-1]["state"] == "stopped"


def test_events_for_people_are_lines(cli: Any, shop: Path) -> None:
    assert any("api starting → ready" in row for row in cli("events").stdout.splitlines())


def test_logs_have_a_prefix_and_a_tail(cli: Any, shop: Path) -> None:
    assert cli("logs", "seed").stdout == "seed | one\nseed | two\nseed | three\n"
    assert cli("logs", "shop", "seed", "--tail", 1).stdout == "seed | three\n"


def test_logs_of_a_service_are_those_of_all_its_replicas(cli: Any, shop: Path) -> None:
    def all_lines() -> list[str]:
        return sorted(cli("logs", "worker").stdout.splitlines())

    eventually(lambda: all_lines() == ["worker-0 | worker 0", "worker-1 | worker 1"])


def test_logs_as_json_are_an_object_a_line(cli: Any, shop: Path) -> None:
    found = rows(cli("logs", "seed", "--json").stdout)

    assert [row["line"] for row in found] == ["one", "two", "three"]
    assert {row["stream"] for row in found} == {"out"}


def test_logs_since_a_moment_leave_out_what_was_before(cli: Any, shop: Path) -> None:
    assert cli("logs", "seed", "--since", "10m").stdout.count("\n") == 3
    assert cli("logs", "seed", "--since", "2099-01-01T00:00:00Z").stdout == ""


def test_logs_of_an_unknown_service_name_the_near_ones(cli: Any, shop: Path) -> None:
    assert "worker" in cli("logs", "wroker", code=2).stderr


def test_followed_logs_go_on_until_the_run_ends(cli: Any, shop: Path) -> None:
    follower = cli.spawn("logs", "-f", "seed")
    assert follower.stdout.readline() == "seed | one\n"
    cli("do", "seed")
    cli("stop", "shop")
    told = follower.stdout.read()
    follower.wait(timeout=10)

    assert follower.returncode == 0
    assert told.count("three") == 2


def test_logs_of_an_ended_run_are_there_until_clean(cli: Any, shop: Path) -> None:
    cli("stop")

    assert "seed     | two" in cli("logs", "shop").stdout.splitlines()
    assert cli("logs", shop, "seed").stdout.count("\n") == 3
    assert cli("logs").stdout
    cli("clean")
    cli("logs", "shop", code=2)


def test_logs_without_a_run_are_those_of_the_one_that_ended_last(
    cli: Any, shop: Path, write_stack: Write
) -> None:
    cli("stop")
    cli(
        "run",
        write_stack("@service()\ndef a(): return ['sh', '-c', 'echo no; exit 3']", "last.py"),
        code=1,
    )
    done = cli("logs", "a")

    assert done.stdout == "a | no\n"
    assert 'of run "last"' in done.stderr


def test_secrets_are_masked_in_all_that_is_printed(
    cli: Any, write_stack: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "hunter2-secret")
    file = write_stack("""
        token = secret("TOKEN")
        @service(env={"TOKEN": token})
        def a(): return ["sh", "-c", "echo $TOKEN; exec sleep 1000"]
    """)
    cli("start", file)
    eventually(lambda: "***" in cli("logs", "a").stdout)
    texts = [
        cli(*words).stdout
        for words in (
            ["logs", "a"], ["plan", file, "--json"], ["status", "--json"], ["events", "--json"],
        )
    ]  # fmt: skip
    cli("stop")
    texts += [cli("logs", file).stdout, cli("logs", "shop").stdout]
    assert not any("hunter2" in text for text in texts)

    monkeypatch.delenv("TOKEN")
    assert "cannot be masked" in cli("logs", "shop", code=2).stderr


def test_wait_returns_when_the_state_has_come(cli: Any, shop: Path) -> None:
    cli("wait")
    cli("wait", "seed", "worker")
    cli("wait", "shop", "seed", "--for", "completed")


def test_a_wait_that_is_over_in_time_exits_1(cli: Any, shop: Path) -> None:
    done = cli("wait", "api", "--for", "stopped", "--timeout", "200ms", code=1)

    assert "api is ready" in done.stderr


def test_a_wait_for_no_state_names_the_near_ones(cli: Any, shop: Path) -> None:
    assert "ready" in cli("wait", "--for", "redy", code=2).stderr


def test_status_that_is_watched_is_printed_again_until_the_run_ends(cli: Any, shop: Path) -> None:
    watcher = cli.spawn("status", "--watch")
    assert "shop" in watcher.stdout.readline()
    cli("stop", "worker")
    cli("stop")
    told = watcher.stdout.read()
    watcher.wait(timeout=10)

    assert watcher.returncode == 0
    assert "■ stopped" in told


def test_an_interrupted_follower_exits_130(cli: Any, shop: Path) -> None:
    follower = cli.spawn("logs", "-f")
    assert follower.stdout.readline()
    follower.send_signal(signal.SIGINT)

    assert follower.wait(timeout=5) == 130
    assert "Traceback" not in follower.stderr.read()


def test_without_a_run_status_is_a_wrong_call(cli: Any) -> None:
    done = cli("status", code=2)

    assert done.stdout == ""
    assert "stackdsl start" in done.stderr


def test_logs_say_when_each_line_was_written(cli: Any, shop: Path) -> None:
    plain = cli("logs", "seed").stdout.splitlines()
    timed = cli("logs", "-t", "seed").stdout.splitlines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z "

    assert all(re.search(stamp, line) for line in timed)
    assert [re.sub(stamp, "", line) for line in timed] == plain


def test_logs_of_a_name_that_is_neither_service_nor_run_say_so(cli: Any, shop: Path) -> None:
    told = cli("logs", "shpo", code=2).stderr

    assert '"shpo"' in told
    assert "no run of that name" in told


def test_validate_tells_what_there_is(cli: Any, write_stack: Write) -> None:
    assert cli("validate", write_stack(SHOP)).stdout == "ok: shop (shop.py): 3 services, 1 task\n"


def test_validate_as_json_lists_everything_that_is_wrong(cli: Any, write_stack: Write) -> None:
    file = write_stack("""
        @service(prt=1)
        def a(): return ["x"]
        @service()
        def b(nowhere: Ref): return ["x"]
    """)
    done = cli("validate", file, "--json", code=2)
    told = json.loads(done.stdout)

    assert told["ok"] is False
    assert len(told["errors"]) == 2
    assert all(set(row) >= {"code", "what", "where", "why", "do"} for row in told["errors"])


def test_validate_leaves_nothing_on_disk(cli: Any, write_stack: Write, state_home: Path) -> None:
    cli("validate", write_stack(SHOP))

    assert not (state_home / "stackdsl").exists()


def test_doctor_says_what_is_there(cli: Any) -> None:
    told = cli.json("doctor")

    assert told["ok"] is True
    assert {row["name"] for row in told["checks"]} >= {"python", "kernel", "loopback", "cgroup"}


def test_output_into_a_pipe_that_closes_is_quiet(cli: Any, shop: Path) -> None:
    follower = cli.spawn("events", "-f")
    assert follower.stdout.readline()
    follower.stdout.close()
    cli("restart", "worker")
    deadline = time.monotonic() + 10
    while follower.poll() is None and time.monotonic() < deadline:
        cli("restart", "worker")

    assert follower.wait(timeout=5) == 0
    assert "Traceback" not in follower.stderr.read()
