"""Programs that misbehave: the run says what was seen and what to do, and ends as it should."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import eventually


def test_a_program_that_does_not_exist_is_refused_before_anything_starts(
    cli: Any, write_stack: Callable[..., Path], tmp_path: Path
) -> None:
    file = write_stack(
        """
        @service()
        def first(): return ["touch", "started"]
        @service(port=7001)
        def a(): return ["no-such-program-here"]
        """
    )
    done = cli("run", file, code=None)

    assert done.code in (2, 3)
    assert '"no-such-program-here"' in done.stderr
    assert not (tmp_path / "started").exists()


def test_a_program_that_exits_at_once_fails_the_run_with_its_last_lines(
    cli: Any, write_stack: Callable[..., Path]
) -> None:
    file = write_stack(
        """
        @service(port=7001)
        def a(): return ["sh", "-c", "echo the disk is sad >&2; exit 3"]
        """
    )
    done = cli("run", file, code=1)

    assert "the disk is sad" in done.stdout + done.stderr
    assert "3" in done.stderr


def test_a_program_that_never_listens_fails_the_run_with_what_was_probed(
    cli: Any, write_stack: Callable[..., Path]
) -> None:
    file = write_stack(
        """
        @service(port=7001, start_timeout="500ms", stop_timeout=1)
        def a(): return ["sh", "-c", "echo thinking; exec sleep 100"]
        """
    )
    done = cli("run", file, code=1)

    assert ":7001" in done.stderr
    assert "thinking" in done.stdout + done.stderr


def test_a_program_that_listens_late_is_waited_for(
    cli: Any, write_stack: Callable[..., Path]
) -> None:
    file = write_stack(
        """
        @service(port=7001)
        def a(): return [PY, f"{PROGRAMS}/server.py", "--after", "0.5"]
        """
    )
    cli("run", file, "--until-ready")


def test_a_program_that_insists_on_127_0_0_1_is_told_apart_and_listens_is_advised(
    cli: Any, write_stack: Callable[..., Path]
) -> None:
    file = write_stack(
        """
        @service(port=17001, start_timeout="1s")
        def a(): return [PY, f"{PROGRAMS}/server.py", "--at", "127.0.0.1"]
        """
    )
    done = cli("run", file, code=1)

    assert "127.0.0.1:17001" in done.stderr
    assert "listens" in done.stderr


def test_with_listens_that_program_is_reached_at_its_own_address(
    cli: Any, write_stack: Callable[..., Path]
) -> None:
    file = write_stack(
        """
        @service(port=Port(7001, listens="127.0.0.1:17001"))
        def a(): return [PY, f"{PROGRAMS}/server.py", "--at", "127.0.0.1"]
        @task()
        def ask(a: Ref): return [PY, "-c", f"import urllib.request as u; u.urlopen('http://{a.addr}')"]
        """
    )
    cli("run", file, "--until-ready")


def test_binary_on_stderr_does_no_harm(cli: Any, write_stack: Callable[..., Path]) -> None:
    file = write_stack(
        """
        @task()
        def flood(): return ["sh", "-c", "head -c 20000000 /dev/urandom >&2"]
        """
    )
    cli("run", file)


def test_a_program_that_reopens_dev_stdout_is_logged_with_a_pipe(
    cli: Any, write_stack: Callable[..., Path]
) -> None:
    file = write_stack(
        """
        @service(log="pipe")
        def a(): return ["sh", "-c", "echo one; echo two > /dev/stdout; exec sleep 100"]
        """
    )
    cli("start", file)
    done = cli("logs", "shop")
    cli("stop", "shop")

    assert "one" in done.stdout
    assert "two" in done.stdout


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that someone else listens on, on every address."""
    with socket.create_server(("0.0.0.0", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_published_port_that_is_taken_is_refused_before_anything_starts(
    cli: Any, write_stack: Callable[..., Path], taken: int, tmp_path: Path
) -> None:
    file = write_stack(
        f"""
        @service()
        def first(): return ["touch", "started"]
        @service(port=Port(7001, publish={taken}))
        def a(): return [PY, f"{{PROGRAMS}}/server.py"]
        """
    )
    done = cli("run", file, code=None)

    assert done.code in (2, 3)
    assert str(taken) in done.stderr
    assert not (tmp_path / "started").exists()


def test_a_port_taken_on_every_address_is_refused_before_anything_starts(
    cli: Any, write_stack: Callable[..., Path], taken: int, tmp_path: Path
) -> None:
    file = write_stack(
        f"""
        @service()
        def first(): return ["touch", "started"]
        @service(port={taken})
        def a(): return [PY, f"{{PROGRAMS}}/server.py"]
        """
    )
    for command in ("plan", "run"):
        done = cli(command, file, code=2)
        assert f"0.0.0.0:{taken}" in done.stderr
    assert not (tmp_path / "started").exists()


def test_a_port_taken_after_the_plan_does_not_make_a_service_ready(
    cli: Any, write_stack: Callable[..., Path]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    file = write_stack(
        f"""
        @task()
        def planned(): return ["sh", "-c", "until test -e taken; do sleep 0.01; done"]
        @service(port={port}, needs=[planned], start_timeout=1)
        def a(): return ["sleep", "1000"]
        """
    )
    run = cli.spawn("run", file)
    eventually(lambda: cli.states().get("planned") == "running", within_s=10)
    with socket.create_server(("0.0.0.0", port)):
        (file.parent / "taken").touch()
        _, said = run.communicate(timeout=30)

    assert run.returncode == 1
    assert "not by it" in said
    assert "another port" in said


def test_a_slow_reader_gets_every_line_of_a_burst(
    cli: Any, write_stack: Callable[..., Path]
) -> None:
    file = write_stack(
        """
        @service(ready=log("9999"))
        def burst(): return ["sh", "-c", "seq 0 9999; exec sleep 100"]
        """
    )
    cli("start", file)
    done = cli("logs", "shop", "burst")
    cli("stop", "shop")

    numbers = [row.split()[-1] for row in done.stdout.splitlines()]
    assert numbers == [str(number) for number in range(10_000)]
