"""How runs end: signals, kills, two at once, state that cannot be read."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import leaks
from tests.waiting import eventually

STUBBORN = """
    @service(port=7001, stop_timeout="2s")
    def stubborn(): return [PY, f"{PROGRAMS}/server.py", "--ignore-term", "--fork"]
    @service(port=7002)
    def plain(stubborn: Ref): return [PY, f"{PROGRAMS}/server.py"]
"""
NEVER_READY = """
    @service(port=7001, start_timeout="60s")
    def a(): return ["sleep", "100"]
"""


def is_clean(home: Path) -> bool:
    return not leaks.find_processes(str(home))


def test_ctrl_c_stops_in_order_and_exits_130(
    cli: Any, write_stack: Callable[..., Path], state_home: Path
) -> None:
    run = cli.spawn("run", write_stack(STUBBORN))
    eventually(lambda: cli.states("shop").get("plain") == "ready", within_s=15)
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=15)

    assert run.returncode == 130
    assert is_clean(state_home)


def test_ctrl_c_during_start_exits_130(
    cli: Any, write_stack: Callable[..., Path], state_home: Path
) -> None:
    run = cli.spawn("run", write_stack(NEVER_READY))
    eventually(lambda: cli.states("shop").get("a") == "starting", within_s=15)
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=15)

    assert run.returncode == 130
    assert is_clean(state_home)


def test_a_second_ctrl_c_ends_at_once(
    cli: Any, write_stack: Callable[..., Path], state_home: Path
) -> None:
    stack = STUBBORN.replace('"2s"', '"60s"')
    run = cli.spawn("run", write_stack(stack))
    eventually(lambda: cli.states("shop").get("plain") == "ready", within_s=15)
    run.send_signal(signal.SIGINT)
    eventually(lambda: cli.states("shop").get("plain") == "stopped", within_s=10)
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=5)

    assert run.returncode == 130
    eventually(lambda: is_clean(state_home), within_s=2)


def test_sigterm_exits_143(cli: Any, write_stack: Callable[..., Path], state_home: Path) -> None:
    run = cli.spawn("run", write_stack(NEVER_READY))
    eventually(lambda: cli.states("shop").get("a") == "starting", within_s=15)
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=15)

    assert run.returncode == 143
    assert is_clean(state_home)


def test_after_sigkill_of_run_everything_is_gone_within_5_s(
    cli: Any, write_stack: Callable[..., Path], state_home: Path
) -> None:
    run = cli.spawn("run", write_stack(STUBBORN.replace('"2s"', '"60s"')))
    eventually(lambda: cli.states("shop").get("plain") == "ready", within_s=15)
    run.kill()
    run.wait(timeout=5)

    eventually(lambda: is_clean(state_home), within_s=5)


def test_services_of_a_killed_controller_are_adopted_by_the_next_start(
    cli: Any, write_stack: Callable[..., Path], state_home: Path
) -> None:
    file = write_stack(STUBBORN)
    cli("start", file)
    before = {name: row["pid"] for name, row in cli.services("shop").items()}
    servers = set(before.values())
    for pid in set(leaks.find_processes(str(state_home))) - descendants(servers):
        os.kill(pid, signal.SIGKILL)
    cli("start", file)

    assert {name: row["pid"] for name, row in cli.services("shop").items()} == before
    cli("stop", "shop")
    eventually(lambda: is_clean(state_home), within_s=2)


def descendants(pids: set[int]) -> set[int]:
    """Return processes and all below them, and what has left for pid 1 running the same program."""
    rows = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    table = [row.split(None, 2) for row in rows.stdout.splitlines()]
    found = set(pids) | {int(pid) for pid, _, args in table if "server.py" in args}
    for _ in table:
        found |= {int(pid) for pid, parent, _ in table if int(parent) in found}
    return found


def test_of_two_starts_at_the_same_moment_one_run_comes_out(
    cli: Any, write_stack: Callable[..., Path]
) -> None:
    file = write_stack(
        """
        @service(port=7001)
        def a(): return [PY, f"{PROGRAMS}/server.py"]
        """
    )
    both = [cli.spawn("start", file) for _ in range(2)]
    texts = [one.communicate(timeout=60) for one in both]

    assert {one.returncode for one in both} <= {0, 2}, texts
    assert 0 in {one.returncode for one in both}
    assert cli.states("shop") == {"a": "ready"}
    assert [row["run"] for row in cli.json("ps")] == ["shop"]
    cli("stop", "shop")


def test_a_run_whose_name_lives_is_refused_and_copy_is_named(
    cli: Any, write_stack: Callable[..., Path]
) -> None:
    file = write_stack(
        """
        @service(port=7001)
        def a(): return [PY, f"{PROGRAMS}/server.py"]
        """
    )
    cli("start", file)
    done = cli("run", file, code=2)
    cli("stop", "shop")

    assert "--copy" in done.stderr


def test_state_that_cannot_be_read_is_told_and_not_touched(
    cli: Any, write_stack: Callable[..., Path], state_home: Path
) -> None:
    file = write_stack(
        """
        @task()
        def a(): return ["true"]
        """
    )
    cli("run", file)
    databases = [path for path in (state_home / "stackdsl").rglob("*") if is_database(path)]
    assert databases
    for path in databases:
        path.write_bytes(b"this is no database" * 1000)
    done = cli("run", file, code=None)

    assert done.code in (0, 1, 2, 3)
    assert "Traceback" not in done.stderr
    if done.code:
        assert done.stderr.startswith("cannot ")
        assert "  do  " in done.stderr


def is_database(path: Path) -> bool:
    return path.is_file() and path.read_bytes()[:15] == b"SQLite format 3"
