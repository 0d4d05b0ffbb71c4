"""A run as a live view knows it: its replicas, what they wait for, their newest lines.

It is fed with events, a status and lines of output, and knows neither clock nor terminal.
"""

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from stackdsl.model import events, plans, states
from stackdsl.views import lines, livewaits, statuses

LINES_KEPT = 300
LAST_LINES_KEPT = 8
OURS = ""


@dataclass(slots=True, kw_only=True)
class Row:
    """What is known of one replica (mutable; the view's own). ``since_s`` is seconds of the wall
    clock. ``last_lines`` are of its output, newest last, ``unfinished`` is one that has no end yet;
    ``failure`` are those that its failure had."""

    name: str
    target: str = ""
    addresses: str = ""
    where: str = ""
    state: str = "waiting"
    since_s: float = 0.0
    restarts: int = 0
    exit_code: int | None = None
    reason: str = ""
    probe: str = ""
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES_KEPT))
    unfinished: str = ""
    failure: tuple[str, ...] = ()

    @property
    def last_line(self) -> str:
        """What it wrote last."""
        return self.unfinished or (self.last_lines[-1] if self.last_lines else "")


class LiveRun:
    """One run; ``run_state`` is the run's, ``since_s`` when that view of it began."""

    def __init__(self, plan: plans.Plan, *, began_s: float) -> None:
        self.run = plan.run
        self.run_state = "starting"
        self.began_s = began_s
        self.ready_s: float | None = None
        self.note = ""
        self.is_stale = False
        self._is_first_start = True
        self.lines: deque[tuple[str, str]] = deque(maxlen=LINES_KEPT)
        self.rows: dict[str, Row] = {}
        self.take_plan(plan)

    def take_plan(self, plan: plans.Plan) -> None:
        """Take a plan in: replicas that are known keep what is known of them."""
        known, self.rows = self.rows, {}
        for planned in sorted(plan.services, key=_order):
            row = known.get(planned.name) or Row(name=planned.name, since_s=self.began_s)
            row.target, row.where = planned.target, planned.where
            row.addresses = _say_addresses(plan, planned)
            self.rows[planned.name] = row
        self.waits = livewaits.Waits(plan, self._state_of)
        self.is_stale = False

    def _state_of(self, name: str) -> str:
        row = self.rows.get(name)
        return row.state if row is not None else ""

    def take_status(self, status: states.RunStatus) -> None:
        """Take a whole status in."""
        self.run_state = status.state
        self._is_first_start = self._is_first_start and status.state == "starting"
        for one in status.services:
            row = self.rows.get(one.name)
            if row is None:
                self.is_stale = True
                continue
            row.state, row.reason, row.restarts = one.state, one.reason, one.restarts
            row.exit_code = one.exit_code
            row.since_s = datetime.fromisoformat(one.since).timestamp() if one.since else 0.0

    def take(self, event: events.Event) -> None:
        """Take one event in; afterwards ``is_stale`` tells that the plan has changed."""
        match event.kind:
            case "service-changed":
                self._take_change(event)
            case "probe":
                self._take_probe(event)
            case "step":
                self.waits.take(event.subject, was=event.was, state=event.state, text=event.reason)
                self.is_stale = self.is_stale or not self.waits.knows(event.subject)
            case "run" if event.state is not None:
                self.run_state = event.state
                if event.state == "ready" and self._is_first_start:
                    self.ready_s, self._is_first_start = event.time_ns / 1e9, False
            case "host" if event.state != "connected":
                self.tell(f"host {event.subject}: {event.reason or event.state}")

    def _take_change(self, event: events.Event) -> None:
        row = self.rows.get(event.subject)
        if row is None:
            self.is_stale = True
            return
        details = dict(event.details)
        row.state, row.reason = event.state or "", event.reason
        row.since_s = event.time_ns / 1e9
        row.probe = ""
        restarts, code = details.get("restarts"), details.get("exit_code")
        row.restarts = restarts if isinstance(restarts, int) else row.restarts
        row.exit_code = code if isinstance(code, int) else None
        written = details.get("lines")
        row.failure = tuple(map(str, written)) if isinstance(written, tuple | list) else ()
        if row.state in ("failed", "restarting", "unready"):
            self.tell(f"{row.name} {row.state}" + (f": {row.reason}" if row.reason else ""))

    def _take_probe(self, event: events.Event) -> None:
        row = self.rows.get(event.subject)
        if row is None:
            return
        details = dict(event.details)
        if event.state == "ok":
            row.probe = ""
            return
        tries = details.get("tries")
        row.probe = f"{details.get('probe', '')} {event.reason}".strip()
        if isinstance(tries, int) and tries > 1:
            row.probe += f", {tries} tries"

    def take_end(self) -> None:
        """Take note that the run is gone, whoever ended it: nothing of it lives."""
        self.run_state = "stopped"
        for row in self.rows.values():
            if row.state in states.ALIVE:
                row.state, row.reason = "stopped", ""

    def tell(self, text: str) -> None:
        """Put a line of our own among the lines of output."""
        self.lines.append((OURS, lines.tame_first(text)))

    def take_lines(self, written: Iterable[tuple[str, str]]) -> None:
        """Take lines of output in: (replica, line), oldest first."""
        for name, line in written:
            self.lines.append((name, line))
            row = self.rows.get(name)
            if row is not None and line.strip():
                row.last_lines.append(line)

    def take_unfinished(self, written: Mapping[str, str]) -> None:
        """Take in the lines that have no end yet, by replica: all that there are."""
        for row in self.rows.values():
            row.unfinished = written.get(row.name, "")


def count_states(rows: Iterable[Row]) -> dict[str, int]:
    """Return how many rows are in each state, the most pressing state first."""
    counted: dict[str, int] = {}
    for row in sort_rows(rows):
        counted[row.state] = counted.get(row.state, 0) + 1
    return counted


_PRESSING = (
    "failed", "restarting", "unready", "starting", "running", "stopping", "waiting", "ready",
    "completed", "stopped",
)  # fmt: skip


def sort_rows(rows: Iterable[Row]) -> Sequence[Row]:
    """Return rows with what is to be looked at first."""
    rank = {state: at for at, state in enumerate(_PRESSING)}
    return sorted(rows, key=lambda row: rank.get(row.state, 0))


def _order(planned: plans.PlannedService) -> tuple[object, ...]:
    """Return what the rows stand in the order of: what starts first; "b-2" before "b-10"."""
    parts = re.split(r"(\d+)", planned.name)
    return planned.stage, [int(part) if part.isdigit() else part for part in parts]


def _say_addresses(plan: plans.Plan, planned: plans.PlannedService) -> str:
    own = [
        (f"{port.scheme}://" if port.scheme else "") + f"{port.host}:{port.told_port}"
        for port in planned.ports
    ]
    # what its author published is for people: first, where not all have room
    return ", ".join((*statuses.find_published(plan, planned), *own))
