"""`run` in front: what it prints where, how it ends, and with which exit code."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import COMMAND
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


ASKER = """
    @service(port=7001, start_timeout="200ms", ready=log("never"))
    def slow(): return ["sleep", "1000"]
    @service()
    def asker():
        ask = "print('hello', input('who? '), flush=True); import time; time.sleep(1000)"
        return [PY, "-c", ask]
"""


def test_a_debugged_service_has_this_terminal(cli: Any, write_stack: Write) -> None:
    ours, theirs = pty.openpty()
    command = [str(COMMAND), "run", str(write_stack(ASKER)), "asker", "--debug", "asker"]
    with subprocess.Popen(
        command, cwd=cli.folder, stdin=theirs, stdout=theirs, stderr=theirs
    ) as run:
        os.close(theirs)
        seen = read_until(ours, "who? ")
        os.write(ours, b"bob\n")
        seen += read_until(ours, "hello bob")
        run.send_signal(signal.SIGINT)
        read_until(ours, "■ stopped")
        run.wait(timeout=15)
    os.close(ours)

    assert run.returncode == 130


def test_a_debugged_service_reads_from_a_pipe_too(cli: Any, write_stack: Write) -> None:
    command = [str(COMMAND), "run", str(write_stack(ASKER)), "asker", "--debug", "asker"]
    with subprocess.Popen(
        command, cwd=cli.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        run.stdin.write("eve\n")
        run.stdin.flush()
        assert run.stdout.readline() == "asker | who? hello eve\n"
        run.send_signal(signal.SIGINT)
        run.wait(timeout=15)


def test_deadlines_of_a_debugged_service_are_off(cli: Any, write_stack: Write) -> None:
    file = write_stack(ASKER)
    assert cli("run", file, "slow", code=1)
    run = cli.spawn("run", file, "slow", "--debug", "slow")
    eventually(lambda: cli.states("shop").get("slow") == "starting", within_s=15)
    with pytest.raises(subprocess.TimeoutExpired):
        run.wait(timeout=1)
    run.send_signal(signal.SIGINT)

    assert run.wait(timeout=15) == 130


def test_a_terminal_shows_what_is_not_ready_below_the_output(cli: Any, write_stack: Write) -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(
        [COMMAND, "run", write_stack(ASKER.replace("200ms", "60s")), "slow"],
        cwd=cli.folder, stdin=theirs, stdout=theirs, stderr=theirs, env=env,
    ) as run:  # fmt: skip
        read_until(ours, "0 of 1 ready")
        run.send_signal(signal.SIGINT)
        read_until(ours, "■ stopped")
        run.wait(timeout=15)
    os.close(theirs)
    os.close(ours)

    assert run.returncode == 130


def read_until(fd: int, text: str, within_s: float = 15) -> str:
    """Read from a terminal until a text was seen; return all that was."""
    seen = ""
    deadline = time.monotonic() + within_s
    while text not in seen:
        ready, _, _ = select.select([fd], [], [], max(deadline - time.monotonic(), 0))
        assert ready, f"no {text!r} in {seen!r}"
        seen += os.read(fd, 65536).decode(errors="replace")
    return seen


def test_the_module_is_the_same_program(cli: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stackdsl", "--version"], capture_output=True, text=True, check=True
    )

    assert done.stdout == cli("--version").stdout
