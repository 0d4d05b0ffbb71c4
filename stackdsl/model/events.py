"""Events: what happened in a run, numbered, in order."""

from typing import Literal

from stackdsl.model import times
from stackdsl.model.data import dataclass

EventKind = Literal["service-changed", "log", "probe", "step", "link", "host", "run", "gap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened. ``time_ns`` is nanoseconds since the epoch. ``subject`` is a
    replica, step, link, host or the run. ``details`` holds what only some kinds have, JSON-able."""

    seq: int
    time_ns: int
    kind: EventKind
    subject: str
    was: str | None = None
    state: str | None = None
    reason: str = ""
    details: tuple[tuple[str, object], ...] = ()

    @property
    def time(self) -> str:
        """When it happened: RFC 3339 UTC."""
        return times.format_time(self.time_ns)
