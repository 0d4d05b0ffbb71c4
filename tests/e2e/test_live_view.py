"""The live view of `run` and `status --watch`, as a person sees it in a real terminal."""

import os
import pty
import re
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import terminals
from tests.e2e.conftest import COMMAND
from tests.waiting import eventually

Write = Callable[..., Path]
Open = Callable[..., terminals.Terminal]

pytestmark = pytest.mark.programs("tmux")

SHOP = """
    @service(port=7001, start_timeout="60s")
    def db(): return [PY, "-c", "import pathlib, time\\nwhile not pathlib.Path('open').exists(): "
        "time.sleep(0.02)\\nimport os, runpy, sys; sys.argv = ['server']; "
        f"runpy.run_path('{PROGRAMS}/server.py', run_name='__main__')"]
    @task()
    def seed(db: Ref): return ["echo", "12 rows"]
    @service(port=7002, ready=http("/"))
    def api(db: Ref, seed: Ref): return [PY, f"{PROGRAMS}/server.py", "--say", "api speaks"]
    @service()
    def ticker(): return ["sh", "-c", "echo tick; exec sleep 1000"]
"""
SLEEPER = """
    @service()
    def sleeper(): return ["sh", "-c", "echo asleep; exec sleep 1000"]
"""
FAILING = """
    @service()
    def sleeper(): return ["sleep", "1000"]
    @service()
    def brittle():
        return ["sh", "-c", "sleep 1; echo cannot find the spoon >&2; exit 7"]
"""


@pytest.fixture
def open_terminal(
    needs_programs: None, cli: Any, tmp_path: Path, state_home: Path, monkeypatch: Any
) -> Iterator[Open]:
    monkeypatch.delenv("NO_COLOR")
    with terminals.opening(tmp_path, state_home) as open_terminal:
        yield open_terminal


def row_of(rows: list[str], name: str) -> str:
    """Return the row of a replica in the table."""
    return next(row for row in rows if re.match(rf"{re.escape(name)} +[^ |] ", row))


# --- run ------------------------------------------------------------------------------------------


def test_a_start_shows_what_each_one_waits_for(write_stack: Write, open_terminal: Open) -> None:
    terminal = open_terminal()
    terminal.run(COMMAND, "run", write_stack(SHOP))
    rows = terminal.await_text("refused", "1 of 4 ready")

    assert rows[0].startswith("◌ shop starting")
    assert re.search(r"◌ starting .* tcp 127\.[0-9.]+:7001 refused, \d+ tries", row_of(rows, "db"))
    assert "○ waiting" in row_of(rows, "seed")
    assert "waits for db ready" in row_of(rows, "seed")
    assert "waits for db ready, seed completed" in row_of(rows, "api")
    assert "● ready" in row_of(rows, "ticker")
    assert rows[-1].startswith("q or Ctrl-C stops it")
    terminal.press("C-c")
    terminal.await_text("exit 130")


def test_what_is_ready_is_shown_with_its_address_and_last_line(
    write_stack: Write, open_terminal: Open, tmp_path: Path
) -> None:
    (tmp_path / "open").touch()
    terminal = open_terminal(120, 40)
    terminal.run(COMMAND, "run", write_stack(SHOP))
    rows = terminal.await_text("● shop ready", "4 of 4 ready", "| api speaks")

    assert re.search(r"● ready +\d+ s +http://127\.[0-9.]+:7002 +\S", row_of(rows, "api"))
    assert re.search(r"✔ completed .* 12 rows$", row_of(rows, "seed"))
    assert "api    | api speaks" in rows
    assert len(rows) == 40
    terminal.press("q")
    terminal.await_text("exit 130")


def test_a_failure_stays_in_the_scrollback_with_its_last_lines_and_place(
    write_stack: Write, open_terminal: Open
) -> None:
    file = write_stack(FAILING)
    terminal = open_terminal()
    terminal.run(COMMAND, "run", file)
    terminal.await_text("exit 1")
    left = terminal.scrolled()

    assert "✘ shop failed" in left
    assert re.search(r"brittle +✘ failed +exited with 7", left)
    assert 'cannot run service "brittle": exited with 7' in left
    assert "shop.py:" in left
    assert "  | cannot find the spoon" in left
    assert not terminal.is_alternate()


@pytest.mark.parametrize("pause_s", [0, 0.5])
def test_the_output_of_tasks_stays_in_the_scrollback(
    write_stack: Write, open_terminal: Open, pause_s: float
) -> None:
    terminal = open_terminal()
    terminal.run(COMMAND, "run", write_stack(f"""
        @task()
        def count(): return ["sh", "-c", "sleep {pause_s}; echo 12 beans"]
    """))  # fmt: skip
    terminal.await_text("exit 0")
    left = terminal.scrolled()

    assert "count | 12 beans" in left
    assert "✔ shop completed after" in left


def test_ctrl_c_shows_what_is_stopping_and_the_terminal_comes_back(
    write_stack: Write, open_terminal: Open
) -> None:
    file = write_stack("""
        @service(stop_timeout="30s")
        def stubborn():
            return ["sh", "-c", "trap : TERM; echo trapped; while :; do sleep 0.1; done"]
    """)
    terminal = open_terminal()
    terminal.type("stty -a > before")
    terminal.press("Enter")
    terminal.run(COMMAND, "run", file)
    terminal.await_text("| trapped")
    assert terminal.is_alternate()
    terminal.press("C-c")
    rows = terminal.await_text("◌ shop stopping", "once more stops at once")
    assert "◌ stopping" in row_of(rows, "stubborn")
    terminal.press("C-c")
    terminal.await_text("exit 130", within_s=10)
    terminal.type("stty -a | cmp before - && echo the $((40 + 2)) same")
    terminal.press("Enter")
    terminal.await_text("the 42 same")

    assert not terminal.is_alternate()


def test_sigterm_gives_the_terminal_back_too(
    cli: Any, write_stack: Write, open_terminal: Open
) -> None:
    terminal = open_terminal()
    terminal.run(COMMAND, "run", write_stack(SLEEPER))
    terminal.await_text("| asleep")
    (row,) = cli.json("ps")
    os.kill(row["pid"], signal.SIGTERM)
    terminal.await_text("exit 143")

    assert not terminal.is_alternate()


def test_the_view_fits_every_size_it_is_given(write_stack: Write, open_terminal: Open) -> None:
    terminal = open_terminal(80, 24)
    fleet = "\n".join(
        f"    Service(name='worker-{n}', command=['sleep', '1000'])" for n in range(50)
    )
    terminal.run(COMMAND, "run", write_stack(f"{fleet}\n{FAILING.replace('exit 7', 'sleep 1000')}"))
    terminal.await_text("52 of 52 ready")
    for columns, height in ((80, 24), (40, 10), (30, 5), (132, 60), (200, 12), (80, 24)):
        terminal.resize(columns, height)

        def look(columns: int = columns, height: int = height) -> bool:
            rows = terminal.rows()
            assert rows[0].startswith("● shop ready")
            assert len(rows) == height
            assert max(map(len, rows)) <= columns
            assert any(re.match(r"… and \d+ more: \d+ ready", row) for row in rows) or height == 60
            assert rows[-1].startswith("q or Ctrl-C")
            return True

        eventually(look)
    terminal.press("q")
    terminal.await_text("exit 130")


def test_the_pressing_ones_come_first_where_not_all_have_room(
    cli: Any, write_stack: Write, open_terminal: Open
) -> None:
    fleet = "\n".join(f"    Service(name='a-{n}', command=['sleep', '1000'])" for n in range(50))
    file = write_stack(f"{fleet}\n{FAILING}")
    assert cli("start", file, code=None)
    eventually(lambda: cli.states("shop").get("brittle") == "failed", within_s=20)
    terminal = open_terminal()
    terminal.run(COMMAND, "status", "shop", "--watch")
    rows = terminal.await_text("✘ failed", "newest lines", "cannot find the spoon")

    assert rows[2].startswith("brittle")
    assert any(row.startswith("✘ brittle: exited with 7") and "shop.py:" in row for row in rows)
    assert "  | cannot find the spoon" in rows
    assert any(re.match(r"… and 4\d more: 4\d ready", row) for row in rows)
    terminal.press("q")
    terminal.await_text("exit 0")


def test_what_bodies_print_is_told_among_the_lines_and_breaks_no_row(
    write_stack: Write, open_terminal: Open
) -> None:
    terminal = open_terminal()
    terminal.run(COMMAND, "run", write_stack("""
        @task()
        def count(): return ["sh", "-c", "sleep 1; echo 12 beans"]
        @service()
        def cook(count: Ref):
            print("the body got", count.output)
            return ["sleep", "1000"]
    """))  # fmt: skip
    rows = terminal.await_text("● shop ready", "the body got")
    assert [row.strip() for row in rows if "the body got" in row] == ["! the body got 12 beans"]
    terminal.press("q")
    terminal.await_text("exit 130")

    assert "\nthe body got 12 beans" in terminal.scrolled()


def test_lines_of_services_cannot_break_the_screen(write_stack: Write, open_terminal: Open) -> None:
    terminal = open_terminal()
    terminal.run(COMMAND, "run", write_stack(r"""
        @service()
        def rude():
            rude = r"\033[2J\033[H\033]0;title\007\033[?1049l\033[31mred 日本語 \t tab\rover\n"
            return ["sh", "-c", f"printf '{rude * 3}'; printf '{'長' * 300}\n'; exec sleep 1000"]
    """))  # fmt: skip
    rows = terminal.await_text("| over", "長")

    assert rows[0].startswith("● shop ready")
    assert rows[-1].startswith("q or Ctrl-C")
    (wide,) = [row for row in rows if row.startswith("rude | 長")]
    assert wide.endswith("…")
    assert terminal.is_alternate()
    terminal.press("q")
    terminal.await_text("exit 130")


def test_colours_of_services_are_kept_and_no_color_takes_all(
    write_stack: Write, open_terminal: Open
) -> None:
    file = write_stack(r"""
        @service()
        def red(): return ["sh", "-c", r"printf '\033[31mvery red\033[0m\n'; exec sleep 1000"]
    """)
    terminal = open_terminal()
    terminal.run(COMMAND, "run", file)
    terminal.await_text("| very red")
    assert "\x1b[31mvery red" in terminal.painted()
    terminal.press("q")
    terminal.await_text("exit 130")
    terminal.type("clear")
    terminal.press("Enter")
    terminal.run(COMMAND, "run", file, env="NO_COLOR=1")
    terminal.await_text("| very red", "● ready")

    assert "\x1b[" not in terminal.painted()
    terminal.press("q")
    terminal.await_text("exit 130")


def test_a_dumb_terminal_gets_plain_lines(write_stack: Write, open_terminal: Open) -> None:
    terminal = open_terminal()
    terminal.run(COMMAND, "run", write_stack(SLEEPER), env="TERM=dumb")
    terminal.await_text("sleeper | ● ready", "sleeper | asleep")
    assert not terminal.is_alternate()
    terminal.press("C-c")
    terminal.await_text("exit 130")


def test_ctrl_z_gives_the_terminal_to_the_shell_and_fg_takes_it_again(
    write_stack: Write, open_terminal: Open
) -> None:
    terminal = open_terminal()
    terminal.run(COMMAND, "run", write_stack(SLEEPER))
    terminal.await_text("| asleep")
    terminal.press("C-z")
    terminal.await_text("Stopped")
    assert not terminal.is_alternate()
    terminal.type("fg")
    terminal.press("Enter")
    terminal.await_text("● shop ready", "| asleep")
    terminal.press("q")
    terminal.await_text("■ shop stopped")


def test_a_flood_is_sampled_and_the_stop_is_soon(write_stack: Write, open_terminal: Open) -> None:
    terminal = open_terminal()
    terminal.run(COMMAND, "run", write_stack("""
        @service()
        def flood(): return ["sh", "-c", "seq 1 1000000000"]
    """))  # fmt: skip
    terminal.await_text("● shop ready", "flood | 1")
    first = terminal.text()
    eventually(lambda: terminal.text() != first)
    terminal.press("C-c")
    terminal.await_text("exit 130", within_s=15)


def test_a_terminal_that_nobody_reads_does_not_hold_up_the_end(
    cli: Any, write_stack: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    file = write_stack("""
        @service()
        def noisy(): return ["sh", "-c", "while sleep 0.01; do date +%N; done"]
    """)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [COMMAND, "run", file], cwd=cli.folder, stdin=theirs, stdout=theirs, stderr=theirs
    ) as run:
        eventually(lambda: cli.states("shop").get("noisy") == "ready", within_s=15)
        eventually(lambda: not select.select([], [theirs], [], 0)[1], within_s=60)
        run.send_signal(signal.SIGINT)
        assert run.wait(timeout=20) == 130
    os.close(theirs)
    os.close(ours)


# --- status --watch -------------------------------------------------------------------------------


def test_who_looks_on_leaves_the_run_alone(
    cli: Any, write_stack: Write, open_terminal: Open
) -> None:
    cli("start", write_stack(SLEEPER))
    terminal = open_terminal()
    terminal.run(COMMAND, "status", "shop", "--watch")
    rows = terminal.await_text("● shop ready", "| asleep", "leaves it running")
    assert "● ready" in row_of(rows, "sleeper")
    terminal.press("C-c")
    terminal.await_text("exit 130", "goes on: stackdsl stop shop ends it")

    assert cli.states("shop") == {"sleeper": "ready"}


def test_who_looks_on_sees_the_run_end(cli: Any, write_stack: Write, open_terminal: Open) -> None:
    cli("start", write_stack(SLEEPER))
    terminal = open_terminal()
    terminal.run(COMMAND, "status", "shop", "--watch")
    terminal.await_text("| asleep")
    cli("stop", "shop")
    terminal.await_text("exit 0", "■ shop stopped")

    assert not terminal.is_alternate()


def test_who_looks_on_stays_while_the_controller_is_replaced(
    cli: Any, write_stack: Write, open_terminal: Open
) -> None:
    file = write_stack(SLEEPER)
    cli("start", file)
    terminal = open_terminal(120, 24)
    terminal.run(COMMAND, "status", "shop", "--watch")
    terminal.await_text("| asleep")
    (row,) = cli.json("ps")
    os.kill(row["pid"], signal.SIGKILL)
    terminal.await_text("its controller is gone")
    cli("start", file)
    eventually(lambda: "its controller is gone" not in terminal.text())
    cli("restart", "shop", "sleeper")
    terminal.await_text("● ready", "● shop ready")
    cli("stop", "shop")
    terminal.await_text("exit 0")
