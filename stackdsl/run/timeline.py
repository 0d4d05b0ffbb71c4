"""One ordered timeline of events per run, with a bounded window that readers go on from.

Emitting never waits. Inside the window no reader loses anything; beyond it, it is told of the gap
and gets a snapshot.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping

from stackdsl.model import events

# Readers take together what comes together, after who emits has gone on with more urgent things.
_GATHER_S = 0.001
_SHORT = frozenset((int, float, bool, type(None)))
WINDOW_EVENTS = 20_000
WINDOW_BYTES = 16 * 1024 * 1024


class Timeline:
    """Events in order. ``snapshot`` returns what a reader must know after a gap, JSON-able;
    ``mask`` hides secrets in texts (None: there are none) and may be changed."""

    def __init__(
        self,
        *,
        snapshot: Callable[[], object] | None = None,
        mask: Callable[[str], str] | None = None,
        window_events: int = WINDOW_EVENTS,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        self._window: deque[events.Event] = deque()
        self._costs: deque[int] = deque()
        self._held_bytes = 0
        self._window_events = window_events
        self._window_bytes = window_bytes
        self._snapshot = snapshot
        self.mask = mask
        self._waiters: list[asyncio.Future[None]] = []
        self._is_closed = False
        self._is_waking = False
        self.last_seq = 0

    def emit(
        self,
        kind: events.EventKind,
        subject: str,
        *,
        was: str | None = None,
        state: str | None = None,
        reason: str = "",
        details: Mapping[str, object] | None = None,
        time_ns: int | None = None,
    ) -> events.Event:
        """Append an event and wake the readers; never waits."""
        self.last_seq += 1
        event = events.Event(
            seq=self.last_seq,
            time_ns=time.time_ns() if time_ns is None else time_ns,
            kind=kind,
            subject=subject,
            was=was,
            state=state,
            reason=self.hide(reason),
            details=self._masked(details or {}),
        )
        cost = 300 + sum(len(str(value)) for _, value in event.details if _is_long(value))
        self._window.append(event)
        self._costs.append(cost)
        self._held_bytes += cost
        while len(self._window) > self._window_events or (
            self._held_bytes > self._window_bytes and len(self._window) > 1
        ):
            self._window.popleft()
            self._held_bytes -= self._costs.popleft()
        if kind == "run":
            self._wake()  # who shows it asks for the run as it is now
        elif self._waiters and not self._is_waking:
            self._is_waking = True
            self._waiters[0].get_loop().call_later(_GATHER_S, self._wake)
        return event

    def hide(self, text: str) -> str:
        """Return a text with secrets masked."""
        return self.mask(text) if self.mask else text

    def _masked(self, details: Mapping[str, object]) -> tuple[tuple[str, object], ...]:
        if self.mask is None:
            return tuple(details.items())
        mask = self.mask

        def hide(value: object) -> object:
            if isinstance(value, str):
                return mask(value)
            if isinstance(value, tuple | list):
                return tuple(hide(item) for item in value)
            return value

        return tuple((key, hide(value)) for key, value in details.items())

    def close(self) -> None:
        """End every reader once it has read what there is."""
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        self._is_waking = False
        waiters, self._waiters = self._waiters, []
        for future in waiters:
            if not future.done():
                future.set_result(None)

    async def read(self, since: int | None = None) -> AsyncIterator[events.Event]:
        """Yield events after number ``since`` (None: from now on) until the timeline closes."""
        position = self.last_seq if since is None else since
        while True:
            oldest = self._window[0].seq if self._window else self.last_seq + 1
            if position > self.last_seq:
                # a number of an earlier controller, or of another run: nothing of it is kept here
                begun = f"event {position} is not of this controller: numbers began anew"
                for event in self._tell_gap(begun, position, oldest):
                    yield event
                position = oldest - 1
            elif position + 1 < oldest:
                lost = f"events {position + 1} to {oldest - 1} are no longer kept"
                for event in self._tell_gap(lost, position + 1, oldest):
                    yield event
                position = oldest - 1
            while position < self.last_seq:
                start = self._window[0].seq if self._window else position + 1
                if position + 1 < start:
                    break
                event = self._window[position + 1 - start]
                position = event.seq
                yield event
            if position < self.last_seq:
                continue
            if self._is_closed:
                return
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(future)
            await future

    def _tell_gap(self, reason: str, first: int, oldest: int) -> tuple[events.Event, ...]:
        now_ns = time.time_ns()
        gap = events.Event(
            seq=oldest - 1,
            time_ns=now_ns,
            kind="gap",
            subject="events",
            reason=reason,
            details=(("from", first), ("to", oldest - 1)),
        )
        if self._snapshot is None:
            return (gap,)
        shot = events.Event(
            seq=oldest - 1,
            time_ns=now_ns,
            kind="run",
            subject="snapshot",
            details=(("snapshot", self._snapshot()),),
        )
        return (gap, shot)


def _is_long(value: object) -> bool:
    """Whether a detail counts for how much is held; most are names and numbers."""
    return value.__class__ not in _SHORT and not (isinstance(value, str) and len(value) < 100)
