"""One start of a replica, to its end: made ready to start, started, probed, watched, ended.

Laws: whatever interrupts (an exit, a wish, a deadline) ends the wait that is under way, never a
step half done; everything that was opened for the start is given back with it.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Collection
from typing import Literal, Protocol

from stackdsl.model import errors, probes, specs, states
from stackdsl.node import (
    attaching,
    ending,
    ends,
    explaining,
    files,
    hooking,
    keeping,
    launches,
    listening,
    outputs,
    owning,
    probing,
    processes,
    proctable,
    surroundings,
)

_LINES = 20
_OUTPUT_LIMIT_BYTES = 64 * 1024


class Tell(Protocol):
    """Takes the states of a start: the replica reports and journals them."""

    def __call__(self, state: states.State, reason: str = "") -> None:
        """Take one."""


class Attempt:
    """One start. ``process`` and ``offsets`` are set before `run` when an earlier node made it."""

    def __init__(
        self, spec: specs.ServiceSpec, around: surroundings.Surroundings, tell: Tell
    ) -> None:
        self.spec = spec
        self.process: processes.Process | None = None
        self.offsets = (0, 0)
        self._around = around
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._scope: asyncio.Timeout | None = None
        self._wish: ends.Wish | None = None
        self._ending: ending.Ending | None = None
        self._output: outputs.Output | None = None
        self._trials: list[probing.Trial] = []
        self._subject = probing.Subject(name=spec.name, since=self._loop.time())
        self._ready_at: float | None = None
        self._early: ends.End | None = None

    @property
    def pid(self) -> int | None:
        """The pid of its main process while that lives."""
        return None if self.process is None or self.process.has_ended else self.process.pid

    @property
    def is_attached(self) -> bool:
        """Whether someone else started it: it is never signalled."""
        return self.spec.attach_pid is not None or self.spec.attach_process is not None

    def wish(self, wish: ends.Wish) -> None:
        """Ask for its end; a second wish can only hurry it."""
        if self._wish is None or wish.kind == "stop":
            self._wish = wish
        if wish.at_once and self._ending is not None:
            self._ending.hurry()
        self._interrupt()

    def note_exit(self) -> None:
        """Take note that its process has ended."""
        if self._ending is not None:
            self._ending.note_exit()
        self._interrupt()

    async def run(self, *, is_ready: bool = False) -> ends.End:
        """Start it, or take up the process that lives (``is_ready``: as a ready one); return how
        it ended."""
        try:
            if self.process is not None:
                self._take_up()
            else:
                if await self._guard(self._prepare, None) == "interrupted":
                    return self._end_wished()
                if self._early is not None:
                    return self._early
                self._spawn()
            if self.spec.kind == "task":
                return await self._live_as_task()
            return await self._live(is_ready=is_ready)
        except errors.ServiceError as error:
            return await self._end_refused(error)
        finally:
            self._close()

    # --- before ---------------------------------------------------------------------------------

    def _take_up(self) -> None:
        """Get hold again of what an earlier node had opened for this start."""
        if not self.is_attached:
            keeper, folder = self._around.keeper, self._around.folder
            self._output = outputs.resume_output(keeper, self.spec, folder)
            self._make_subject()

    async def _prepare(self) -> None:
        if self.is_attached:
            return
        if not self.spec.argv:
            raise errors.ServiceError(
                "start.no-command", "it has no command", do="return one from its body"
            )
        files.prepare(self.spec)
        self._output = outputs.open_output(self._around.keeper, self.spec, self._around.folder)
        self.offsets = self._output.offsets
        self._make_subject()
        await self._run_hook("before_start")
        if self.spec.done is None:
            return
        trial = self._trial(self.spec.done)
        if await trial.once():
            return
        self._tell("running")
        self._early = ends.End(
            state="completed",
            exit_code=0,
            reason=f"already done: {trial.check.label}",
            output=self._read_output(),
        )

    def _make_subject(self) -> None:
        spec, around, subject = self.spec, self._around, self._subject
        launch = around.launch_of(spec)
        if any(isinstance(check.probe, probes.Notify) for check in (*spec.ready, *spec.live)):
            subject.notices = around.open_notices(spec)
            launch = launches.with_env(launch, {"NOTIFY_SOCKET": subject.notices.address})
        subject.launch = launch
        subject.find_stranger = self._find_stranger
        subject.logs = tuple(zip(around.log_paths(spec.name), self.offsets, strict=True))

    async def _run_hook(self, name: str, timeout_s: float | None = None) -> None:
        limit_s = self.spec.start_timeout_s if timeout_s is None else timeout_s
        await hooking.run_hook(name, self.spec, self._around, self._subject.launch, limit_s)

    def _find_stranger(self, inodes: Collection[int]) -> str:
        return owning.find_stranger(inodes, self.pid, self.spec.name, self._around.families)

    def _trial(self, check: specs.Check) -> probing.Trial:
        return probing.Trial(prober=self._around.prober, check=check, subject=self._subject)

    # --- its life -------------------------------------------------------------------------------

    def _spawn(self) -> None:
        self._subject.since = self._loop.time()
        if self.is_attached:
            self.process = attaching.attach(self.spec, self._around.spawner, self.note_exit)
        else:
            assert self._output is not None
            assert self._subject.launch is not None
            launch = self._output.dress(self._subject.launch)
            self.process = self._around.spawn(self.spec, launch, self.note_exit)
            self._output.release()
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
                return await self._give_up(*self._explain_unready())
            if outcome == "interrupted":
                return await self._conclude()
        self._ready_at = self._loop.time()
        self._tell("ready", self._status())
        if self._subject.notices is not None:
            self._subject.notices.on_change = self._note_notice
        vigil = keeping.Vigil(
            self._around.prober,
            self._subject,
            lambda is_ok, seen: self._tell("ready" if is_ok else "unready", seen),
            lambda reason: self.wish(ends.Wish(kind="fail", reason=reason)),
        )
        await self._guard(lambda: vigil.keep(self.spec), None)
        return await self._conclude()

    def _note_notice(self) -> None:
        notices = self._subject.notices
        if notices is not None and notices.is_stopping and self._wish is None:
            self._tell("unready", notices.status or "it says that it is stopping")

    async def _become_ready(self) -> None:
        self._trials = [self._trial(check) for check in self.spec.ready]
        if len(self._trials) == 1:
            await self._trials[0].wait()
        elif self._trials:
            async with asyncio.TaskGroup() as group:
                for trial in self._trials:
                    group.create_task(trial.wait(), name=f"wait for {trial.check.label}")
        await self._run_hook("after_ready")

    def _explain_unready(self) -> tuple[str, str]:
        pids = [] if self.pid is None else [self.pid]
        pids += proctable.descendants(pids) + self._around.families.rest(self.spec.name)
        own = listening.listeners_of(self._around.prober.looker, pids)
        return explaining.explain_unready(self.spec, self._trials, own)

    # --- its end --------------------------------------------------------------------------------

    async def _conclude(self) -> ends.End:
        """End it as was wished, or take note that it ended by itself."""
        if self._wish is not None:
            return await self._stop(self._wish)
        assert self.process is not None
        code = self.process.exit_code
        if self._output is not None:
            await self._output.drain()
        is_early = self.spec.kind == "service" and self._ready_at is None
        if code == 0 and not is_early:
            return ends.End(
                state="completed",
                exit_code=0,
                reason=self._status(),
                output=self._read_output(),
                ready_for_s=self._ready_for_s(),
            )
        how = ends.describe_exit(code) + (" before it was ready" if is_early else "")
        do = ""
        if code == 0:
            do = "keep it in the foreground, or mend what makes it end; a one-shot is a task"
        end = self._failed(how, exit_code=code, do=do)
        await self._end_processes(ends.Wish(kind="fail", is_bare=True))
        return end

    async def _stop(self, wish: ends.Wish) -> ends.End:
        if wish.kind == "stop":
            self._tell("stopping", wish.reason)
        failed = self._failed(wish.reason) if wish.kind == "fail" else None
        await self._end_processes(wish)
        code = None if self.process is None else self.process.exit_code
        if failed is None or (self._wish is not None and self._wish.kind != "fail"):
            return self._end_wished(code)
        return failed

    async def _give_up(self, reason: str, do: str) -> ends.End:
        """End a start that took too long."""
        end = self._failed(reason, do=do)
        self._wish = ends.Wish(kind="fail", reason=reason)
        await self._end_processes(self._wish)
        return end if self._wish.kind == "fail" else self._end_wished()

    async def _end_refused(self, error: errors.ServiceError) -> ends.End:
        """End a start that a step of ours failed in; what runs by then must not stay."""
        is_hopeless = error.code.startswith("start.")
        end = self._failed(error.what, why=error.why, do=error.do, is_hopeless=is_hopeless)
        if self.process is not None:
            await self._end_processes(ends.Wish(kind="fail"))
        return end

    def _end_wished(self, code: int | None = None) -> ends.End:
        assert self._wish is not None
        return ends.of_wish(self._wish, code)

    async def _end_processes(self, wish: ends.Wish) -> None:
        """Let everything that the start brought about be gone."""
        spec = self.spec
        if self.is_attached:
            if self.process is not None:
                self.process.release()
            return
        timeout_s = spec.stop_timeout_s
        if wish.limit_s is not None:
            timeout_s = min(timeout_s, wish.limit_s)
        self._ending = ending.Ending(self._around.families, spec.name, self.process)
        self._ending.is_hurried = wish.at_once
        begun = self._loop.time()
        is_running = self.pid is not None and not wish.at_once and not wish.is_bare
        if is_running:
            await self._before_stop(timeout_s)
        command = self._ask_by_command if is_running and spec.stop_command is not None else None
        number = spec.stop_signal if self.pid is not None else signal.SIGTERM
        left_s = max(0.0, timeout_s - (self._loop.time() - begun))
        await self._ending.end(number, left_s, command)

    async def _before_stop(self, timeout_s: float) -> None:
        try:
            await self._run_hook("before_stop", timeout_s)
        except errors.ServiceError as error:
            self._around.trouble("hook-failed", f'"{self.spec.name}": {error.what}')

    async def _ask_by_command(self) -> None:
        launch = self._subject.launch
        assert launch is not None
        did = await hooking.run_stop_command(self.spec, self._around, launch, self.pid or 0)
        if not did and self.process is not None:
            self.process.signal_group(self.spec.stop_signal)

    def _failed(
        self,
        reason: str,
        *,
        exit_code: int | None = None,
        why: str = "",
        do: str = "",
        is_hopeless: bool = False,
    ) -> ends.End:
        lines = () if self.is_attached else self._around.keeper.tail(self.spec.name, _LINES)
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
        self, work: Callable[[], Awaitable[None]], limit_s: float | None
    ) -> Literal["done", "late", "interrupted"]:
        """Do ``work`` until it is done, time is up, or something interrupts."""
        if self._is_interrupted:
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
    def _is_interrupted(self) -> bool:
        return self._wish is not None or (self.process is not None and self.process.has_ended)

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
            self.spec.name, "out", self.offsets[0], _OUTPUT_LIMIT_BYTES
        )
        return data.decode(errors="replace").removesuffix("\n")

    def _close(self) -> None:
        if self._output is not None:
            self._output.close()
        if self._subject.notices is not None:
            self._subject.notices.close()


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()
