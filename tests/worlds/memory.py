"""A machine in memory: a node whose replicas do what the test says, at once and always alike.

Nothing is started, nothing waits for a clock but for what a behaviour names. Pids count up from
1000. It is a `stackdsl.ports.Node` and passes tests/contract like the real one.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from stackdsl.model import errors, facts, plans, reports, specs, states
from stackdsl.model.requests import Executed, Inspection, RunIdentity, Wanted
from stackdsl.node import restarting


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What a replica does each time it is started; a list of them: each start in turn.

    ``ready_after_s`` None: never ready (it fails at its start timeout, at once). ``exit_code``: it
    exits with that after ``exit_after_s``, before it is ready where ``ready_after_s`` is later.
    ``is_missing``: its program does not exist. ``output`` is what a task writes.
    """

    ready_after_s: float | None = 0.0
    exit_code: int | None = None
    exit_after_s: float = 0.0
    output: str = ""
    is_missing: bool = False
    ignores_stop: bool = False


Behaviours = Mapping[str, Behaviour | Sequence[Behaviour]]


@dataclass
class _Replica:
    spec: specs.ServiceSpec
    state: states.State = "waiting"
    pid: int | None = None
    restarts: int = 0
    starts: int = 0
    exit_code: int | None = None
    output: str | None = None
    patience: restarting.Patience = field(init=False)
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    def __post_init__(self) -> None:
        policy = self.spec.restart
        if self.spec.kind == "task":
            policy = restarting.policy_of_task(policy, self.spec.retries)
        self.patience = restarting.Patience(policy)

    @property
    def is_alive(self) -> bool:
        return self.state in states.ALIVE


class MemoryNode:
    """A node in memory. ``calls`` records what was asked, in order; ``journal`` is handed to a
    second node to play a node that comes back."""

    def __init__(
        self,
        behaviours: Behaviours | None = None,
        *,
        host: facts.HostFacts | None = None,
        missing: Iterable[str] = (),
        journal: dict[str, _Replica] | None = None,
    ) -> None:
        self.behaviours = dict(behaviours or {})
        self.calls: list[tuple[str, tuple[str, ...]]] = []
        self.forwards: tuple[specs.Forward, ...] = ()
        self.network: specs.Network | None = None
        self.journal = {} if journal is None else journal
        self.unreachable: dict[str, str] = {}
        self.executed = Executed(exit_code=0)
        self._host = host or facts.HostFacts(name="local", addresses=("192.0.2.10",))
        self._missing = frozenset(missing)
        self._reports: asyncio.Queue[reports.Report | None] = asyncio.Queue()
        self._next_pid = 1000
        self._time_ns = 1_700_000_000_000_000_000
        self._identity: RunIdentity | None = None

    async def observe(self, wanted: Wanted) -> facts.HostFacts:
        """See `ports.Node.observe`."""
        lost = [name for name, _, _ in wanted.programs if name in self._missing]
        images = tuple(
            (one.reference, "the engine does not have it")
            for one in wanted.images
            if one.reference in self._missing
        )
        return replace(self._host, programs_missing=tuple(lost), images_missing=images)

    async def begin(self, identity: RunIdentity) -> Sequence[plans.Observed]:
        """See `ports.Node.begin`."""
        self._identity = identity
        for one in self.journal.values():
            if one.is_alive or one.state == "completed":
                self._report(one, is_final=not one.is_alive, output=one.output)
        return tuple(
            plans.Observed(name=name, kind=one.spec.kind, state=one.state, digest=one.spec.digest)
            for name, one in sorted(self.journal.items())
        )

    async def start(self, wanted: Sequence[specs.ServiceSpec]) -> None:
        """See `ports.Node.start`."""
        self._need_run()
        self.calls.append(("start", tuple(spec.name for spec in wanted)))
        fresh = []
        for spec in wanted:
            known = self.journal.get(spec.name)
            if known is None or not known.is_alive:
                fresh.append(spec)
            elif known.spec != spec and not (spec.digest and known.spec.digest == spec.digest):
                raise errors.UsageError(
                    "usage.alive",
                    f'cannot start "{spec.name}": another version of it runs',
                    do="stop it first",
                )
            else:
                known.spec = spec
        for spec in fresh:
            one = self.journal.get(spec.name)
            starts = 0 if one is None else one.starts
            self.journal[spec.name] = one = _Replica(spec, starts=starts)
            self._later(one, 0.0, lambda o=one: self._begin(o))

    async def announce(self, wanted: Sequence[specs.ServiceSpec]) -> None:
        """See `ports.Node.announce`."""
        self._need_run()

    async def stop(
        self,
        names: Sequence[str],
        *,
        at_once: bool = False,
        is_last: bool = False,
    ) -> None:
        """See `ports.Node.stop`."""
        self._need_run()
        self.calls.append(("stop", tuple(names)))
        for name in names:
            one = self.journal.get(name)
            if one is None or one.state in states.ENDED:
                continue
            self._cancel(one)
            was_started = one.pid is not None
            self._tell(one, "stopping")
            ignores = self._behaviour(one).ignores_stop or at_once
            one.exit_code = (
                (128 + (9 if ignores else one.spec.stop_signal)) if was_started else None
            )
            one.pid = None
            self._tell(one, "stopped", is_final=True)

    async def restart(self, names: Sequence[str]) -> None:
        """See `ports.Node.restart`."""
        self.calls.append(("restart", tuple(names)))
        for name in names:
            one = self._find(name)
            self._cancel(one)
            if one.is_alive:
                one.restarts += 1
                one.pid = None
                self._tell(one, "restarting", "asked for")
            self._begin(one)

    async def forget(self, names: Sequence[str]) -> None:
        """See `ports.Node.forget`."""
        self.calls.append(("forget", tuple(names)))
        for name in names:
            one = self.journal.get(name)
            if one is not None and one.is_alive:
                raise errors.UsageError(
                    "usage.alive", f'cannot forget "{name}": it runs', do="stop it first"
                )
            self.journal.pop(name, None)

    async def set_forwards(self, wanted: Sequence[specs.Forward]) -> None:
        """See `ports.Node.set_forwards`."""
        self._need_run()
        self.calls.append(("set_forwards", tuple(forward.id for forward in wanted)))
        self.forwards = tuple(wanted)

    async def set_network(self, wanted: specs.Network) -> None:
        """See `ports.Node.set_network`."""
        self._need_run()
        self.calls.append(("set_network", (wanted.name,)))
        self.network = wanted

    async def prepare_image(self, image: specs.Image) -> str:
        """See `ports.Node.prepare_image`; ``missing`` images are not there."""
        self.calls.append(("prepare_image", (image.reference,)))
        if image.reference in self._missing:
            raise errors.ServiceError(
                "start.no-image", f'cannot have image "{image.reference}"', do="build it"
            )
        return f"sha256:{image.reference}"

    async def prove(self, edges: Sequence[specs.Edge], timeout_s: float) -> Sequence[str]:
        """See `ports.Node.prove`; ``unreachable`` says what fails, by "host:port"."""
        self._need_run()
        self.calls.append(("prove", tuple(f"{edge.source}>{edge.target}" for edge in edges)))
        return tuple(self.unreachable.get(f"{edge.host}:{edge.number}", "") for edge in edges)

    async def probe(self, checks: Sequence[specs.Check], timeout_s: float) -> Sequence[str]:
        """See `ports.Node.probe`; ``unreachable`` says what fails, by label."""
        self._need_run()
        return tuple(
            f"{check.label} {self.unreachable[check.label]}"
            if check.label in self.unreachable
            else ""
            for check in checks
        )

    async def execute(
        self, name: str, argv: Sequence[str], *, timeout_s: float | None = None
    ) -> Executed:
        """See `ports.Node.execute`; answers ``executed``."""
        self._find(name)
        self.calls.append(("execute", (name, *argv)))
        return self.executed

    async def inspect(self, name: str) -> Inspection:
        """See `ports.Node.inspect`."""
        one = self._find(name)
        return Inspection(pids=() if one.pid is None else ((one.pid, " ".join(one.spec.argv)),))

    async def leave(self, mode: Literal["reap", "adopt"]) -> None:
        """See `ports.Node.leave`."""
        self.calls.append(("leave", (mode,)))
        if mode == "reap" and self._identity is not None:
            await self.stop(tuple(self.journal))
        for one in self.journal.values():
            self._cancel(one)
        self._reports.put_nowait(None)

    async def reports(self) -> AsyncIterator[reports.Report]:
        """See `ports.Node.reports`."""
        while (report := await self._reports.get()) is not None:
            yield report

    # --- what a test makes happen ---------------------------------------------------------------

    def exit(self, name: str, code: int) -> None:
        """Let a living replica's process exit."""
        self._end(self._find(name), code)

    def fail_probe(self, name: str, reason: str = "tcp refused") -> None:
        """Let a ready replica become unready."""
        self._tell(self._find(name), "unready", reason)

    def mend_probe(self, name: str) -> None:
        """Let an unready replica become ready again."""
        self._tell(self._find(name), "ready")

    def die(self) -> None:
        """Let the node be gone from one moment to the next; what it started lives on."""
        for one in self.journal.values():
            self._cancel(one)
        self._reports.put_nowait(None)

    # --- inside ---------------------------------------------------------------------------------

    def _need_run(self) -> None:
        if self._identity is None:
            raise errors.UsageError(
                "usage.not-begun", "cannot work for a run: none was begun", do="begin one"
            )

    def _find(self, name: str) -> _Replica:
        self._need_run()
        one = self.journal.get(name)
        if one is None:
            raise errors.UsageError(
                "usage.unknown-service",
                f'cannot find "{name}": the run has no such replica on this machine',
                do="look at `stackdsl status`",
            )
        return one

    def _behaviour(self, one: _Replica) -> Behaviour:
        default = Behaviour(exit_code=0) if one.spec.kind == "task" else Behaviour()
        chosen = self.behaviours.get(one.spec.name, default)
        if isinstance(chosen, Behaviour):
            return chosen
        return chosen[min(max(one.starts, 1), len(chosen)) - 1]

    def _begin(self, one: _Replica) -> None:
        one.starts += 1
        behaviour = self._behaviour(one)
        one.exit_code = None
        if behaviour.is_missing:
            program = one.spec.argv[0] if one.spec.argv else ""
            self._tell(
                one,
                "failed",
                f'program "{program}" was not found on PATH',
                is_final=True,
                do="install it",
            )
            return
        one.pid, self._next_pid = self._next_pid, self._next_pid + 1
        self._tell(one, "running" if one.spec.kind == "task" else "starting")
        is_service = one.spec.kind == "service"
        if behaviour.exit_code is not None:
            code = behaviour.exit_code
            self._later(one, behaviour.exit_after_s, lambda: self._end(one, code))
        if is_service and behaviour.ready_after_s is not None:
            if behaviour.exit_code is None or behaviour.ready_after_s < behaviour.exit_after_s:
                self._later(one, behaviour.ready_after_s, lambda: self._tell(one, "ready"))
        elif is_service and behaviour.exit_code is None:
            labels = ", ".join(check.label for check in one.spec.ready) or "its probe"
            reason = f"{labels} refused in {one.spec.start_timeout_s:g} s"
            self._later(one, 0.0, lambda: self._fail(one, None, reason))

    def _end(self, one: _Replica, code: int) -> None:
        is_ready = one.state in ("ready", "unready")
        if code == 0 and (is_ready or one.spec.kind == "task" or not one.spec.ready):
            self._cancel(one)
            one.pid, one.exit_code = None, 0
            if one.spec.output_wanted:
                one.output = self._behaviour(one).output
            if one.spec.kind == "service" and one.spec.restart.on == "always":
                self._fail(one, 0, "exited with 0")
                return
            self._tell(one, "completed", is_final=True, output=one.output)
            return
        how = f"exited with {code}" if code <= 128 else f"was killed by signal {code - 128}"
        if one.spec.kind == "service" and not is_ready:
            how += " before it was ready"
        self._fail(one, code, how)

    def _fail(self, one: _Replica, code: int | None, reason: str) -> None:
        self._cancel(one)
        one.pid, one.exit_code = None, code
        if one.patience.next_delay_s(has_failed=code != 0) is None:
            self._tell(one, "failed", reason, is_final=True)
            return
        one.restarts += 1
        self._tell(one, "restarting", reason)
        self._later(one, 0.0, lambda: self._begin(one))

    def _later(self, one: _Replica, delay_s: float, deed: object) -> None:
        assert callable(deed)
        one.timers.append(asyncio.get_running_loop().call_later(delay_s, deed))

    def _cancel(self, one: _Replica) -> None:
        for timer in one.timers:
            timer.cancel()
        one.timers.clear()

    def _tell(self, one: _Replica, state: states.State, reason: str = "", **more: object) -> None:
        one.state = state
        self._report(one, reason=reason, **more)

    def _report(self, one: _Replica, **more: object) -> None:
        self._time_ns += 1_000_000
        self._reports.put_nowait(
            reports.StateReport(
                name=one.spec.name,
                state=one.state,
                time_ns=self._time_ns,
                pid=one.pid,
                exit_code=one.exit_code,
                restarts=one.restarts,
                **more,  # type: ignore[arg-type]  # fields of StateReport
            )
        )
