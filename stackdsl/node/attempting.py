"""One start of a replica, to its end: made ready to start, started, probed, watched, ended.

Laws: whatever interrupts (an exit, a wish, a deadline) ends the wait that is under way, never a
step half done; everything that was opened for the start is given back with it.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from stackdsl.model import errors, probes, specs, states
from stackdsl.node import (
    ending,
    executing,
    files,
    launches,
    listening,
    outputs,
    probing,
    processes,
    proctable,
    surroundings,
    targets,
)

_LINES = 20
_OUTPUT_LIMIT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What someone wants of a replica that lives. ``limit_s`` caps the stop timeout, ``is_bare``
    leaves hooks and stop commands out (both when the controller is gone)."""

    kind: Literal["stop", "restart", "fail"]
    reason: str = ""
    at_once: bool = False
    limit_s: float | None = None
    is_bare: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a start ended. ``is_hopeless``: another start could not fare better. ``ready_for_s``:
    how long it had been ready."""

    state: Literal["completed", "failed", "stopped", "restart"]
    exit_code: int | None = None
    reason: str = ""
    why: str = ""
    do: str = ""
    lines: tuple[str, ...] = ()
    output: str | None = None
    is_hopeless: bool = False
    ready_for_s: float = 0.0


class Tell(Protocol):
    """Takes the states of a start: the replica reports and journals them."""

    def __call__(self, state: states.State, reason: str = "") -> None:
        """Take one."""


class Attempt:
    """One start. ``process`` and ``was_ready`` are given when an earlier node started it."""

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
        self._wish: Wish | None = None
        self._ending: ending.Ending | None = None
        self._output: outputs.Output | None = None
        self._trials: list[probing.Trial] = []
        self._subject = probing.Subject(name=spec.name, since=self._loop.time())
        self._bad: dict[int, str] = {}
        self._ready_at: float | None = None
        self._early: End | None = None

    @property
    def pid(self) -> int | None:
        """The pid of its main process while that lives."""
        return None if self.process is None or self.process.has_ended else self.process.pid

    @property
    def is_attached(self) -> bool:
        """Whether someone else started it: it is never signalled."""
        return self.spec.attach_pid is not None or self.spec.attach_process is not None

    def wish(self, wish: Wish) -> None:
        """Ask for its end; a second wish can only hurry it."""
        if self._wish is None or wish.kind == "stop":
            self._wish = wish
        if wish.at_once and self._ending is not None:
            self._ending.hurry()
        self._interrupt()

    async def run(self, adopted: processes.Process | None = None, *, is_ready: bool = False) -> End:
        """Start it, or take up one that lives; return how it ended."""
        try:
            if adopted is not None:
                self.process = adopted
                self._take_up()
                return await self._live(is_ready=is_ready)
            if await self._guard(self._prepare, None) == "interrupted":
                return self._end_wished()
            if self._early is not None:
                return self._early
            self._spawn()
            return await self._live(is_ready=False)
        except errors.ServiceError as error:
            return self._failed(
                error.what, why=error.why, do=error.do, is_hopeless=error.code.startswith("start.")
            )
        finally:
            self._close()

    # --- before ---------------------------------------------------------------------------------

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
        await self._run_hook("before_start", self.spec.start_timeout_s)
        if self.spec.done is None:
            return
        trial = probing.Trial(
            prober=self._around.prober, check=self.spec.done, subject=self._subject
        )
        if await trial.once():
            return
        self._tell("running")
        self._early = End(
            state="completed", exit_code=0, reason=f"already done: {trial.check.label}",
            output=self._read_output(),
        )  # fmt: skip

    def _make_subject(self) -> None:
        spec, around = self.spec, self._around
        launch = around.launch_of(spec)
        checks = (*spec.ready, *spec.live)
        if any(isinstance(check.probe, probes.Notify) for check in checks):
            self._subject.notices = around.open_notices(spec)
            launch = launches.with_env(launch, {"NOTIFY_SOCKET": self._subject.notices.address})
        self._subject.launch = launch
        self._subject.logs = tuple(zip(around.log_paths(spec.name), self.offsets, strict=True))

    async def _run_hook(self, name: str, timeout_s: float) -> None:
        for hook, argv in self.spec.hooks:
            if hook != name or self._subject.launch is None:
                continue
            launch = launches.with_argv(self._subject.launch, argv)
            with outputs.appending(self._around.keeper, self.spec.name) as (out, err):
                launch = launches.with_output(launch, out, err)
                code = await executing.run_into(self._around.spawner, launch, timeout_s)
            if code != 0:
                how = f"exited with {code}" if code is not None else f"took over {timeout_s:g} s"
                raise errors.ServiceError(
                    "run.hook-failed",
                    f"its hook {name} {how}",
                    why=f"the hook is {list(argv)}",
                    do="mend the hook, or leave it out of hooks=",
                )

    def _take_up(self) -> None:
        """Get hold again of what an earlier node had opened for this start."""
        if not self.is_attached:
            self._output = outputs.resume_output(
                self._around.keeper, self.spec, self._around.folder
            )
            self._make_subject()

    # --- the start ------------------------------------------------------------------------------

    def _spawn(self) -> None:
        self._subject.since = self._loop.time()
        if self.is_attached:
            self.process = targets.attach(self.spec, self._around.spawner, self._note_exit)
        else:
            assert self._output is not None
            assert self._subject.launch is not None
            self.process = self._around.spawn(
                self.spec, self._output.dress(self._subject.launch), self._note_exit
            )
        if self._output is not None:
            self._output.release()
        self._tell("running" if self.spec.kind == "task" else "starting")

    async def _live(self, *, is_ready: bool) -> End:
        if self.spec.kind == "task":
            limit_s = None if self.spec.is_debugged else self.spec.timeout_s
            if await self._guard(_for_ever, limit_s) == "late":
                return await self._give_up(f"not completed within {limit_s:g} s")
            return await self._conclude()
        if not is_ready:
            limit_s = None if self.spec.is_debugged else self.spec.start_timeout_s
            outcome = await self._guard(self._become_ready, limit_s)
            if outcome == "late":
                return await self._give_up(*self._explain_unready())
            if outcome == "interrupted":
                return await self._conclude()
        self._ready_at = self._loop.time()
        self._tell("ready", self._status())
        await self._guard(self._stay, None)
        return await self._conclude()

    async def _become_ready(self) -> None:
        self._trials = [
            probing.Trial(prober=self._around.prober, check=check, subject=self._subject)
            for check in self.spec.ready
        ]
        if len(self._trials) == 1:
            await self._trials[0].wait()
        elif self._trials:
            async with asyncio.TaskGroup() as group:
                for trial in self._trials:
                    group.create_task(trial.wait(), name=f"wait for {trial.check.label}")
        await self._run_hook("after_ready", self.spec.start_timeout_s)

    async def _stay(self) -> None:
        kept: list[tuple[specs.Check, bool]] = []
        if not self.spec.is_default_ready:
            kept += [(c, False) for c in self.spec.ready if _goes_on(c)]
        if not self.spec.is_debugged:
            kept += [(c, True) for c in self.spec.live]
        if not kept:
            await _for_ever()
        async with asyncio.TaskGroup() as group:
            for number, (check, is_live) in enumerate(kept):
                trial = probing.Trial(
                    prober=self._around.prober, check=check, subject=self._subject
                )
                group.create_task(
                    trial.keep(self._on_live(check) if is_live else self._on_ready(number, check)),
                    name=f"keep {check.label}",
                )

    def _on_live(self, check: specs.Check) -> Callable[[bool, str], None]:
        def changed(is_ok: bool, seen: str) -> None:  # Trial.keep's callback
            if not is_ok:
                times = check.probe.timing.failures
                self.wish(
                    Wish(kind="fail", reason=f"not alive: {check.label} {seen} {times} times")
                )

        return changed

    def _on_ready(self, number: int, check: specs.Check) -> Callable[[bool, str], None]:
        def changed(is_ok: bool, seen: str) -> None:  # as above
            was_bad = bool(self._bad)
            self._bad.pop(number, None)
            if not is_ok:
                self._bad[number] = f"{check.label} {seen}"
            if self._bad and not was_bad:
                self._tell("unready", self._bad[number])
            elif was_bad and not self._bad:
                self._tell("ready")

        return changed

    # --- the end --------------------------------------------------------------------------------

    async def _conclude(self) -> End:
        """End it as was wished, or take note that it ended by itself."""
        if self._wish is not None:
            return await self._stop(self._wish)
        assert self.process is not None
        code = self.process.exit_code
        await self._drain()
        if self.spec.kind == "task" or self._ready_at is not None or code != 0:
            if code == 0:
                return self._completed()
            how = describe_exit(code)
            if self.spec.kind == "service" and self._ready_at is None:
                how += " before it was ready"
        else:
            how = "exited with 0 before it was ready"
        end = self._failed(how, exit_code=code, do=self._advise_exit(code))
        await self._end_rest()
        return end

    def _advise_exit(self, code: int | None) -> str:
        if code == 0:
            return "keep it in the foreground, or mend what makes it end; a one-shot is a task"
        return ""

    async def _stop(self, wish: Wish) -> End:
        if wish.kind == "stop":
            self._tell("stopping", wish.reason)
        lines = self._tail() if wish.kind == "fail" else ()
        if self.is_attached:
            if self.process is not None:
                self.process.release()
            return self._end_wished()
        await self._end_process(wish)
        code = self.process.exit_code if self.process is not None else None
        if wish.kind == "fail":
            return self._failed(wish.reason, exit_code=code, lines=lines)
        return self._end_wished(code)

    def _end_wished(self, code: int | None = None) -> End:
        wish = self._wish
        assert wish is not None
        state: Literal["stopped", "restart"] = "restart" if wish.kind == "restart" else "stopped"
        return End(state=state, exit_code=code, reason=wish.reason)

    async def _end_process(self, wish: Wish) -> None:
        spec = self.spec
        timeout_s = spec.stop_timeout_s
        if wish.limit_s is not None:
            timeout_s = min(timeout_s, wish.limit_s)
        self._ending = ending.Ending(self._around.families, spec.name, self.process)
        self._ending.is_hurried = wish.at_once
        begun = self._loop.time()
        if not wish.is_bare and not wish.at_once:
            await self._before_stop(timeout_s)
        command = None
        if spec.stop_command is not None and not wish.is_bare:
            command = self._stop_by_command
        left_s = max(0.0, timeout_s - (self._loop.time() - begun))
        await self._ending.end(spec.stop_signal, left_s, command)

    async def _before_stop(self, timeout_s: float) -> None:
        try:
            await self._run_hook("before_stop", timeout_s)
        except errors.ServiceError as error:
            self._around.trouble("hook-failed", f'"{self.spec.name}": {error.what}')

    async def _stop_by_command(self) -> None:
        assert self.spec.stop_command is not None
        assert self._subject.launch is not None
        env = {"MAINPID": str(self.pid or 0)}
        launch = launches.with_env(
            launches.with_argv(self._subject.launch, self.spec.stop_command), env
        )
        with outputs.appending(self._around.keeper, self.spec.name) as (out, err):
            launch = launches.with_output(launch, out, err)
            try:
                code = await executing.run_into(self._around.spawner, launch, None)
            except errors.ServiceError as error:
                self._around.trouble("stop-command-failed", f'"{self.spec.name}": {error.what}')
                code = 0 if self.process is None else None
        if code != 0 and self.process is not None:
            self.process.signal_group(self.spec.stop_signal)

    async def _end_rest(self) -> None:
        if not self.is_attached:
            rest = ending.Ending(self._around.families, self.spec.name, self.process)
            self._ending = rest
            await rest.end(signal.SIGTERM, self.spec.stop_timeout_s)

    async def _give_up(self, reason: str, why: str = "", do: str = "") -> End:
        end = self._failed(reason, why=why, do=do)
        self._wish = Wish(kind="fail", reason=reason)
        await self._end_process(self._wish)
        if self._wish.kind != "fail":
            return self._end_wished()
        return end

    def _explain_unready(self) -> tuple[str, str, str]:
        seen = [t.describe() for t in self._trials if t.last] or ["its hook after_ready went on"]
        reason = f"{'; '.join(seen)} in {self.spec.start_timeout_s:g} s"
        pids = [] if self.process is None or self.process.has_ended else [self.process.pid]
        pids += proctable.descendants(pids) + self._around.families.rest(self.spec.name)
        own = listening.listeners_of(self._around.prober.looker, pids)
        where = ", ".join(f"{each.address}:{each.port}" for each in own)
        tcp = next((t for t in self._trials if t.last and t.check.port), None)
        if tcp is None:
            return reason, "", ""
        if not own:
            return (
                f"{reason}; it listens on nothing",
                "",
                (
                    f"make it listen on {tcp.check.host}:{tcp.check.port} (me.bind, me.port), "
                    "or give it more start_timeout"
                ),
            )
        return (
            f"{reason}; it listens on {where}",
            "",
            f"make it listen on {tcp.check.host}:{tcp.check.port} (me.bind, me.port), or say "
            f'Port({tcp.check.port}, listens="{own[0].address}:{own[0].port}")',
        )

    def _completed(self) -> End:
        return End(
            state="completed",
            exit_code=0,
            reason=self._status(),
            output=self._read_output(),
            ready_for_s=self._ready_for_s(),
        )

    def _failed(
        self,
        reason: str,
        *,
        exit_code: int | None = None,
        why: str = "",
        do: str = "",
        lines: tuple[str, ...] | None = None,
        is_hopeless: bool = False,
    ) -> End:
        return End(
            state="failed",
            exit_code=exit_code,
            reason=reason,
            why=why,
            do=do,
            lines=self._tail() if lines is None else lines,
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

    def _note_exit(self) -> None:
        if self._ending is not None:
            self._ending.note_exit()
        self._interrupt()

    def note_exit(self) -> None:
        """Take note that an adopted process has ended."""
        self._note_exit()

    def _status(self) -> str:
        return self._subject.notices.status if self._subject.notices is not None else ""

    def _ready_for_s(self) -> float:
        return 0.0 if self._ready_at is None else self._loop.time() - self._ready_at

    def _tail(self) -> tuple[str, ...]:
        return () if self.is_attached else self._around.keeper.tail(self.spec.name, _LINES)

    async def _drain(self) -> None:
        if self._output is not None:
            await self._output.drain()

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


def _goes_on(check: specs.Check) -> bool:
    """Whether a readiness probe says something new after it has succeeded once."""
    return not isinstance(check.probe, probes.Log | probes.Notify)


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()


def describe_exit(code: int | None) -> str:
    """Return an exit code in words: ``exited with 3``, ``was killed by SIGKILL``."""
    if code is None:
        return "ended; its exit status cannot be known"
    if code > 128:
        try:
            return f"was killed by {signal.Signals(code - 128).name}"
        except ValueError:
            pass
    return f"exited with {code}"
