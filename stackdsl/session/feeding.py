"""What a view that stays open needs of a run: its states and its output as they come, in batches.

Everything is read in the background loop, so that neither the run nor the view holds up the other.
Laws: a view is told at most ten times a second; of a flood of output the last lines are kept.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
from collections.abc import Callable
from dataclasses import replace

from stackdsl.model import errors, plans, states
from stackdsl.model.data import dataclass
from stackdsl.session import bridging, handles, outputs

PAUSE_S = 0.1
_FLOOD_PAUSE_S = 0.15
_FLOOD_LINES = 200
_PENDING_LINES_MAX = 5_000
_OVER: frozenset[str] = frozenset({"stopping", "stopped"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What is new: the status (None: no state has changed), the plan (None: the same), output in
    order. ``is_over``: the run has ended, or is lost for ``reason``; there is no other update."""

    status: states.RunStatus | None = None
    plan: plans.Plan | None = None
    lines: tuple[outputs.Lines, ...] = ()
    is_over: bool = False
    reason: str = ""


class Feed:
    """Tells ``take`` of a run's states and output until the run ends or `close` is called.

    ``take`` is called in the background loop's thread and must not wait. ``tail`` lines of what
    each replica wrote before come first.
    """

    def __init__(
        self, held: handles.Held, take: Callable[[Update], None], *, tail: int = 200
    ) -> None:
        self._held = held
        self._take = take
        self._tail = tail
        self._reader = outputs.open_reader(held.folder)
        self._wake = asyncio.Event()
        self._pending: collections.deque[outputs.Lines] = collections.deque()
        self._pending_count = 0
        self._stale = asyncio.Event()
        self._stale.set()
        self._is_over = False
        self._run_state: str | None = None
        self._last: states.RunStatus | None = None
        self._work: concurrent.futures.Future[None] | None = None

    async def look(self) -> Update:
        """Return how the run is now, for a view that is to begin with something; runs in the
        background loop."""
        update = await self._gather()
        self._stale.set()
        return update

    def open(self) -> None:
        """Begin to tell; the first update comes at once."""
        self._work = bridging.begin(self._follow())
        self._work.add_done_callback(self._tell_fault)

    def close(self) -> None:
        """End telling; may be called from any thread, and again."""
        if self._work is not None:
            self._work.cancel()

    def _tell_fault(self, work: "concurrent.futures.Future[None]") -> None:
        """Tell the view why it will hear nothing more, if that is a fault."""
        error = None if work.cancelled() else work.exception()
        if error is not None:
            self._take(Update(is_over=True, reason=f"cannot follow the run: {error}"))

    async def _follow(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_states(), name="watch states")
            watching = group.create_task(self._watch_output(), name="watch output")
            await self._tell()
            watching.cancel()

    async def _watch_states(self) -> None:
        """Note that something changed; what it is like then, the status says."""
        self._wake.set()
        try:
            now = await self._held.control.status()
            async for event in self._held.control.events(now.seq, False):
                if event.kind == "run":
                    self._run_state = event.state
                self._stale.set()
                self._wake.set()
        except errors.StackError:  # the connection is lost, which the status will tell
            pass
        finally:
            self._is_over = True
            self._stale.set()
            self._reader.stop()
            self._wake.set()

    async def _watch_output(self) -> None:
        try:
            async for some in outputs.follow_lines(
                self._reader, self._held.secrets, tail=self._tail
            ):
                self._keep(some)
        except OSError as error:  # a limit on watches or open files: the states are still told
            self._keep(
                outputs.Lines(
                    name="stackdsl", stream="err", time_ns=0, lines=(f"output unread: {error}",)
                )
            )

    def _keep(self, some: outputs.Lines) -> None:
        self._pending.append(some)
        self._pending_count += len(some.lines)
        while self._pending_count > _PENDING_LINES_MAX and len(self._pending) > 1:
            self._pending_count -= len(self._pending.popleft().lines)
        self._wake.set()

    async def _tell(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            count = self._pending_count
            update = await self._gather()
            self._take(update)
            if update.is_over:
                return
            await asyncio.sleep(PAUSE_S)
            if count > _FLOOD_LINES:  # output may wait longer; states may not
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_FLOOD_PAUSE_S):
                        await self._stale.wait()

    async def _gather(self) -> Update:
        some, self._pending_count = tuple(self._pending), 0
        self._pending.clear()
        if not self._stale.is_set():
            return Update(lines=some)
        is_over, last = self._is_over, self._last
        self._stale.clear()
        try:
            status = self._last = await self._held.control.status()
            is_same = last is not None and _places(last) == _places(status)
            plan = None if is_same else await self._held.control.plan()
        except errors.StackError as error:
            return self._say_lost(some, error)
        is_ended = is_over or status.state == "stopped"
        return Update(status=status, plan=plan, lines=some, is_over=is_ended)

    def _say_lost(self, some: tuple[outputs.Lines, ...], error: errors.StackError) -> Update:
        """Say whether the run ended before its controller could tell, or the controller alone."""
        last = self._last
        if last is None or not {self._run_state, last.state} & _OVER:
            return Update(lines=some, is_over=True, reason=error.what)
        return Update(status=end_of(last), lines=some, is_over=True)


def _places(status: states.RunStatus) -> list[tuple[str, object]]:
    return [(one.name, one.addresses) for one in status.services]


def end_of(status: states.RunStatus) -> states.RunStatus:
    """Return the status of a run as it is once it has ended."""
    services = tuple(
        one if one.state in states.ENDED else replace(one, state="stopped", pid=None)
        for one in status.services
    )
    return replace(status, state="stopped", services=services)
