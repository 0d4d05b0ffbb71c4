"""The panel: a living run in a notebook, with its states, its output and buttons to act on it.

Everything is done and followed in the background loop, so that cells stay free, and the panel goes
on while a cell is busy.
"""

import asyncio
import concurrent.futures
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any

import ipywidgets as widgets  # type: ignore[import-untyped]  # it has no types

from stackdsl.model import errors, plans, states
from stackdsl.notebook import logpanes, tables
from stackdsl.session import bridging, feeding, handles, masking, runs
from stackdsl.views import lines, markup, statuses

_STYLE = (
    markup.STYLE
    + """<style>
.sd-panel { border: 1px solid var(--jp-border-color2, var(--vscode-panel-border, #d0d7de));
  border-radius: 6px; padding: 10px 12px; }
.sd-panel .widget-html, .sd-panel .widget-html-content { line-height: 20px; height: auto; }
.sd-panel .sd-sticky { position: sticky; top: 0; z-index: 1; }
.sd-panel .sd-output { flex-direction: column-reverse; display: flex; padding: 6px 8px;
  border: 1px solid var(--jp-border-color2, var(--vscode-panel-border, #d0d7de));
  border-radius: 4px; }
.sd-panel .widget-html-content { width: 100%; }
</style>"""
)


class Panel(widgets.VBox):  # type: ignore[misc]  # it has no types
    """A run to look at and to act on; made by `control`.

    There may be several of one run. `close` takes it away; the run goes on. Where widgets are not
    drawn, its text is the table of the states.
    """

    def __init__(self, held: handles.Held) -> None:
        self._held = held
        self._mask = masking.make_mask(held.secrets)
        self._lock = threading.RLock()
        self._status: states.RunStatus | None = None
        self._plan: plans.Plan | None = None
        self._over: str | None = None
        self._busy: dict[str, str] = {}
        self._head = widgets.HTML(layout=widgets.Layout(flex="1 1 auto"))
        self._table = tables.ServiceTable()
        self._chosen = widgets.Dropdown(layout=widgets.Layout(width="200px"))
        self._start = _button("Start", "play", "success", "Start it, and what it needs")
        self._stop = _button("Stop", "stop", "", "Stop it, and nothing else")
        self._restart = _button("Restart", "refresh", "", "Stop it and start it again")
        self._end = _button(
            "Stop run", "power-off", "danger", "End the run: everything in it stops"
        )
        self._message = widgets.HTML(layout=widgets.Layout(flex="1 1 auto", margin="2px 8px"))
        self._problem = widgets.HTML()
        self._output = logpanes.LogPane(self._lock)
        actions = [self._chosen, self._start, self._stop, self._restart, self._message]
        wide = widgets.Layout(width="100%", align_items="center")
        apart = widgets.Layout(width="100%", align_items="center", margin="8px 0 6px")
        super().__init__(
            children=[
                widgets.HTML(_STYLE, layout=widgets.Layout(display="none")),
                widgets.HBox([self._head, self._end], layout=wide),
                self._table,
                widgets.HBox(actions, layout=apart),
                self._problem,
                self._output,
            ],
            layout=widgets.Layout(width="100%"),
        )
        for kind in ("sd", "sd-panel"):
            self.add_class(kind)
        self._chosen.observe(self._offer, names="value")
        for verb, button in (
            ("start", self._start),
            ("stop", self._stop),
            ("restart", self._restart),
        ):
            button.on_click(partial(self._act, verb))
        self._end.on_click(self._end_run)
        self._feed = feeding.Feed(held, _weakly(self._take))

    def open_feed(self) -> None:
        """Show how the run is now, then what becomes of it."""
        first = bridging.call(self._feed.look())
        self._take(first)
        if self._over is None:
            self._feed.open()

    def close(self) -> None:
        """Take the panel away; the run goes on."""
        feed = getattr(self, "_feed", None)  # called by the garbage collector too, however far
        if feed is not None:  # its making got
            feed.close()
            for part in _parts_of(self):
                part.close()
        super().close()

    def __repr__(self) -> str:
        status = self._status
        if status is None:
            return f'panel of run "{self._held.run}": {self._over or "nothing is known yet"}'
        text = statuses.format_status(
            status, lines.Paint(False), now=datetime.now(UTC), plan=self._plan
        )
        return text.rstrip()

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        drawn = dict(super()._repr_mimebundle_(**options) or {})
        if self._status is not None:
            drawn["text/html"] = markup.status_html(self._status, now=_now(), plan=self._plan)
        return {**drawn, "text/plain": repr(self)}

    # --- showing: in the background loop's thread, and at clicks in the kernel's ----------------

    def _take(self, update: feeding.Update) -> None:
        with self._lock:
            if update.status is not None:
                self._status = update.status
            self._plan = update.plan or self._plan
            if update.is_over:
                self._over = update.reason or "the run has ended"
            self._show()
            self._output.add(update.lines)

    def _show(self) -> None:
        status, now = self._status, _now()
        if status is None:
            status = states.RunStatus(run=self._held.run, stack="", state="stopped", since="")
        self._head.value = markup.head_html(status, now=now, note=self._over or "")
        self._table.show(status, self._plan, now)
        names = _list_choices(status)
        if tuple(self._chosen.options) != tuple(names):
            was, known = self._chosen.value, [name for _, name in names]
            self._chosen.options = names
            self._chosen.value = was if was in known else next(iter(known), None)
            self._output.name_services([one.name for one in status.services])
        self._offer()

    def _offer(self, _change: object = None) -> None:
        """Have those buttons on that would do something to what is chosen."""
        with self._lock:
            services = self._status.services if self._status is not None else ()
            name = self._chosen.value
            mine = [one for one in services if name in (one.name, one.service) and one.host]
            is_off = self._over is not None or name in self._busy
            is_alive = any(one.state in states.ALIVE for one in mine)
            is_down = any(one.state not in states.ALIVE for one in mine)
            is_task = any(one.kind == "task" for one in mine)
            self._start.disabled = is_off or not is_down
            self._stop.disabled = is_off or not is_alive
            self._restart.disabled = is_off or not is_alive or is_task
            is_ending = self._held.run in self._busy or _state_of(self._status) == "stopping"
            self._end.disabled = self._over is not None or is_ending
            self._chosen.disabled = self._over is not None

    # --- acting ---------------------------------------------------------------------------------

    def _act(self, verb: str, _button: object) -> None:
        name = self._chosen.value
        if not name or name in self._busy or self._over is not None:
            return
        control = self._held.control
        mine = [one for one in self._status.services if name == one.name] if self._status else []
        works: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "start": lambda: control.start_services([name]),
            "stop": lambda: control.stop_services([name]),
            "restart": lambda: control.restart_services([name]),
        }
        if verb == "start" and any(one.kind == "task" for one in mine):
            works["start"] = lambda: control.do_task(name)
        self._begin(verb, name, works[verb]())

    def _end_run(self, _button: object) -> None:
        if self._over is None and self._held.run not in self._busy:
            self._begin("stop", self._held.run, self._held.stop())

    def _begin(self, verb: str, name: str, work: Coroutine[Any, Any, object]) -> None:
        """Have something done in the background; what came of it is shown."""
        with self._lock:
            self._busy[name] = verb
            self._message.value = markup.note_html(f"{_DOING[verb]} {name} …")
            self._problem.value = ""
            self._offer()
        done = bridging.begin(work)
        done.add_done_callback(partial(self._tell_end, verb, name, time.monotonic()))

    def _tell_end(
        self, verb: str, name: str, since_s: float, done: "concurrent.futures.Future[object]"
    ) -> None:
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        took = lines.say_duration(time.monotonic() - since_s)
        with self._lock:
            self._busy.pop(name, None)
            self._message.value = markup.note_html(
                f"{_DONE[verb]} {name} in {took}" if error is None else f"cannot {verb} {name}",
                is_problem=error is not None,
            )
            if error is not None:
                self._problem.value = markup.problem_html(self._mask(_say(error)))
            self._offer()


_DOING = {"start": "starting", "stop": "stopping", "restart": "restarting"}
_DONE = {"start": "started", "stop": "stopped", "restart": "restarted"}


def open_panel(run: "runs.Run | runs.AsyncRun") -> Panel:
    """Return the panel of a run, filled with how it is now.

    Raises:
        UsageError: it is no run.
    """
    if not isinstance(run, runs.Run | runs.AsyncRun):
        raise errors.UsageError(
            "usage.call",
            f"cannot draw the panel of a {type(run).__name__}: it is no run",
            do='start the stack (run = await stack.start()) or take a living run: attach("shop")',
        )
    panel = Panel(runs.held_by(run))
    panel.open_feed()
    return panel


def _button(text: str, icon: str, style: str, tooltip: str) -> Any:
    layout = widgets.Layout(width="100px", flex="0 0 auto")
    return widgets.Button(
        description=text, icon=icon, button_style=style, tooltip=tooltip, layout=layout
    )


def _parts_of(box: Any) -> list[Any]:
    """Return all widgets inside a widget."""
    found = list(getattr(box, "children", ()))
    for one in tuple(found):
        found += _parts_of(one)
    return found


def _weakly(take: Callable[[feeding.Update], None]) -> Callable[[feeding.Update], None]:
    """Return a call that does not keep the panel alive."""
    reference = weakref.WeakMethod(take)

    def pass_on(update: feeding.Update) -> None:
        living = reference()
        if living is not None:
            living(update)

    return pass_on


def _list_choices(status: states.RunStatus) -> list[tuple[str, str]]:
    """Return what may be chosen to act on: services, and the replicas of those with several."""
    counts: dict[str, int] = {}
    for one in status.services:
        counts[one.service] = counts.get(one.service, 0) + 1
    choices: dict[str, str] = {}
    for one in status.services:
        if counts[one.service] > 1:
            choices.setdefault(one.service, f"{one.service} (all {counts[one.service]})")
        choices.setdefault(one.name, one.name)
    return [(label, name) for name, label in choices.items()]


def _state_of(status: states.RunStatus | None) -> str | None:
    return None if status is None else status.state


def _say(error: BaseException) -> str:
    if isinstance(error, errors.StackError):
        return error.text()
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _now() -> datetime:
    return datetime.now(UTC).astimezone()
