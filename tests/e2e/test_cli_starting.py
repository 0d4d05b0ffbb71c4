"""`start`, `stop`, `restart`, `do`, `clean`: runs that are left behind."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import leaks
from tests.waiting import eventually

SHOP = """
    @service(port=7001)
    def api(): return [PY, f"{PROGRAMS}/server.py"]
    @task()
    def seed(api: Ref): return ["sh", "-c", "date +%N; echo careful >&2"]
    @service()
    def worker(api: Ref): return ["sleep", "1000"]
"""

Write = Callable[..., Path]


@pytest.fixture
def shop(cli: Any, write_stack: Write) -> Iterator[Path]:
    """A living run; stopped by the `cli` fixture if the test leaves it."""
    file = write_stack(SHOP)
    cli("start", file)
    yield file
    cli("stop", "shop", code=None)


def pids(cli: Any) -> dict[str, int | None]:
    return {name: row["pid"] for name, row in cli.services("shop").items()}


def test_start_returns_when_ready_and_tells_where_each_is(cli: Any, write_stack: Write) -> None:
    done = cli("start", write_stack(SHOP))
    states = cli.states("shop")
    cli("stop")

    assert states == {"api": "ready", "seed": "completed", "worker": "ready"}
    assert "shop is ready: 2 services and 1 task in" in done.stdout
    assert "127." in done.stdout


def test_start_with_json_prints_the_status(cli: Any, write_stack: Write) -> None:
    status = cli.json("start", write_stack(SHOP))
    cli("stop")

    assert status["run"] == "shop"
    assert status["state"] == "ready"


def test_start_of_named_services_starts_what_they_need_and_no_more(
    cli: Any, write_stack: Write
) -> None:
    file = write_stack(SHOP)
    cli("start", file, "worker")
    states = cli.states("shop")
    cli("stop")

    assert states == {"api": "ready", "worker": "ready"}


def test_what_fails_is_told_with_1_and_the_rest_goes_on(cli: Any, write_stack: Write) -> None:
    file = write_stack(
        SHOP
        + """
    @service(port=7009)
    def broken(): return ["false"]
    """
    )
    done = cli("start", file, code=1)
    states = cli.states("shop")
    cli("stop")

    assert 'cannot run service "broken"' in done.stderr
    assert "stackdsl stop shop" in done.stderr
    assert states["worker"] == "ready"
    assert states["broken"] == "failed"


def test_a_stack_that_is_wrong_is_told_with_2_and_nothing_lives(
    cli: Any, write_stack: Write
) -> None:
    done = cli("start", write_stack("@service(prt=1)\ndef a(): return ['x']"), code=2)

    assert '"prt"' in done.stderr
    assert cli.json("ps") == []


def test_start_again_changes_nothing(cli: Any, shop: Path) -> None:
    before = pids(cli)
    done = cli("start", shop)

    assert pids(cli) == before
    assert "nothing to change" in done.stderr


def test_start_again_does_what_changed_and_leaves_the_rest(cli: Any, shop: Path) -> None:
    before = pids(cli)
    text = shop.read_text().replace('"sleep", "1000"', '"sleep", "2000"')
    shop.write_text(text + "\n@service()\ndef extra(): return ['sleep', '1000']\n")
    done = cli("start", shop)
    after = pids(cli)

    assert after["api"] == before["api"]
    assert after["worker"] != before["worker"]
    assert after["extra"] is not None
    assert [row.split()[1:3] for row in done.stderr.splitlines() if row[:1] in "+~-"] == [
        ["start", "extra"],
        ["restart", "worker"],
    ]


def test_a_change_that_is_wrong_changes_nothing(cli: Any, shop: Path) -> None:
    before = pids(cli)
    shop.write_text(shop.read_text() + "\n@service(prt=1)\ndef bad(): return ['x']\n")
    cli("start", shop, code=2)

    assert pids(cli) == before


def test_another_file_of_that_name_is_refused_and_copy_is_named(
    cli: Any, shop: Path, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere" / "shop.py"
    other.parent.mkdir()
    other.write_text(shop.read_text())
    done = cli("start", other, code=2)

    assert "--copy" in done.stderr


def test_a_stopped_service_is_started_by_name(cli: Any, shop: Path) -> None:
    cli("stop", "shop", "worker")
    assert cli.states()["worker"] == "stopped"
    cli("start", "shop", "worker")

    assert cli.states()["worker"] == "ready"


def test_the_only_living_run_may_be_left_out(cli: Any, shop: Path) -> None:
    cli("stop", "worker")

    assert cli.states()["worker"] == "stopped"


def test_restart_gives_new_pids_and_leaves_tasks_alone(cli: Any, shop: Path) -> None:
    before = cli.services()
    cli("restart", "api", "worker")
    after = cli.services()

    assert after["api"]["pid"] != before["api"]["pid"]
    assert after["seed"]["since"] == before["seed"]["since"]


def test_of_two_starts_at_once_both_succeed(cli: Any, write_stack: Write) -> None:
    file = write_stack(SHOP)
    both = [cli.spawn("start", file) for _ in range(2)]
    texts = [one.communicate(timeout=60) for one in both]
    cli("stop")

    assert [one.returncode for one in both] == [0, 0], texts


def test_stop_now_does_not_wait_for_the_stubborn(cli: Any, write_stack: Write) -> None:
    file = write_stack("""
        @service(port=7001, stop_timeout="60s")
        def stubborn(): return [PY, f"{PROGRAMS}/server.py", "--ignore-term"]
    """)
    cli("start", file)
    began = time.monotonic()
    cli("stop", "--now")

    assert time.monotonic() - began < 10


def test_what_a_killed_controller_left_is_ended_by_stop(
    cli: Any, write_stack: Write, state_home: Path
) -> None:
    cli("start", write_stack(SHOP))
    (row,) = cli.json("ps")
    mine = [pid for pid in pids(cli).values() if pid]
    children = Path(f"/proc/{row['pid']}/task/{row['pid']}/children").read_text().split()
    for pid in (row["pid"], *map(int, children)):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: cli.json("ps")[0]["state"] == "adopted", within_s=10)
    assert set(mine) <= set(leaks.find_processes(str(state_home)))
    cli("stop", "shop")

    assert cli.json("ps") == []
    assert leaks.find_processes(str(state_home)) == {}


def test_do_runs_a_task_again_and_prints_this_times_output(cli: Any, shop: Path) -> None:
    first = cli("logs", "seed").stdout.splitlines()[0].rpartition(" ")[2]
    done = cli("do", "seed")

    assert done.stdout.strip().isdigit()
    assert done.stdout.strip() != first
    assert done.stderr == "careful\n"


def test_do_of_a_service_is_a_wrong_call(cli: Any, shop: Path) -> None:
    assert "restart" in cli("do", "worker", code=2).stderr


def test_do_of_a_task_that_fails_exits_1_with_its_output(cli: Any, write_stack: Write) -> None:
    file = write_stack("""
        import pathlib
        flag = pathlib.Path(__file__).with_name("flag")
        @task()
        def once(): return ["sh", "-c", f"echo tried; mkdir {flag}"]
        @service()
        def keep(): return ["sleep", "1000"]
    """)
    cli("start", file)
    done = cli("do", "once", code=1)
    cli("stop")

    assert done.stdout == "tried\n"
    assert 'cannot complete task "once"' in done.stderr


def test_clean_removes_the_folders_of_ended_runs_only(cli: Any, shop: Path) -> None:
    cli("run", shop, "--copy", "two", "--until-ready")

    assert cli.json("clean") == {"runs": [], "folders": ["shop@two"], "volumes": []}
    assert cli.states("shop")["worker"] == "ready"


def test_clean_of_a_living_run_is_refused(cli: Any, shop: Path) -> None:
    assert "stackdsl stop shop" in cli("clean", "shop", code=2).stderr


def test_exec_runs_with_the_environment_folder_and_exit_code(
    cli: Any, shop: Path, tmp_path: Path
) -> None:
    done = cli("exec", "api", "--", "sh", "-c", "echo $PORT $PWD; exit 7", code=7)

    assert done.stdout == f"7001 {tmp_path}\n"


def test_exec_of_what_is_not_there_is_a_wrong_call(cli: Any, shop: Path) -> None:
    assert '"no-such-program"' in cli("exec", "api", "--", "no-such-program", code=2).stderr


def test_ps_lists_runs_with_their_state(cli: Any, shop: Path) -> None:
    (row,) = json.loads(cli("ps", "--json").stdout)

    assert row["run"] == "shop"
    assert row["state"] == "ready"
    assert row["file"] == str(shop)
    assert "shop" in cli("ps").stdout


def test_what_takes_the_output_of_a_changed_task_is_started_anew_with_it(
    cli: Any, write_stack: Write
) -> None:
    file = write_stack("""
        @task()
        def seed(): return ["echo", "before"]

        @service()
        def tell(seed: Ref): return ["sh", "-c", f"echo {seed.output}; exec sleep 1000"]
    """)
    cli("start", file)
    file.write_text(file.read_text().replace("before", "after"))
    done = cli("start", file)
    eventually(lambda: "tell | after" in cli("logs", "tell").stdout)
    cli("stop")

    assert "task seed runs again" in done.stderr


def test_a_copy_that_wants_a_published_port_of_its_run_is_told_which_run_has_it(
    cli: Any, write_stack: Write
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free_port = probe.getsockname()[1]
    file = write_stack(f"""
        @service(port=Port(7001, publish={free_port}))
        def api(): return [PY, f"{{PROGRAMS}}/server.py"]
    """)
    cli("start", file)
    told = cli("start", file, "--copy", "two", code=2).stderr

    assert f'run "shop" on local holds 127.0.0.1:{free_port}' in told
    assert "stackdsl stop shop" in told
    cli("stop", "shop")
