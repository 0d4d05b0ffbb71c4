"""Tells people of changes of state as they happen, line by line."""

import asyncio
from collections.abc import Callable

from stackdsl.model import events, plans
from stackdsl.views import eventlines, lines

# Steps of ours that may take minutes, and how often people are told how far they are.
_LONG = "image:"
_TELL_EVERY_S = 3.0


class Changes:
    """Takes the events of a run; ``tell`` shows a line."""

    def __init__(self, plan: plans.Plan, tell: Callable[[str], None], paint: lines.Paint) -> None:
        self._services = {one.name: one for one in plan.services}
        self._tell = tell
        self._paint = paint
        self._prefixes = lines.Prefixes([one.name for one in plan.services], paint)
        self._began_s: dict[str, float] = {}
        self._works: dict[str, tuple[float, float]] = {}
        self._seen_seq = 0
        self._is_over = False
        self._moved = asyncio.Event()
        self.took_s: dict[str, float] = {}

    def take(self, event: events.Event) -> None:
        """Take one event in, and tell of it if it is one for people."""
        self._seen_seq = event.seq
        self._moved.set()
        match event.kind:
            case "service-changed":
                self._take_change(event)
            case "step" if event.subject.startswith(_LONG):
                self._take_step(event)
            case "host" if event.state not in ("connected", None):
                mark = self._paint("✘", "red")
                self._tell(f"{mark} host {event.subject}: {event.reason or event.state}")

    def _take_step(self, event: events.Event) -> None:
        """Tell of work that may take minutes: how far it is, now and then, and that it is done."""
        kind, _, subject = event.subject.partition(":")
        now_s = event.time_ns / 1e9
        began_s, told_s = self._works.get(event.subject, (now_s, 0.0))
        if event.state == "begun":
            if event.was == "begun" and now_s - told_s >= _TELL_EVERY_S:
                told_s = now_s
                mark = self._paint("◌", "yellow")
                self._tell(f"{mark} {kind} {subject}: {lines.tame_first(event.reason)}")
            self._works[event.subject] = (began_s, told_s)
        elif self._works.pop(event.subject, None) is not None and told_s and event.state == "done":
            mark = self._paint("✔", "green")
            took = lines.say_duration(now_s - began_s)
            self._tell(f"{mark} {kind} {subject}: there after {took}")

    def _take_change(self, event: events.Event) -> None:
        name, state = event.subject, event.state or ""
        now_s = event.time_ns / 1e9
        if state in ("starting", "running"):
            self._began_s.setdefault(name, now_s)
        if state in ("ready", "completed") and name in self._began_s:
            self.took_s[name] = now_s - self._began_s.pop(name)
        self._tell(
            eventlines.format_change(
                event,
                self._paint,
                prefix=self._prefixes[name],
                addresses=self._addresses_of(name),
            )
        )

    def _addresses_of(self, name: str) -> str:
        planned = self._services.get(name)
        if planned is None:
            return ""
        return ", ".join(
            (f"{port.scheme}://" if port.scheme else "") + f"{port.host}:{port.told_port}"
            for port in planned.ports
        )

    def end(self) -> None:
        """Take note that no more events will come."""
        self._is_over = True
        self._moved.set()

    async def wait_until(self, seq: int, timeout_s: float = 1.0) -> None:
        """Wait until event ``seq`` was taken in, so that its line stands before what follows; not
        for long: lines of output have numbers too, and are not among the events taken."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._seen_seq < seq and not self._is_over:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return
