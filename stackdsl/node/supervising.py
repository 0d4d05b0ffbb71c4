"""One replica for as long as it is wanted: starts follow starts as its restart policy says.

Laws: one coroutine owns a replica's state; everyone else only wishes. States are journalled and
reported in the order in which they came.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from stackdsl.model import errors, facts, reports, specs, states
from stackdsl.node import (
    attempting,
    drivers,
    driving,
    ends,
    journal,
    restarting,
    surroundings,
)


class Replica:
    """A replica and its life on this machine."""

    def __init__(self, spec: specs.ServiceSpec, around: surroundings.Surroundings) -> None:
        self.spec = spec
        self.state: states.State = "waiting"
        self.restarts = 0
        self.exit_code: int | None = None
        self.reason = ""
        self._around = around
        self._attempt: attempting.Attempt | None = None
        self._was_ready = False
        self._first_delay_s: float | None = None
        self._wish: ends.Wish | None = None
        self._nap: asyncio.Timeout | None = None
        self._ended = asyncio.Event()
        self._begun_anew = asyncio.Event()
        self._patience = self._make_patience()
        self.on_start: Callable[[str], None] = _pass_over
        self.on_settled: Callable[[str], None] = _pass_over
        self.on_ended: Callable[[], object] = lambda: None

    def _make_patience(self) -> restarting.Patience:
        policy = self.spec.restart
        if self.spec.kind == "task":
            policy = restarting.policy_of_task(policy, self.spec.retries)
        return restarting.Patience(policy)

    # --- what others ask ------------------------------------------------------------------------

    @property
    def is_alive(self) -> bool:
        """Whether a life is under way, between starts included."""
        return not self._ended.is_set()

    @property
    def pid(self) -> int | None:
        """The pid of its main process while that lives."""
        return None if self._attempt is None else self._attempt.driver.pid

    def take_spec(self, spec: specs.ServiceSpec) -> None:
        """Use this spec from now on; the process that runs stays."""
        self.spec = spec
        self._patience = self._make_patience()
        if self._attempt is not None:
            self._attempt.take_spec(spec)

    def take_image(self, image: specs.Image) -> None:
        """Run this image from its next start on."""
        assert self.spec.container is not None
        self.take_spec(replace(self.spec, container=replace(self.spec.container, image=image)))

    def tell_aside(self, error: errors.StackError) -> None:
        """Tell of what has failed beside it, while it goes on as it is."""
        if self.is_alive:
            self.reason = error.what
            self._report(lines=tuple(error.lines), why=error.why, do=error.do)

    def revive(self) -> None:
        """Get ready for another life after the last one has ended."""
        self._ended.clear()
        self._begun_anew.clear()
        self._wish = None
        self._was_ready = False
        self.exit_code = None
        self._patience = self._make_patience()

    def adopt(self, row: journal.Row) -> None:
        """Take up what an earlier node started.

        Raises:
            ProcessLookupError: it has just ended.
        """
        attempt = attempting.Attempt(self.spec, self._around, self._tell)
        attempt.driver.hold(row)
        self._attempt = attempt
        self.state, self.reason, self.restarts = row.state, row.reason, row.restarts
        self._was_ready = row.state in ("ready", "unready")
        if row.state == "stopping":
            self.wish(ends.Wish(kind="stop", reason=row.reason))

    def resume(self, row: journal.Row) -> bool:
        """Go on after a process that ended while nobody watched; return whether that is wanted.

        How it ended cannot be known: it counts as a failure.
        """
        self.state, self.reason, self.restarts = row.state, row.reason, row.restarts
        if row.state == "stopping":
            return False
        end = _lost()
        delay_s = self._patience.next_delay_s(has_failed=True)
        if delay_s is None:
            return False
        self._first_delay_s = delay_s
        self._count_restart(end, delay_s)
        return True

    def lose(self, row: journal.Row) -> None:
        """Take note that it ended while nobody watched, and is not started again."""
        self.restarts = row.restarts
        stopped = ends.End(state="stopped")
        self._finish(stopped if row.state == "stopping" else _lost())
        self._ended.set()
        self._begun_anew.set()

    def recall(self, row: journal.Row) -> None:
        """Remember how a life ended that an earlier node watched."""
        self.state, self.exit_code, self.reason = row.state, row.exit_code, row.reason
        self.restarts = row.restarts
        self._ended.set()
        self._begun_anew.set()
        if row.state == "completed":
            self._report(is_final=True, output=row.output)

    def wish(self, wish: ends.Wish) -> None:
        """Ask for its end or restart; nothing happens when it has ended."""
        if not self.is_alive:
            return
        self._wish = wish
        if wish.kind == "restart":
            self._begun_anew.clear()
        if self._attempt is not None:
            self._attempt.wish(wish)
        if self._nap is not None and not self._nap.expired():
            self._nap.reschedule(asyncio.get_running_loop().time())

    async def wait_ended(self) -> None:
        """Return when its life is over."""
        await self._ended.wait()

    async def wait_anew(self) -> None:
        """Return when it was started again after a wish to restart, or ended instead."""
        await self._begun_anew.wait()

    async def clear_rest(self, *, at_once: bool) -> None:
        """End what an ended life left behind in the background."""
        await driving.clear_rest(self.spec, self._around, at_once=at_once)

    @property
    def driver(self) -> drivers.Driver:
        """What drives it: the start under way, or one for commands beside what has ended."""
        if self._attempt is not None:
            return self._attempt.driver
        return attempting.Attempt(self.spec, self._around, self._tell).driver

    def explain_waiting(self, listeners: Sequence[facts.Listener]) -> tuple[str, str]:
        """Return why the start under way is not ready yet, and what to do; else ("", "")."""
        return ("", "") if self._attempt is None else self._attempt.explain_waiting(listeners)

    # --- its life -------------------------------------------------------------------------------

    async def live(self) -> None:
        """Live until nothing more is to be started."""
        try:
            delay_s, self._first_delay_s = self._first_delay_s, None
            if delay_s is not None and await self._sleep(delay_s):
                return
            while not await self._live_once():
                pass
        except Exception as error:  # noqa: BLE001  # around one step: one's fault is not its neighbours'
            detail = f"{type(error).__name__}: {error}"
            self._finish(
                ends.End(
                    state="failed", reason=f"stackdsl has a bug: {detail}", is_hopeless=True,
                    do="please report it",
                )
            )  # fmt: skip
            self._around.trouble("internal", f'"{self.spec.name}": {detail}')
        finally:
            self.on_ended()
            self._ended.set()
            self._begun_anew.set()

    async def _live_once(self) -> bool:
        """Start once, see it to its end; return whether that was the last one."""
        attempt = self._attempt
        is_ready, self._was_ready = self._was_ready, False
        if attempt is None:
            if self._is_called_off():
                return True
            attempt = self._attempt = attempting.Attempt(self.spec, self._around, self._tell)
        end = await attempt.run(is_ready=is_ready)
        self._attempt = None
        wish, self._wish = self._wish, None
        if end.state == "restart":
            self._count_restart(end, 0.0)
            return False
        if wish is not None and wish.kind == "stop" and not end.is_stuck:
            self._finish(ends.End(state="stopped", exit_code=end.exit_code, reason=wish.reason))
            return True
        if wish is not None and wish.kind == "restart" and not end.is_stuck:
            # It ended by itself while it was being asked to.
            self._count_restart(ends.of_wish(wish, end.exit_code), 0.0)
            return False
        delay_s = None
        if end.state != "stopped" and not end.is_hopeless:
            delay_s = self._patience.next_delay_s(
                has_failed=end.state == "failed", ready_for_s=end.ready_for_s
            )
        if delay_s is None or (end.state == "completed" and self.spec.kind == "task"):
            self._finish(self._give_up(end))
            return True
        self._count_restart(end, delay_s)
        return await self._sleep(delay_s)

    def _give_up(self, end: ends.End) -> ends.End:
        """Say so where no patience is left; what was always to run has failed then."""
        if self.spec.kind == "task" or not self._patience.is_spent or end.is_hopeless:
            return end
        reason = end.reason or ends.describe_exit(end.exit_code)
        return replace(
            end,
            state="failed",
            reason=f"{reason}; not again ({self._patience.describe()} restarts in a row)",
            do=end.do or "mend what makes it end, or give it more patience: Restart(max=…)",
        )

    def _count_restart(self, end: ends.End, delay_s: float) -> None:
        self.restarts += 1
        reason = end.reason or ends.describe_exit(end.exit_code)
        if delay_s:
            reason = f"{reason}; again in {delay_s:g} s ({self._patience.describe()})"
        self.exit_code = end.exit_code
        self._tell("restarting", reason, lines=end.lines)

    async def _sleep(self, delay_s: float) -> bool:
        """Wait for the next start; return whether it was called off."""
        try:
            async with asyncio.timeout(delay_s) as self._nap:
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            pass
        finally:
            self._nap = None
        return self._is_called_off()

    def _is_called_off(self) -> bool:
        """Return whether it is to stop before it is started; it has stopped then."""
        wish, self._wish = self._wish, None
        if wish is None or wish.kind != "stop":
            return False
        self._finish(ends.End(state="stopped", reason=wish.reason))
        return True

    def _finish(self, end: ends.End) -> None:
        assert end.state != "restart"
        self.exit_code = end.exit_code
        self._tell(
            end.state,
            end.reason,
            is_final=True,
            lines=end.lines,
            output=end.output,
            why=end.why,
            do=end.do,
        )

    # --- telling --------------------------------------------------------------------------------

    def _tell(self, state: states.State, reason: str = "", **more: Any) -> None:
        self.state, self.reason = state, reason
        if state in ("starting", "restarting", "running"):
            self.on_start(self.spec.name)
        elif state == "ready" or state in states.ENDED:
            self.on_settled(self.spec.name)
        attempt = self._attempt
        driver = attempt.driver if attempt is not None else None
        fields: dict[str, object] = {"state": state, "reason": reason}
        if state in ("starting", "running") and driver is not None and driver.has_started:
            self.exit_code = None
            fields.update(driver.marks())
            self._begun_anew.set()
        elif state in ("restarting", *states.ENDED):
            fields["pid"] = None
        fields["exit_code"] = self.exit_code
        fields["restarts"] = self.restarts
        if more.get("output") is not None:
            fields["output"] = more["output"]
        self._around.journal.note(self.spec.name, **fields)
        self._report(**more)

    def _report(self, **more: Any) -> None:
        self._around.report(
            reports.StateReport(
                name=self.spec.name,
                state=self.state,
                time_ns=time.time_ns(),
                pid=self.pid,
                exit_code=self.exit_code,
                reason=self.reason,
                restarts=self.restarts,
                container=None if self._attempt is None else self._attempt.driver.container,
                **more,
            )
        )


def _pass_over(_name: str) -> None:
    """Take no notice."""


def _lost() -> ends.End:
    return ends.End(
        state="failed",
        reason="ended while nobody watched it; its exit status cannot be known",
        do="read its output, then start it again",
    )


def unknown(name: str, known: list[str]) -> errors.UsageError:
    """Return that a run has no such replica on this machine."""
    import difflib  # only for people, after a mistake

    near = difflib.get_close_matches(name, known, n=1)
    return errors.UsageError(
        "usage.unknown-service",
        f'cannot find "{name}": the run has no such replica on this machine',
        why=f"it has {', '.join(known) or 'none'}",
        do=f'did you mean "{near[0]}"?' if near else "look at `stackdsl status`",
    )
