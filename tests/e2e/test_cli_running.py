"""`run` in front: what it prints where, how it ends, and with which exit code."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import eventually

SHOP = """
    @service(port=7001, ready=http("/"))
    def api(): return [PY, f"{PROGRAMS}/server.py", "--say", "api speaks"]
    @task()
    def seed(api: Ref): return ["echo", "seeded", api.url]
    @service()
    def worker(seed: Ref, api: Ref): return ["sh", "-c", f"echo got {seed.output}; exec sleep 1000"]
    @service()
    def lonely(): return ["sleep", "1000"]
"""

Write = Callable[..., Path]


def test_output_of_services_is_on_stdout_and_all_else_on_stderr(
    cli: Any, write_stack: Write
) -> None:
    done = cli("run", write_stack(SHOP), "--until-ready")

    assert "api    | api speaks" in done.stdout.splitlines()
    assert any(row.startswith("worker | got seeded http://") for row in done.stdout.splitlines())
    assert "ready" not in done.stdout
    assert "shop is ready: 3 services and 1 task in" in done.stderr


def test_the_summary_tells_where_each_service_is(cli: Any, write_stack: Write) -> None:
    done = cli("run", write_stack(SHOP), "--until-ready")

    summary = done.stderr.partition("shop is ready")[2]
    assert "http://127." in next(row for row in summary.splitlines() if row.startswith("  api"))


def test_piped_output_has_no_escapes(cli: Any, write_stack: Write) -> None:
    done = cli("run", write_stack(SHOP), "--until-ready")

    assert "\x1b" not in done.stdout + done.stderr


def test_only_the_named_services_and_what_they_need_are_run(cli: Any, write_stack: Write) -> None:
    done = cli("run", write_stack(SHOP), "seed", "--until-ready")

    assert "1 service and 1 task" in done.stderr
    assert "lonely" not in done.stderr


def test_an_unknown_service_is_a_wrong_call_with_near_misses(cli: Any, write_stack: Write) -> None:
    done = cli("run", write_stack(SHOP), "workre", code=2)

    assert "worker" in done.stderr


def test_when_all_have_completed_the_run_ends_with_0(cli: Any, write_stack: Write) -> None:
    file = write_stack("""
        @task()
        def one(): return ["echo", "one"]
        @service()
        def two(one: Ref): return ["echo", "two after", one.output]
    """)
    done = cli("run", file)

    assert [row.partition("| ")[2] for row in done.stdout.splitlines()] == ["one", "two after one"]


def test_a_service_that_fails_for_good_ends_the_run_with_1(cli: Any, write_stack: Write) -> None:
    file = write_stack("""
        @service(port=7001)
        def brittle(): return [PY, f"{PROGRAMS}/server.py", "--exit-after", "0.3"]
        @service()
        def other(): return ["sleep", "1000"]
    """)
    done = cli("run", file, code=1)

    assert 'cannot run service "brittle"' in done.stderr
    assert "  do  " in done.stderr
    assert done.stderr.index("other   | ■ stopped") < done.stderr.index("cannot run service")


def test_a_task_that_fails_ends_the_run_with_1(cli: Any, write_stack: Write) -> None:
    file = write_stack("""
        @task()
        def seed(): return ["sh", "-c", "echo no luck; exit 5"]
    """)
    done = cli("run", file, code=1)

    assert 'cannot complete task "seed"' in done.stderr
    assert "no luck" in done.stdout


def test_a_reader_that_goes_away_ends_the_run_quietly(cli: Any, write_stack: Write) -> None:
    file = write_stack("""
        @service()
        def noisy(): return ["sh", "-c", "while :; do echo line; sleep 0.01; done"]
    """)
    run = cli.spawn("run", file)
    assert run.stdout.readline()
    run.stdout.close()
    run.wait(timeout=20)

    assert "Traceback" not in run.stderr.read()


def test_a_burst_before_the_end_is_printed_whole(cli: Any, write_stack: Write) -> None:
    file = write_stack("""
        @task()
        def burst(): return ["seq", "100000"]
    """)
    done = cli("run", file)

    assert [row.rpartition(" ")[2] for row in done.stdout.splitlines()] == [
        str(number) for number in range(1, 100001)
    ]


def test_a_reader_that_has_stopped_reading_does_not_hold_up_the_end(
    cli: Any, write_stack: Write
) -> None:
    file = write_stack("""
        @service()
        def noisy(): return ["yes", "a line that fills the pipe soon"]
    """)
    run = cli.spawn("run", file)
    eventually(lambda: cli.states("shop").get("noisy") == "ready", within_s=15)
    run.send_signal(signal.SIGTERM)

    assert run.wait(timeout=30) == 143


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_in_order(
    cli: Any, write_stack: Write, number: signal.Signals, code: int
) -> None:
    run = cli.spawn("run", write_stack(SHOP))
    eventually(lambda: cli.states("shop").get("worker") == "ready", within_s=15)
    run.send_signal(number)
    _, told = run.communicate(timeout=15)

    assert run.returncode == code
    assert told.index("worker | ■ stopped") < told.index("api    | ◌ stopping")


def test_an_interrupt_while_the_stack_is_loaded_exits_130(cli: Any, write_stack: Write) -> None:
    file = write_stack("""
        import pathlib, time
        pathlib.Path(__file__).with_name("loading").touch()
        time.sleep(60)
        @service()
        def a(): return ["sleep", "1000"]
    """)
    run = cli.spawn("run", file)
    eventually(file.with_name("loading").exists, within_s=15)
    run.send_signal(signal.SIGINT)

    assert run.wait(timeout=5) == 130
    assert "Traceback" not in run.stderr.read()


def test_a_copy_runs_beside_the_first(cli: Any, write_stack: Write) -> None:
    file = write_stack(SHOP)
    cli("start", file)
    done = cli("run", file, "--copy", "two", "--until-ready")
    cli("stop", "shop")

    assert "shop@two is ready" in done.stderr


def test_the_module_is_the_same_program(cli: Any) -> None:
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "stackdsl", "--version"], capture_output=True, text=True, check=True
    )

    assert done.stdout == cli("--version").stdout
