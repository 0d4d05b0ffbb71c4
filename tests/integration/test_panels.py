"""Panels over living runs: what they show, what their buttons do, how they end."""

import asyncio
import gc
import os
import textwrap
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import stackdsl
from stackdsl.notebook import panels
from tests.waiting import eventually, eventually_async

SHOP = """
    from stackdsl import Ref, log, service, task

    @service()
    def db():
        return ["sh", "-c", "echo '<b>hello</b> from db'; exec sleep 1000"]

    @task()
    def seed(db: Ref):
        return ["sh", "-c", "echo seeded"]

    @service(replicas=2)
    def api(db: Ref, seed: Ref):
        return ["sh", "-c", "echo to stderr >&2; exec sleep 1000"]

    @service(ready=log("here"))
    def odd():
        return ["sh", "-c", "[ -e ./bad ] && exit 7; echo here; exec sleep 1000"]
"""


@pytest.fixture
def shop(tmp_path: Path) -> stackdsl.Stack:
    file = tmp_path / "shop.py"
    file.write_text(textwrap.dedent(SHOP))
    return stackdsl.load(file)


@pytest.fixture
def run(shop: stackdsl.Stack) -> Iterator[stackdsl.Run]:
    with shop.up() as run:
        yield run


@pytest.fixture
def open_panel() -> Iterator[Callable[..., panels.Panel]]:
    """Open panels, closed at the end of the test."""
    opened: list[weakref.ref[panels.Panel]] = []

    def open_one(run: stackdsl.Run | stackdsl.AsyncRun) -> panels.Panel:
        panel = stackdsl.control(run)
        opened.append(weakref.ref(panel))
        return panel

    yield open_one
    for one in opened:
        panel = one()
        if panel is not None:
            panel.close()


def shown(panel: panels.Panel) -> str:
    return "".join(one.value for one in panel._table.children)


def shows(panel: panels.Panel, name: str, state: str) -> bool:
    return f'data-service="{name}" data-state="{state}"' in shown(panel)


def is_on(panel: panels.Panel) -> dict[str, bool]:
    buttons = {
        "start": panel._start, "stop": panel._stop, "restart": panel._restart, "end": panel._end
    }  # fmt: skip
    return {name: not button.disabled for name, button in buttons.items()}


def test_a_panel_is_filled_when_it_is_made(run: stackdsl.Run, open_panel: Any) -> None:
    panel = open_panel(run)

    assert shows(panel, "db", "ready")
    assert shows(panel, "api-1", "ready")
    assert shows(panel, "seed", "completed")


def test_a_change_made_elsewhere_is_shown(run: stackdsl.Run, open_panel: Any) -> None:
    panel = open_panel(run)

    run["db"].stop()

    eventually(lambda: shows(panel, "db", "stopped"))
    assert "degraded" in panel._head.value


def test_a_change_is_shown_while_a_cell_is_busy(run: stackdsl.Run, open_panel: Any) -> None:
    panel = open_panel(run)
    shown_in: list[threading.Thread] = []
    panel._head.observe(lambda _: shown_in.append(threading.current_thread()), names="value")

    run["db"].stop()

    eventually(lambda: shown_in)
    assert threading.main_thread() not in shown_in


def test_the_buttons_stop_and_start_what_is_chosen(run: stackdsl.Run, open_panel: Any) -> None:
    panel = open_panel(run)
    panel._chosen.value = "db"
    pid = run["db"].pid
    assert is_on(panel) == {"start": False, "stop": True, "restart": True, "end": True}

    panel._stop.click()
    eventually(lambda: shows(panel, "db", "stopped") and is_on(panel)["start"])
    assert not os.path.exists(f"/proc/{pid}")
    assert is_on(panel) == {"start": True, "stop": False, "restart": False, "end": True}

    panel._start.click()
    eventually(lambda: shows(panel, "db", "ready") and is_on(panel)["stop"])
    assert run["db"].pid != pid


def test_a_service_of_several_replicas_is_restarted_as_a_whole(
    run: stackdsl.Run, open_panel: Any
) -> None:
    panel = open_panel(run)
    before = {run["api"][0].pid, run["api"][1].pid}
    panel._chosen.value = "api"

    panel._restart.click()

    eventually(lambda: "restarted api" in panel._message.value)
    assert before.isdisjoint({run["api"][0].pid, run["api"][1].pid})


def test_a_task_is_done_again(run: stackdsl.Run, open_panel: Any) -> None:
    panel = open_panel(run)
    panel._chosen.value = "seed"
    assert is_on(panel) == {"start": True, "stop": False, "restart": False, "end": True}

    panel._start.click()

    eventually(lambda: "started seed" in panel._message.value)
    assert run["seed"].logs().count("seeded") == 2


def test_what_fails_is_told_in_the_panel(
    run: stackdsl.Run, open_panel: Any, tmp_path: Path
) -> None:
    panel = open_panel(run)
    panel._chosen.value = "odd"
    panel._stop.click()
    eventually(lambda: is_on(panel)["start"])
    (tmp_path / "bad").touch()

    panel._start.click()

    eventually(lambda: "cannot start odd" in panel._message.value)
    assert "exit" in panel._problem.value
    eventually(lambda: shows(panel, "odd", "failed"))


def test_output_is_shown_escaped_and_filtered(run: stackdsl.Run, open_panel: Any) -> None:
    panel = open_panel(run)
    pane = panel._output
    eventually(lambda: "from db" in pane.lines.value and "to stderr" in pane.lines.value)
    assert "<b>" not in pane.lines.value

    pane.chosen.value = "db"
    assert "from db" in pane.lines.value
    assert "to stderr" not in pane.lines.value

    pane.chosen.value = ""
    pane.filter.value = "TO STD"
    assert "from db" not in pane.lines.value
    assert "to stderr" in pane.lines.value


def test_output_stands_still_while_it_is_not_followed(run: stackdsl.Run, open_panel: Any) -> None:
    panel = open_panel(run)
    pane = panel._output
    eventually(lambda: pane.lines.value.count("to stderr") == 2)
    pane.follow.value = False

    run["api"].restart()
    eventually(lambda: len(pane._of_all) >= 6)
    assert pane.lines.value.count("to stderr") == 2

    pane.follow.value = True
    assert pane.lines.value.count("to stderr") == 4


def test_several_panels_show_one_run(run: stackdsl.Run, open_panel: Any) -> None:
    first, second = open_panel(run), open_panel(run)
    first._chosen.value = "db"

    first._stop.click()

    eventually(lambda: shows(first, "db", "stopped") and shows(second, "db", "stopped"))


def test_the_panel_of_a_run_that_ended_says_so_and_is_off(
    shop: stackdsl.Stack, open_panel: Any
) -> None:
    with shop.up() as run:
        panel = open_panel(run)
    eventually(lambda: "the run has ended" in panel._head.value)

    for one in (panel, open_panel(run)):
        assert "the run has ended" in one._head.value
        assert not any(is_on(one).values())
        assert "stopped" in repr(one)


def test_stop_run_ends_the_run(shop: stackdsl.Stack, open_panel: Any) -> None:
    with shop.up() as run:
        panel = open_panel(run)
        pid = run["db"].pid

        panel._end.click()

        eventually(lambda: "the run has ended" in panel._head.value, within_s=15)
        assert not os.path.exists(f"/proc/{pid}")


async def test_the_panel_of_a_run_started_in_a_cell(shop: stackdsl.Stack, open_panel: Any) -> None:
    run = await shop.start()
    try:
        panel = open_panel(run)
        await run["db"].stop()

        async def is_shown() -> bool:
            await asyncio.sleep(0)
            return shows(panel, "db", "stopped")

        await eventually_async(is_shown)
    finally:
        await run.stop()


def test_the_panel_of_a_run_that_is_attached(run: stackdsl.Run, open_panel: Any) -> None:
    panel = open_panel(stackdsl.attach("shop"))
    panel._chosen.value = "db"

    panel._stop.click()
    eventually(lambda: shows(panel, "db", "stopped"))
    panel._end.click()

    eventually(lambda: "the run has ended" in panel._head.value, within_s=15)
    assert not any(is_on(panel).values())


def test_a_closed_panel_follows_nothing_and_the_run_goes_on(run: stackdsl.Run) -> None:
    panel = stackdsl.control(run)
    feed, gone = panel._feed, weakref.ref(panel)
    assert feed._work is not None

    panel.close()
    del panel

    eventually(lambda: feed._work is not None and feed._work.done())
    eventually(lambda: gc.collect() >= 0 and gone() is None)
    assert run["db"].state == "ready"


def test_a_flood_of_output_is_sent_in_batches(tmp_path: Path, open_panel: Any) -> None:
    file = tmp_path / "flood.py"
    flood = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exec sleep 1000"
    file.write_text(
        f"from stackdsl import Service\nService(name='f', command=['sh', '-c', {flood!r}])"
    )
    with stackdsl.load(file).up() as run:
        panel = open_panel(run)
        sent: list[object] = []
        panel._output.lines.observe(sent.append, names="value")

        eventually(lambda: "line 19999\n" in panel._output.lines.value, within_s=20)

        assert panel._output.lines.value.count("\n") <= 301
        assert len(sent) < 100


def test_where_widgets_are_not_drawn_the_panel_is_a_table(
    run: stackdsl.Run, open_panel: Any
) -> None:
    drawn = open_panel(run)._repr_mimebundle_()

    assert "api-1" in drawn["text/plain"]
    assert "data-service" in drawn["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in drawn


def test_a_stack_and_a_run_draw_themselves(shop: stackdsl.Stack, run: stackdsl.Run) -> None:
    stack_drawn, run_drawn = shop._repr_mimebundle_(), run._repr_mimebundle_()

    assert "seed [task]" in stack_drawn["text/plain"]
    assert stack_drawn["image/svg+xml"].startswith("<svg")
    assert "data:image/svg+xml" in stack_drawn["text/html"]
    assert "api-1" in run_drawn["text/plain"]
    assert 'data-state="completed"' in run_drawn["text/html"]
