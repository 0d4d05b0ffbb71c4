"""One start of a replica, to its end: made ready to start, started, probed, watched, ended.

Laws: whatever interrupts (an exit, a wish, a deadline) ends the wait that is under way, never a
step half done; everything that was opened for the start is given back with it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

from stackdsl.model import errors, facts, specs, states
from stackdsl.node import (
    drivers,
    driving,
    ends,
    explaining,
    hooking,
    keeping,
    probing,
    surroundings,
)

_LINES = 20
_OUTPUT_LIMIT_BYTES = 64 * 1024
# Most programs listen sooner; some open another port first.
_ELSEWHERE_AFTER_S = 1.0
_ELSEWHERE_EVERY_S = 4.0
# What is asked before a container is there is asked in another one, which takes its time.
_ASIDE_S = 10.0


class Tell(Protocol):
    """Takes the states of a start: the replica reports and journals them."""

    def __call__(self, state: states.State, reason: str = "") -> None:
        """Take one."""


class Attempt:
    """One start. Its driver holds what an earlier node started, if it is told so before `run`."""

    def __init__(
        self, spec: specs.ServiceSpec, around: surroundings.Surroundings, tell: Tell
    ) -> None:
        self.spec = spec
        self.driver: drivers.Driver = driving.make(spec, around, self)
        self._around = around
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._scope: asyncio.Timeout | None = None
        self._wish: ends.Wish | None = None
        self._trials: list[probing.Trial] = []
        self._subject = probing.Subject(name=spec.name, since=self._loop.time())
        self._ready_at: float | None = None
        self._early: ends.End | None = None
        self._looking: asyncio.Task[None] | None = None
        self._trouble = ""
        self._missed = ""
        self._stuck = ""
        self._is_there = False
        self._is_standing = False

    def take_spec(self, spec: specs.ServiceSpec) -> None:
        """Use this spec from now on."""
        self.spec = self.driver.spec = spec

    def wish(self, wish: ends.Wish) -> None:
        """Ask for its end; a second wish can only hurry it."""
        if self._wish is None or wish.kind == "stop":
            self._wish = wish
        if wish.at_once:
            self.driver.hurry()
        self._interrupt()

    def note_exit(self) -> None:
        """See `drivers.Told`."""
        self._interrupt()

    def note_trouble(self, reason: str) -> None:
        """See `drivers.Told`."""
        if reason == self._trouble:
            return
        self._trouble = reason
        self._tell_health()

    async def run(self, *, is_ready: bool = False) -> ends.End:
        """Start it, or take up what is held (``is_ready``: as a ready one); return how it ended."""
        end = await self._run(is_ready=is_ready)
        if not self._stuck:
            return end
        return ends.End(
            state="failed",
            reason=self._stuck,
            do="start the engine, then stop it again; `stackdsl clean` removes what is left",
            is_hopeless=True,
            is_stuck=True,
        )

    async def _run(self, *, is_ready: bool) -> ends.End:
        try:
            self._is_standing = is_ready
            if self.driver.is_held:
                outcome = await self._guard(self._take_up, None, is_begun=True)
                if outcome == "interrupted" and self._wish is not None:
                    return await self._conclude()
            if not self._is_there:
                is_ready = self._is_standing = False
                if await self._guard(self._prepare, None) == "interrupted":
                    return self._end_wished()
                if self._early is not None:
                    return self._early
                await self._start()
            if self.spec.kind == "task":
                return await self._live_as_task()
            return await self._live(is_ready=is_ready)
        except errors.ServiceError as error:
            return await self._end_refused(error)
        finally:
            self._close()

    # --- before ---------------------------------------------------------------------------------

    async def _take_up(self) -> None:
        self._is_there = await self.driver.take_up(self._subject)

    async def _prepare(self) -> None:
        await self.driver.prepare(self._subject)
        if self.driver.is_foreign:
            return
        await self._run_hook("before_start")
        if self.spec.done is None:
            return
        trial = self._trial(self.spec.done)
        if self.spec.container is not None:
            trial.extra_s = _ASIDE_S
        if await trial.once():
            return
        self._tell("running")
        self._early = ends.End(
            state="completed",
            exit_code=0,
            reason=f"already done: {trial.check.label}",
            output=self._read_output(),
        )

    async def _run_hook(self, name: str, timeout_s: float | None = None) -> None:
        limit_s = self.spec.start_timeout_s if timeout_s is None else timeout_s
        await hooking.run_hook(name, self.driver, limit_s)

    def _trial(self, check: specs.Check) -> probing.Trial:
        return probing.Trial(prober=self._around.prober, check=check, subject=self._subject)

    # --- its life -------------------------------------------------------------------------------

    async def _start(self) -> None:
        self._subject.since = self._loop.time()
        await self.driver.start()
        self._tell("running" if self.spec.kind == "task" else "starting")

    async def _live_as_task(self) -> ends.End:
        limit_s = None if self.spec.is_debugged else self.spec.timeout_s
        if await self._guard(_for_ever, limit_s) == "late":
            return await self._give_up(f"not completed within {limit_s:g} s", "")
        return await self._conclude()

    async def _live(self, *, is_ready: bool) -> ends.End:
        if not is_ready:
            limit_s = None if self.spec.is_debugged else self.spec.start_timeout_s
            outcome = await self._guard(self._become_ready, limit_s)
            if outcome == "late":
                return await self._give_up(*await self._explain_unready())
            if outcome == "interrupted":
                return await self._conclude()
        self._ready_at = self._loop.time()
        self._tell_health(is_new=True)
        if self._subject.notices is not None:
            self._subject.notices.on_change = self._note_notice
        vigil = keeping.Vigil(
            self._around.prober,
            self._subject,
            self._note_health,
            lambda reason: self.wish(ends.Wish(kind="fail", reason=reason)),
        )
        await self._guard(lambda: vigil.keep(self.spec), None)
        return await self._conclude()

    def _note_health(self, is_ok: bool, seen: str) -> None:
        self._missed = "" if is_ok else seen
        self._tell_health()

    def _tell_health(self, *, is_new: bool = False) -> None:
        """Tell whether it is ready: its probes succeed, and it can be known."""
        if not (self._is_standing or self._ready_at) or (self._wish is not None and not is_new):
            return
        bad = self._trouble or self._missed
        self._tell("unready" if bad else "ready", bad or (self._status() if is_new else ""))

    def _note_notice(self) -> None:
        notices = self._subject.notices
        if notices is not None and notices.is_stopping and self._wish is None:
            self._tell("unready", notices.status or "it says that it is stopping")

    async def _become_ready(self) -> None:
        self._trials = [self._trial(check) for check in self.spec.ready]
        timer = self._loop.call_later(_ELSEWHERE_AFTER_S, self._begin_looking)
        try:
            if len(self._trials) == 1:
                await self._trials[0].wait()
            elif self._trials:
                async with asyncio.TaskGroup() as group:
                    for trial in self._trials:
                        group.create_task(trial.wait(), name=f"wait for {trial.check.label}")
        finally:
            timer.cancel()
            if self._looking is not None:
                self._looking.cancel()
        await self._run_hook("after_ready")

    def _begin_looking(self) -> None:
        # No group: most starts are over by then, and it ends with the wait that it goes beside.
        self._looking = self._loop.create_task(
            self._look_elsewhere(), name=f"look where {self.spec.name} listens"
        )

    async def _look_elsewhere(self) -> None:
        """Tell while it starts if it listens elsewhere than where it is probed."""
        told, pause_s = "", _ELSEWHERE_AFTER_S
        while True:
            try:
                _, own = await self.driver.look()
            except (errors.StackError, OSError):
                own = ()  # nothing can be seen of it now
            seen = explaining.say_elsewhere(self._trials, own)
            if seen != told:
                told = seen
                self._tell("starting", seen)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _ELSEWHERE_EVERY_S)

    async def _explain_unready(self) -> tuple[str, str]:
        _, own = await self.driver.look()
        return explaining.explain_unready(self.spec, self._trials, own)

    def explain_waiting(self, listeners: Sequence[facts.Listener]) -> tuple[str, str]:
        """Return why it is not ready yet and what to do about it; ("", "") unless its probes are
        being tried. ``listeners`` are its own sockets."""
        if self._ready_at is not None or self._is_standing or not self._trials:
            return "", ""
        waited_s = round(self._loop.time() - self._subject.since, 1)
        return explaining.explain_unready(self.spec, self._trials, listeners, waited_s)

    # --- its end --------------------------------------------------------------------------------

    async def _conclude(self) -> ends.End:
        """End it as was wished, or take note that it ended by itself."""
        if self._wish is not None:
            return await self._stop(self._wish)
        code = self.driver.exit_code
        await self.driver.drain()
        is_early = self.spec.kind == "service" and self._ready_at is None
        if is_early and code == 0 and not self._has_more_to_show:
            self._tell("ready")
            is_early = False
        if code == 0 and not is_early:
            return ends.End(
                state="completed",
                exit_code=0,
                reason=self._status(),
                output=self._read_output(),
                ready_for_s=self._ready_for_s(),
            )
        how = self.driver.how_ended or ends.describe_exit(code)
        how += " before it was ready" if is_early else ""
        do = ""
        if code == 0:
            do = "keep it in the foreground, or mend what makes it end; a one-shot is a task"
        end = self._failed(how, exit_code=code, do=do)
        await self._end(ends.Wish(kind="fail", is_bare=True))
        return end

    async def _stop(self, wish: ends.Wish) -> ends.End:
        if wish.kind == "stop":
            self._tell("stopping", wish.reason)
        failed = self._failed(wish.reason) if wish.kind == "fail" else None
        await self._end(wish)
        code = self.driver.exit_code
        if failed is None or (self._wish is not None and self._wish.kind != "fail"):
            return self._end_wished(code)
        return failed

    async def _give_up(self, reason: str, do: str) -> ends.End:
        """End a start that took too long."""
        end = self._failed(reason, do=do)
        self._wish = ends.Wish(kind="fail", reason=reason)
        await self._end(self._wish)
        return end if self._wish.kind == "fail" else self._end_wished()

    async def _end_refused(self, error: errors.ServiceError) -> ends.End:
        """End a start that a step of ours failed in; what runs by then must not stay."""
        is_hopeless = error.code.startswith("start.")
        end = self._failed(error.what, why=error.why, do=error.do, is_hopeless=is_hopeless)
        if self.driver.has_started:
            await self._end(ends.Wish(kind="fail"))
        return end

    def _end_wished(self, code: int | None = None) -> ends.End:
        assert self._wish is not None
        return ends.of_wish(self._wish, code)

    async def _end(self, wish: ends.Wish) -> None:
        """Let everything that the start brought about be gone."""
        spec, driver = self.spec, self.driver
        timeout_s = spec.stop_timeout_s
        if wish.limit_s is not None:
            timeout_s = min(timeout_s, wish.limit_s)
        begun = self._loop.time()
        is_asked = not (wish.at_once or wish.is_bare or driver.is_foreign)
        is_running = is_asked and driver.has_started and not driver.has_ended
        if is_running:
            await self._before_stop(timeout_s)
        command = self._ask_by_command if is_running and spec.stop_command is not None else None
        left_s = max(0.0, timeout_s - (self._loop.time() - begun))
        self._stuck = await driver.end(left_s, command)

    async def _before_stop(self, timeout_s: float) -> None:
        try:
            await self._run_hook("before_stop", timeout_s)
        except errors.ServiceError as error:
            self._around.trouble("hook-failed", f'"{self.spec.name}": {error.what}')

    async def _ask_by_command(self) -> None:
        if not await hooking.run_stop_command(self.driver, self._around):
            self.driver.signal(self.spec.stop_signal)

    def _failed(
        self,
        reason: str,
        *,
        exit_code: int | None = None,
        why: str = "",
        do: str = "",
        is_hopeless: bool = False,
    ) -> ends.End:
        lines = self._around.keeper.tail(self.spec.name, _LINES)
        return ends.End(
            state="failed",
            exit_code=exit_code,
            reason=reason,
            why=why,
            do=do,
            lines=lines,
            is_hopeless=is_hopeless,
            ready_for_s=self._ready_for_s(),
        )

    # --- small things ---------------------------------------------------------------------------

    async def _guard(
        self,
        work: Callable[[], Awaitable[None]],
        limit_s: float | None,
        *,
        is_begun: bool = False,
    ) -> Literal["done", "late", "interrupted"]:
        """Do ``work`` until it is done, time is up, or something interrupts; what has interrupted
        before counts only if ``is_begun`` is not set."""
        if self._is_interrupted and not is_begun:
            return "interrupted"
        scope = asyncio.timeout(limit_s)
        try:
            async with scope:
                self._scope = scope
                await work()
        except TimeoutError:
            if not scope.expired():
                raise
            return "interrupted" if self._is_interrupted else "late"
        finally:
            self._scope = None
        return "interrupted" if self._is_interrupted else "done"

    @property
    def _has_more_to_show(self) -> bool:
        """Whether it takes more to be ready than to have been started, however soon it ended."""
        return bool(self.spec.ready) or any(name == "after_ready" for name, _ in self.spec.hooks)

    @property
    def _is_interrupted(self) -> bool:
        return self._wish is not None or self.driver.has_ended

    def _interrupt(self) -> None:
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(self._loop.time())

    def _status(self) -> str:
        return self._subject.notices.status if self._subject.notices is not None else ""

    def _ready_for_s(self) -> float:
        return 0.0 if self._ready_at is None else self._loop.time() - self._ready_at

    def _read_output(self) -> str | None:
        if not self.spec.output_wanted:
            return None
        data = self._around.keeper.read_from(
            self.spec.name, "out", self.driver.offsets[0], _OUTPUT_LIMIT_BYTES
        )
        return data.decode(errors="replace").removesuffix("\n")

    def _close(self) -> None:
        self.driver.close()
        if self._subject.notices is not None:
            self._subject.notices.close()


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()
