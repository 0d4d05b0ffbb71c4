"""Events: what happened in a run, numbered, in order."""

from dataclasses import dataclass
from typing import Literal

EventKind = Literal["service-changed", "log", "probe", "step", "link", "host", "run", "gap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened. ``time`` is RFC 3339 UTC. ``subject`` is a replica, step, link,
    host or the run. ``details`` holds what only some kinds have, JSON-able."""

    seq: int
    time: str
    kind: EventKind
    subject: str
    was: str | None = None
    state: str | None = None
    reason: str = ""
    details: tuple[tuple[str, object], ...] = ()
