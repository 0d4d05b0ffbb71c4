"""What is known of each replica now: states, reasons, and who waits for them to change."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from stackdsl.model import errors, plans, states, times
from stackdsl.run import timeline

REPORT_TIMEOUT_S = 2.0


@dataclass(slots=True, kw_only=True)
class Replica:
    """What is known of one replica now (mutable; the engine's own)."""

    planned: plans.PlannedService
    state: states.State = "waiting"
    pid: int | None = None
    container: str | None = None
    exit_code: int | None = None
    restarts: int = 0
    since_ns: int = 0
    reason: str = ""
    is_final: bool = False
    was_ready: bool = False
    has_started: bool = False
    home: str = ""  # the host on which it was started last
    lines: tuple[str, ...] = ()
    why: str = ""
    do: str = ""
    output: str = ""
    probe: str = ""
    last_end: str = ""

    @property
    def is_external(self) -> bool:
        """Whether nothing is started for it."""
        return self.planned.target.startswith("external ")


class Ledger:
    """The replicas of a run by name. Every change of state is an event and wakes who waits."""

    def __init__(
        self,
        events: timeline.Timeline,
        *,
        clock_ns: Callable[[], int],
        on_change: Callable[[], None],
    ) -> None:
        self._events = events
        self._clock_ns = clock_ns
        self._on_change = on_change
        self._watchers: set[asyncio.Future[None]] = set()
        self._failed: set[str] = set()
        self.replicas: dict[str, Replica] = {}

    def take(self, planned: plans.PlannedService) -> None:
        """Put a replica in, or give a known one its new plan; its state stays."""
        known = self.replicas.get(planned.name)
        if known is None:
            self.replicas[planned.name] = Replica(planned=planned, since_ns=self._clock_ns())
        else:
            known.planned = planned

    def drop(self, names: Sequence[str]) -> None:
        """Forget replicas that are no longer in the plan."""
        for name in names:
            self.replicas.pop(name, None)
            self._failed.discard(name)

    def observed(self) -> tuple[plans.Observed, ...]:
        """Return what stands, for the planner."""
        return tuple(
            plans.Observed(
                name=name,
                kind=replica.planned.kind,
                state=replica.state,
                digest=replica.planned.digest,
                host=replica.planned.host,
            )
            for name, replica in sorted(self.replicas.items())
            if replica.state != "waiting"
        )

    def keep_waiting(self, steps: Iterable[plans.Step], failed: str) -> None:
        """Let the replicas that these steps would start say what failed that they wait for."""
        names = {step.subject for step in steps if step.kind in ("start", "task")} - {failed}
        for replica in (self.replicas[name] for name in sorted(names & self.replicas.keys())):
            if replica.state == "waiting":
                self.set_state(replica, "waiting", reason=f"{failed} failed")

    def set_state(
        self,
        replica: Replica,
        state: states.State,
        *,
        reason: str,
        is_final: bool = False,
        time_ns: int | None = None,
    ) -> None:
        """Bring a replica into a state; ``is_final``: nothing more will happen to it."""
        was = replica.state
        replica.state = state
        replica.reason = reason
        replica.is_final = is_final
        (self._failed.add if state == "failed" else self._failed.discard)(replica.planned.name)
        if state == was and state not in ("restarting", "starting"):
            self._on_change()
            return
        replica.since_ns = self._clock_ns() if time_ns is None else time_ns
        planned = replica.planned
        details: dict[str, object] = {
            "service": planned.service,
            "index": planned.index,
            "kind_of_service": planned.kind,
            "pid": replica.pid,
            "exit_code": replica.exit_code,
            "restarts": replica.restarts,
        }
        if replica.lines:
            details["lines"] = replica.lines
        self._events.emit(
            "service-changed",
            planned.name,
            was=was,
            state=state,
            reason=reason,
            details=details,
            time_ns=time_ns,
        )
        self.wake_watchers()
        self._on_change()

    def fail(self, replica: Replica, error: errors.StackError) -> None:
        """Let a replica have failed for good, with an error of ours; secrets are masked."""
        hide = self._events.hide
        replica.why, replica.do = hide(error.why), hide(error.do)
        replica.lines = tuple(map(hide, error.lines))
        self.set_state(replica, "failed", reason=hide(error.what), is_final=True)

    async def await_ended(self, names: Sequence[str]) -> None:
        """Wait for the reports of stopped replicas, not for long: a late one would be taken for
        news of the start that may follow."""
        stopped = [self.replicas[name] for name in names]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REPORT_TIMEOUT_S):
                while any(replica.state not in states.ENDED for replica in stopped):
                    await self.changed()

    def wake_watchers(self) -> None:
        """Let everyone who waits for what `changed` returned look again."""
        watchers, self._watchers = self._watchers, set()
        for future in watchers:
            if not future.done():
                future.set_result(None)

    def changed(self) -> asyncio.Future[None]:
        """Return what is done at the next change of any state, from this call on.

        No coroutine: one that is handed to a task begins a turn of the loop later, and what changed
        meanwhile would never be told.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers.add(future)
        future.add_done_callback(self._watchers.discard)
        return future

    def failed_for_good(self) -> list[Replica]:
        """Return the replicas that failed and will not be started again, by name."""
        # asked at every change of state: nothing is gone through while all goes well
        failed = [self.replicas[name] for name in sorted(self._failed)]
        return [replica for replica in failed if replica.is_final]

    def is_all_completed(self) -> bool:
        """Whether nothing is left that could still do something."""
        mine = [replica for replica in self.replicas.values() if not replica.is_external]
        return bool(mine) and all(replica.state == "completed" for replica in mine)

    def is_settled(self) -> bool:
        """Whether every service is ready or completed and every task completed."""
        return all(replica.state in ("ready", "completed") for replica in self.replicas.values())


def stopped_error(replica: Replica) -> errors.ServiceError:
    """Return the error for whoever waits for a replica that was stopped."""
    name = replica.planned.name
    return errors.ServiceError(
        "run.stopped",
        f'cannot wait for "{name}": it was stopped',
        where=replica.planned.where,
        do=f"start it again: stackdsl start {name}",
    )


def failure_of(replica: Replica, run: str) -> errors.ServiceError:
    """Return the error that says why a replica of a run failed."""
    planned = replica.planned
    logs = f"stackdsl logs {run} {planned.name}"
    verb = "complete task" if planned.kind == "task" else "run service"
    return errors.ServiceError(
        "run.task-failed" if planned.kind == "task" else "run.service-failed",
        f'cannot {verb} "{planned.name}": {replica.reason or "it failed"}',
        where=planned.where,
        why=replica.why or (replica.probe and f"last probe: {replica.probe}"),
        do=replica.do or f"read its output: {logs}; then mend the command or its needs",
        lines=replica.lines,
    )


def service_status(replica: Replica) -> states.ServiceStatus:
    """Return one replica's status."""
    planned = replica.planned
    return states.ServiceStatus(
        name=planned.name,
        kind=planned.kind,
        service=planned.service,
        index=planned.index,
        state=replica.state,
        host=planned.host,
        target=planned.target,
        pid=replica.pid if replica.state in states.ALIVE else None,
        container=replica.container,
        addresses=tuple((p.name, f"{p.host}:{p.told_port}") for p in planned.ports),
        restarts=replica.restarts,
        since=times.format_time(replica.since_ns),
        exit_code=replica.exit_code,
        reason=replica.reason,
    )
