"""The engine: carries plans out on nodes, keeps what it knows of each replica, emits events.

It prints nothing and knows no face. Nodes supervise their replicas by themselves; the engine orders
them, restarts what depends on what was restarted, and knows the state of the run.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from stackdsl import ports
from stackdsl.model import errors, masks, plans, reports, specs, states
from stackdsl.run import preparing, replicas, timeline, walking, works

Resolve = Callable[[plans.Plan, str, Mapping[str, str]], plans.PlannedService]
Lead = Callable[[str, Sequence[specs.Forward]], Awaitable[Sequence[specs.Forward]]]

START_BATCH = 25


class Engine:
    """Carries plans out. Used as ``async with``; ``nodes`` by host name.

    ``resolve`` finishes a replica whose command waits for tasks. ``on_change`` is called after
    every change of state. ``lead`` makes what of a host's forwards goes through the controller, and
    returns those that are the node's.
    """

    def __init__(
        self,
        nodes: Mapping[str, ports.Node],
        events: timeline.Timeline,
        *,
        resolve: Resolve,
        clock_ns: Callable[[], int],
        on_change: Callable[[], None] = lambda: None,
        lead: Lead | None = None,
    ) -> None:
        self.nodes = dict(nodes)
        self.events = events
        self.ledger = replicas.Ledger(events, clock_ns=clock_ns, on_change=on_change)
        self._resolve = resolve
        self._group = asyncio.TaskGroup()
        self._walks: list[walking.Walk] = []
        self._plan: plans.Plan | None = None
        self._handlers: dict[type, Callable[[walking.Walk, list[plans.Step]], None]] = {
            plans.StartService: self._begin_starts,
            plans.RunTask: self._begin_starts,
            plans.AwaitReady: self._begin_waits,
            plans.AwaitCompleted: self._begin_waits,
            plans.StopService: self._begin_stops,
            plans.SetForwards: self._begin_forwards,
            plans.ProbeExternal: self._begin_externals,
            plans.KeepService: self._begin_keeps,
            plans.PrepareImage: self._begin_preparing,
            plans.SetNetwork: self._begin_preparing,
            plans.ProveLinks: self._begin_preparing,
        }
        self._lead = lead
        self.hosts_lost: dict[str, str] = {}
        self.outputs: dict[str, str] = {}
        self.is_stopping = False
        self.works = works.Works(events.hide)

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cancel_walks()
        await self._group.__aexit__(kind, error, trace)

    @property
    def handled_steps(self) -> frozenset[type]:
        """The step classes that can be carried out."""
        return frozenset(self._handlers)

    @property
    def current_plan(self) -> plans.Plan:
        """The plan that is being kept."""
        assert self._plan is not None
        return self._plan

    # --- what is wanted -----------------------------------------------------------------------

    def take_plan(self, plan: plans.Plan) -> None:
        """Make ``plan`` the one that is kept; new replicas wait, known ones keep their state."""
        self._plan = plan
        for planned in plan.services:
            self.ledger.take(planned)

    def adopt(self, stands: Sequence[plans.Observed]) -> None:
        """Take over states that a node found on `begin`."""
        for one in stands:
            replica = self.ledger.replicas.get(one.name)
            if replica is None or one.state not in states.ALIVE | states.ENDED:
                continue
            replica.has_started = True
            replica.home = one.host
            replica.was_ready = one.state in ("ready", "unready")
            is_final = one.state in states.ENDED
            self.ledger.set_state(replica, one.state, reason="adopted", is_final=is_final)  # type: ignore[arg-type]  # a node's state is a State by protocol
            self._settle_all(replica)

    async def carry_out(self, steps: Sequence[plans.Step], *, keep_going: bool = False) -> None:
        """Walk the steps and return when all are done.

        Raises:
            StackError: steps failed; without ``keep_going`` raised at the first failure.
        """
        walk = walking.Walk(steps, self._begin, keep_going=keep_going)
        self._walks.append(walk)
        # begun first: the steps that wait for nothing
        asyncio.get_running_loop().call_soon(self._announce, walk)
        try:
            await walk.wait()
        finally:
            walk.cancel()
            self._walks.remove(walk)
            if not self._walks:
                self.works.begun.clear()
        errors.raise_all(walk.failures)

    @property
    def open_step_ids(self) -> frozenset[str]:
        """The steps that are neither done nor failed, of all walks."""
        return frozenset(step.id for walk in self._walks for step in walk.open_steps)

    def cancel_walks(self) -> None:
        """Begin no more steps of the walks under way, and end them."""
        for walk in self._walks:
            walk.cancel()

    # --- steps ----------------------------------------------------------------------------------

    def _begin(self, walk: walking.Walk, batch: list[plans.Step]) -> None:
        by_class: dict[type, list[plans.Step]] = {}
        for step in batch:
            by_class.setdefault(type(step), []).append(step)
            self.works.begin(self.events.emit("step", step.id, state="begun", reason=step.cause))
        for kind, steps in by_class.items():
            self._handlers[kind](walk, steps)

    def _finish(self, walk: walking.Walk, step_id: str) -> None:
        if step_id in walk:
            self.events.emit("step", step_id, was="begun", state="done")
            self.works.finish(step_id)
            walk.finish(step_id)

    def _fail(self, walk: walking.Walk, step_id: str, error: errors.StackError | None) -> None:
        if error is not None and self.events.mask is not None:
            masks.mask_error(error, self.events.mask)
        if step_id in walk:
            event = self.events.emit(
                "step", step_id, was="begun", state="failed", reason=error.what if error else ""
            )
            self.works.fail(event, error)
            self.ledger.keep_waiting(walk.fail(step_id, error), step_id.partition(":")[2])
            if not walk.keep_going:
                walk.cancel()

    def _fail_all(
        self, walk: walking.Walk, steps: Sequence[plans.Step], error: errors.StackError
    ) -> None:
        """Fail the steps of one call to a node: one error, told once."""
        told: errors.StackError | None = error
        for step in steps:
            self._fail(walk, step.id, told)
            told = None

    def _spawn(self, name: str, work: Coroutine[object, object, None]) -> None:
        self._group.create_task(work, name=name)

    def _by_host(self, steps: Sequence[plans.Step]) -> dict[str, list[plans.Step]]:
        hosts: dict[str, list[plans.Step]] = {}
        for step in steps:
            hosts.setdefault(self.ledger.replicas[step.subject].planned.host, []).append(step)
        return hosts

    def _announce(self, walk: walking.Walk) -> None:
        """Tell nodes what they are to start later, so that a word is enough then."""
        if walk.is_cancelled:
            return
        later = [
            step
            for step in walk.open_steps
            if isinstance(step, plans.StartService | plans.RunTask) and walk.waits_for(step.id)
        ]
        for host, mine in self._by_host(later).items():
            known = [self.ledger.replicas[step.subject].planned.spec for step in mine]
            wanted = [spec for spec in known if spec is not None]
            for at in range(0, len(wanted), START_BATCH):
                batch = wanted[at : at + START_BATCH]
                self._spawn(f"announce on {host}", self._announce_on(host, batch))

    async def _announce_on(self, host: str, wanted: Sequence[specs.ServiceSpec]) -> None:
        # what goes wrong is told by the start, which does without
        with contextlib.suppress(errors.StackError):
            await self.nodes[host].announce(wanted)

    def _begin_starts(self, walk: walking.Walk, steps: list[plans.Step]) -> None:
        for host, mine in self._by_host(steps).items():
            # the node starts the first ones while the next are still being written out for it
            for at in range(0, len(mine), START_BATCH):
                batch = mine[at : at + START_BATCH]
                self._spawn(f"start on {host}", self._start_on(walk, host, batch))

    async def _start_on(self, walk: walking.Walk, host: str, steps: Sequence[plans.Step]) -> None:
        wanted: list[specs.ServiceSpec] = []
        begun: list[plans.Step] = []
        for step in steps:
            replica = self.ledger.replicas[step.subject]
            try:
                spec = self._spec_of(replica)
            except errors.StackError as error:
                self.ledger.fail(replica, error)
                self._fail(walk, step.id, error)
                continue
            if spec is None:
                self.ledger.set_state(replica, "ready", reason="", is_final=True)
                self._finish(walk, step.id)
                continue
            replica.is_final = False
            replica.has_started = True
            replica.home = host
            wanted.append(spec)
            begun.append(step)
        if not wanted:
            return
        try:
            await self.nodes[host].start(wanted)
        except errors.StackError as error:
            for step in begun:
                self.ledger.fail(self.ledger.replicas[step.subject], error)
            self._fail_all(walk, begun, error)
            return
        for step in begun:
            replica = self.ledger.replicas[step.subject]
            if replica.state in states.ALIVE:
                # another walk had started it: the node left it alone and tells nothing new
                self._settle(walk, replica)

    def _spec_of(self, replica: replicas.Replica) -> specs.ServiceSpec | None:
        planned = replica.planned
        if planned.spec is None and planned.after:
            planned = self._resolve(self.current_plan, planned.name, self.outputs)
            replica.planned = planned
            plan = self.current_plan
            self._plan = replace(
                plan,
                services=tuple(planned if s.name == planned.name else s for s in plan.services),
            )
        return planned.spec

    def _begin_waits(self, walk: walking.Walk, steps: list[plans.Step]) -> None:
        for step in steps:
            self._settle(walk, self.ledger.replicas[step.subject])

    def _begin_keeps(self, walk: walking.Walk, steps: list[plans.Step]) -> None:
        for host, mine in self._by_host(steps).items():
            wanted = [
                replica.planned.spec
                for replica in (self.ledger.replicas[step.subject] for step in mine)
                if replica.planned.spec is not None and replica.state in states.ALIVE
            ]
            self._spawn(
                f"keep on {host}",
                self._keep_on(walk, host, wanted, mine),
            )

    async def _keep_on(
        self,
        walk: walking.Walk,
        host: str,
        wanted: Sequence[specs.ServiceSpec],
        steps: Sequence[plans.Step],
    ) -> None:
        try:
            if wanted:
                await self.nodes[host].start(wanted)
        except errors.StackError as error:
            self._fail_all(walk, steps, error)
            return
        for step in steps:
            self._finish(walk, step.id)

    def _begin_stops(self, walk: walking.Walk, steps: list[plans.Step]) -> None:
        homes: dict[str, list[plans.Step]] = {}
        for step in steps:  # where it runs: the plan may want it elsewhere by now
            replica = self.ledger.replicas[step.subject]
            homes.setdefault(replica.home or replica.planned.host, []).append(step)
        for host, mine in homes.items():
            self._spawn(f"stop on {host}", self._stop_on(walk, host, mine))

    async def _stop_on(self, walk: walking.Walk, host: str, steps: Sequence[plans.Step]) -> None:
        names = [step.subject for step in steps if self.ledger.replicas[step.subject].has_started]
        try:
            if names:
                await self.nodes[host].stop(names, is_last=self.is_stopping)
        except errors.StackError as error:
            self._fail_all(walk, steps, error)
            return
        await self.ledger.await_ended(names)
        for step in steps:
            replica = self.ledger.replicas[step.subject]
            if replica.state not in states.ENDED:
                self.ledger.set_state(replica, "stopped", reason=replica.reason, is_final=True)
            self._finish(walk, step.id)

    def _begin_forwards(self, walk: walking.Walk, steps: list[plans.Step]) -> None:
        for step in steps:
            assert isinstance(step, plans.SetForwards)
            self._spawn(f"forwards on {step.subject}", self._forward(walk, step))

    async def _forward(self, walk: walking.Walk, step: plans.SetForwards) -> None:
        try:
            forwards = step.forwards
            if self._lead is not None:
                forwards = tuple(await self._lead(step.subject, forwards))
            await self.nodes[step.subject].set_forwards(forwards)
        except errors.StackError as error:
            self._fail(walk, step.id, error)
            return
        self._finish(walk, step.id)

    def _begin_externals(self, walk: walking.Walk, steps: list[plans.Step]) -> None:
        for step in steps:
            assert isinstance(step, plans.ProbeExternal)
            replica = self.ledger.replicas[step.subject]
            if replica.state == "waiting":
                self.ledger.set_state(replica, "starting", reason="")
            self._spawn(f"probe {step.subject}", self._probe_external(walk, step))

    async def _probe_external(self, walk: walking.Walk, step: plans.ProbeExternal) -> None:
        replica = self.ledger.replicas[step.subject]
        try:
            await preparing.probe_external(self.nodes, step, replica.planned.where)
        except errors.StackError as error:
            self.ledger.fail(replica, error)
            self._fail(walk, step.id, error)
            return
        self.ledger.set_state(replica, "ready", reason="")
        self._finish(walk, step.id)

    def _begin_preparing(self, walk: walking.Walk, steps: list[plans.Step]) -> None:
        for step in steps:
            assert isinstance(step, plans.PrepareImage | plans.SetNetwork | plans.ProveLinks)
            self._spawn(step.id, self._prepare(walk, step))

    async def _prepare(self, walk: walking.Walk, step: preparing.Step) -> None:
        caller = self.ledger.replicas.get(step.subject)
        try:
            await preparing.carry_out(self.nodes, step, caller.planned.where if caller else "")
        except errors.StackError as error:
            self._fail_starts(walk, step, error)
            self._fail(walk, step.id, error)
            return
        self._finish(walk, step.id)

    def _fail_starts(
        self, walk: walking.Walk, step: preparing.Step, error: errors.StackError
    ) -> None:
        """Let the replicas whose start waits for a failed step have failed with its error; one
        whose forerunner lives, which would have been stopped after that step, lives on."""
        for other in walk.steps:  # one that another failure keeps from starting has this one too
            if other.kind in ("start", "task") and step.id in other.needs:
                replica = self.ledger.replicas[other.subject]
                if replica.state not in states.ALIVE:
                    self.ledger.fail(replica, error)

    # --- what happened --------------------------------------------------------------------------

    async def follow(self, host: str) -> None:
        """Take a node's reports until it is gone."""
        async for report in self.nodes[host].reports():
            self.take(report, host)

    def take(self, report: reports.Report, host: str = "local") -> None:
        """Take one report of a host's node in."""
        match report:
            case reports.StateReport():
                self._take_state(report)
            case reports.ProbeReport():
                replica = self.ledger.replicas.get(report.name)
                if replica is not None and not report.is_ok:
                    replica.probe = self.events.hide(f"{report.probe}: {report.detail}")
                self.events.emit(
                    "probe",
                    report.name,
                    state="ok" if report.is_ok else "failing",
                    reason=report.detail,
                    details={"probe": report.probe, "tries": report.tries},
                    time_ns=report.time_ns,
                )
            case reports.ProgressReport():
                step_id = self._find_preparing(report.subject)
                self.works.move(step_id, report.text)
                self.events.emit(
                    "step", step_id, was="begun", state="begun", reason=report.text,
                    time_ns=report.time_ns,
                )  # fmt: skip
            case reports.HostReport():
                self.works.note_host(report, host)
                self.events.emit(
                    "host", host, state=report.what, reason=report.detail, time_ns=report.time_ns
                )

    def _find_preparing(self, subject: str) -> str:
        """Return the id of the step whose progress a node tells: of an image, else of a replica."""
        for walk in self._walks:
            for step in walk.open_steps:
                if step.subject == subject and isinstance(step, plans.PrepareImage):
                    return step.id
        return f"start:{subject}" if subject in self.ledger.replicas else f"image:{subject}"

    def _take_state(self, report: reports.StateReport) -> None:
        replica = self.ledger.replicas.get(report.name)
        if replica is None:
            return
        replica.pid = report.pid
        replica.container = report.container
        replica.restarts = report.restarts
        replica.exit_code = report.exit_code
        hide = self.events.hide
        replica.lines = tuple(map(hide, report.lines))
        replica.why, replica.do = hide(report.why), hide(report.do)
        if report.state == "restarting":
            replica.last_end = hide(report.reason)
        if report.output is not None:
            replica.output = report.output
            self.outputs[replica.planned.service] = report.output
        # a node that took over tells "ready" once more: nothing has come back then
        is_news = report.state == "ready" and replica.state not in ("ready", "unready")
        came_back = is_news and replica.was_ready
        self.ledger.set_state(
            replica,
            report.state,
            reason=hide(report.reason),
            is_final=report.is_final,
            time_ns=report.time_ns,
        )
        self._settle_all(replica)
        if report.state == "ready":
            replica.was_ready = True
        if came_back and not self.is_stopping:
            self._restart_dependents(replica.planned.service)

    def _settle_all(self, replica: replicas.Replica) -> None:
        for walk in tuple(self._walks):
            self._settle(walk, replica)

    def _settle(self, walk: walking.Walk, replica: replicas.Replica) -> None:
        """Finish or fail the walk's steps that wait for this replica."""
        name, state = replica.planned.name, replica.state
        if state == "failed" and replica.is_final:
            error: errors.StackError | None = replicas.failure_of(replica, self.current_plan.run)
            for kind in ("start", "ready", "task", "completed"):
                if f"{kind}:{name}" in walk and not walk.waits_for(f"{kind}:{name}"):
                    self._fail(walk, f"{kind}:{name}", error)
                    error = None
            return
        if replica.has_started and (
            state in ("ready", "unready", "running", "completed")
            or (state == "starting" and replica.pid is not None)
        ):
            self._finish(walk, f"start:{name}")
        if state in ("ready", "completed"):
            self._finish(walk, f"ready:{name}")
        if state == "completed":
            self._finish(walk, f"task:{name}")
            self._finish(walk, f"completed:{name}")
        if state == "stopped" and replica.is_final:
            for kind in ("start", "ready", "task", "completed"):
                if f"{kind}:{name}" in walk and not walk.waits_for(f"{kind}:{name}"):
                    self._fail(walk, f"{kind}:{name}", replicas.stopped_error(replica))

    def _restart_dependents(self, service: str) -> None:
        by_host: dict[str, list[str]] = {}
        for name, replica in sorted(self.ledger.replicas.items()):
            if service in replica.planned.restart_with and replica.state in states.ALIVE:
                by_host.setdefault(replica.planned.host, []).append(name)
        for host, mine in by_host.items():
            self._spawn(f"restart with {service}", self._restart_on(host, mine))

    async def _restart_on(self, host: str, names: Sequence[str]) -> None:
        try:
            await self.nodes[host].restart(names)
        except errors.StackError as error:
            self.events.emit("host", host, state="restart-failed", reason=error.what)
