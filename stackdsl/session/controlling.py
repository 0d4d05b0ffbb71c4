"""The controller: owns one run from claim to release: its name, node, engine and timeline."""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from stackdsl import ports
from stackdsl.model import errors, facts, plans, specs, stacks, states
from stackdsl.model.data import dataclass
from stackdsl.plan import capabilities, placing, planning
from stackdsl.registry import places, serving
from stackdsl.registry import store as stores
from stackdsl.run import engine, statuses, timeline
from stackdsl.session import (
    claiming,
    farreaping,
    masking,
    naming,
    nodekeeping,
    nodes,
    preparing,
    releasing,
)
from stackdsl.wire import codec

if TYPE_CHECKING:  # stacks on one machine do without SSH, which costs 0.2 s to load
    from stackdsl.session import farkeeping

HOST = nodekeeping.HOST


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run is to be: ``crash`` is the command's default, the stack's own setting wins unless
    ``is_crash_forced``. ``debug`` names the service whose deadlines are off, and which reads from
    ``stdin`` (a path). ``keep_going``: a failure while starting does not end the start of the
    rest."""

    copy: str | None = None
    crash: str = "reap"
    is_crash_forced: bool = False
    debug: str | None = None
    stdin: str | None = None
    keep_going: bool = False


class Controller:
    """One run, owned by this process. Used as ``async with``: leaving it stops the run and gives
    everything back. ``spawned`` is a node that was started ahead of time; ``reload`` loads the
    stack's file again for a change."""

    def __init__(
        self,
        options: Options,
        *,
        reload: Callable[[str], stacks.StackModel],
        spawned: nodes.NodeProcess | None = None,
    ) -> None:
        self.options = options
        self.store = stores.Store(places.state_root())
        self.timeline = timeline.Timeline()
        self.group = asyncio.TaskGroup()
        # the stop in a group of its own: a fault of another task may not cut it short
        self._stoppers = asyncio.TaskGroup()
        self._stopping: asyncio.Task[tuple[errors.StackError, ...]] | None = None
        self.ended = asyncio.Event()
        self.run_state: states.RunState = "starting"
        self.failure: errors.StackError | None = None
        self.secrets: tuple[str, ...] = ()
        self._mask = masking.make_mask(())
        self._reload = reload
        self._keeper = nodekeeping.NodeKeeper(self.store, self._lead, spawned)
        self._fars: farkeeping.FarKeeper | None = None
        self._stack: stacks.StackModel | None = None
        self._record: stores.Record | None = None
        self._engine: engine.Engine | None = None
        self._server: serving.Server | None = None
        self._since_ns = time.time_ns()
        self._is_released = False
        self._walks_open = 0
        self._closing: threading.Thread | None = None

    # --- life -----------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self._stoppers.__aenter__()
        await self.group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.stop_run(at_once=False)
        finally:
            if self._stopping is not None:
                await asyncio.wait({self._stopping})
            self.timeline.close()
            self.ended.set()
            async with contextlib.AsyncExitStack() as scope:  # given back from the last line up
                scope.callback(self._close_store)
                scope.push_async_callback(self._stoppers.__aexit__, None, None, None)
                scope.push_async_callback(self.group.__aexit__, None, None, None)
                if self._engine is not None:
                    scope.push_async_callback(self._engine.__aexit__, None, None, None)
                if self._server is not None:
                    scope.push_async_callback(self._server.close)
                scope.push_async_callback(self._keeper.wait)

    def _begin_closing(self) -> None:
        """Begin to close the store, which waits for the disk, while the node ends."""
        self._closing = threading.Thread(target=self.store.close, name="close store")
        self._closing.start()

    def _close_store(self) -> None:
        if self._closing is None:
            self._begin_closing()
        assert self._closing is not None
        self._closing.join()

    @property
    def record(self) -> stores.Record:
        """The run's row in the store."""
        assert self._record is not None
        return self._record

    @property
    def run(self) -> str:
        """The run's name."""
        return self.record.run

    @property
    def folder(self) -> str:
        """The run's folder."""
        return self.record.folder

    @property
    def engine(self) -> engine.Engine:
        """The engine of the run."""
        assert self._engine is not None
        return self._engine

    async def open(self, stack: stacks.StackModel) -> plans.Plan:
        """Claim the run's name, take up its node, plan; start nothing yet.

        Raises:
            StackError: the plan has errors, the name is taken, the machine lacks something;
                nothing is left behind.
        """
        errors.raise_all(capabilities.check_supported(stack))
        self._stack = stack
        self.timeline = timeline.Timeline(snapshot=lambda: codec.encode(self.status()))
        self._know_secrets(stack.secrets)
        claimed = await claiming.claim(
            self.store,
            stack,
            naming.run_name(stack.name, self.options.copy),
            self._crash_of(stack),
            may_adopt=not self.options.is_crash_forced,
        )
        self._record = claimed.record
        try:
            claiming.make_folder(claimed)
            node, found = await self._keeper.begin(self._identity())
            stands = [*found, *await self._reach(stack)]
            nodes = self._nodes(node)
            plan = await self._make_plan(stack, nodes, claimed.previous, stands)
        except BaseException:
            self._is_released = True
            await releasing.release_unstarted(self.store, self._keeper, self._fars, claimed)
            raise
        self._engine = engine.Engine(
            nodes,
            self.timeline,
            resolve=self._resolve,
            clock_ns=time.time_ns,
            on_change=self._update_state,
            lead=self._lead,
        )
        await self._engine.__aenter__()
        self._engine.take_plan(plan)
        self._engine.adopt(stands)
        self.group.create_task(self._keep_node(), name="keep node")
        if self._fars is not None:
            self._fars.follow(self._engine, self._is_over)
        self.timeline.emit("run", self.run, state="starting")
        return plan

    async def _reach(self, stack: stacks.StackModel) -> list[plans.Observed]:
        """Take up the run on the stack's other machines; return what stands there.

        Raises:
            StackError: of each that is not reached, or lacks something.
        """
        wanted = placing.list_far_hosts(stack)
        if not wanted:
            return []
        if self._fars is None:
            # stacks on one machine do without SSH
            from stackdsl.session import farkeeping

            self._fars = farkeeping.FarKeeper(self.group)
        farreaping.note(self.folder, wanted)
        return await self._fars.begin(wanted, self._identity())

    def _nodes(self, node: ports.Node) -> dict[str, ports.Node]:
        """Return the nodes of every machine; ``node`` is this one's."""
        return {HOST: node} | (self._fars.nodes if self._fars is not None else {})

    async def _lead(self, host: str, wanted: Sequence[specs.Forward]) -> Sequence[specs.Forward]:
        """Make what of a host's forwards goes through us; return those that are its node's."""
        return wanted if self._fars is None else await self._fars.set_forwards(host, wanted)

    def _know_secrets(self, secrets: Sequence[str]) -> None:
        """Mask these too from now on."""
        self.secrets = tuple(dict.fromkeys((*self.secrets, *secrets)))
        self._mask = masking.make_mask(self.secrets)
        self.timeline.mask = self._mask if self.secrets else None
        if self.secrets and self._record is not None:
            masking.note_secrets(self.folder, self.record.file)

    def _crash_of(self, stack: stacks.StackModel) -> tuple[str, float]:
        if stack.crash.mode is None or self.options.is_crash_forced:
            return self.options.crash, 0.0
        return stack.crash.mode, stack.crash.grace_s

    def _identity(self) -> ports.RunIdentity:
        record = self.record
        return ports.RunIdentity(
            run=record.run,
            run_id=record.run_id,
            stack=record.stack,
            folder=record.folder,
            crash=record.crash,  # type: ignore[arg-type]  # what is stored is one of the three
            grace_s=record.grace_s,
            environment=tuple(sorted(os.environ.items())),
            secrets=self.secrets,
        )

    async def _make_plan(
        self,
        stack: stacks.StackModel,
        nodes: Mapping[str, ports.Node],
        previous: plans.Plan | None,
        stands: Sequence[plans.Observed],
    ) -> plans.Plan:
        for _ in range(20):
            seen = await preparing.look(nodes, self.store, self.run, stack, previous)
            with masking.masked_errors(stack.secrets):
                plan = self._plan_for(stack, seen, previous, stands)
            if self.options.debug is not None:
                plan = preparing.make_debugged(plan, self.options.debug, self.options.stdin)
            self._know_secrets((*stack.secrets, *masking.find_secrets(plan)))
            with masking.masked_errors(self.secrets):
                await preparing.check_programs(nodes, plan)
            if self.store.claim_block(self.run, plan.block):
                if self.record.crash != "reap":
                    self.save_plan(plan)
                return plan
        raise errors.HostError(
            "host.no-addresses",
            "cannot find free loopback addresses: other runs took them again and again",
            do="stop some of the runs that `stackdsl ps` lists",
        )

    def _plan_for(
        self,
        stack: stacks.StackModel,
        seen: facts.Facts,
        previous: plans.Plan | None,
        stands: Sequence[plans.Observed],
    ) -> plans.Plan:
        """Return the plan with the outputs that hold: not those of tasks that it runs again."""
        outputs = dict(self._engine.outputs) if self._engine else {}
        while True:
            plan = planning.make_plan(
                stack,
                seen,
                run=self.run,
                folder=self.folder,
                previous=previous,
                observed=stands,
                outputs=outputs,
            )
            stale = [step.subject for step in plan.steps if step.kind == "task"]
            stale = [name for name in stale if outputs.pop(name, None) is not None]
            if not stale:
                return plan

    def _resolve(
        self, plan: plans.Plan, replica: str, outputs: Mapping[str, str]
    ) -> plans.PlannedService:
        assert self._stack is not None
        planned = planning.resolve(plan, self._stack, replica, outputs)
        if self.options.debug is not None:
            planned = preparing.debug_replica(planned, self.options.debug, self.options.stdin)
        if planned.spec is not None:
            self._know_secrets(planned.spec.secrets)
        return planned

    def save_plan(self, plan: plans.Plan) -> None:
        """Store the plan for whoever takes the run back, secrets masked."""
        self.store.save_plan(masking.mask_plan(plan, self.secrets))

    async def serve(self, control: ports.RunControl) -> serving.Server:
        """Let ``control`` answer on the run's socket."""
        self._server = serving.Server(control, self.group)
        await self._server.open(self.folder)
        return self._server

    # --- doing ----------------------------------------------------------------------------------

    async def carry_out(self, plan: plans.Plan) -> None:
        """Do the plan's steps; returns when all are done.

        Raises:
            StackError: steps failed.
        """
        self.failure = None
        self._walks_open += 1
        try:
            await self.engine.carry_out(plan.steps, keep_going=self.options.keep_going)
        except errors.StackError as error:
            self.failure = error
            raise
        finally:
            self._walks_open -= 1
            self._update_state()
            self.engine.ledger.wake_watchers()

    async def start_all(self, plan: plans.Plan) -> errors.StackError | None:
        """Do the plan's steps; return what failed, which `settled` tells whoever asks."""
        try:
            await self.carry_out(plan)
        except errors.StackError as error:
            return error
        finally:
            if self.record.crash == "reap" and not self._is_released:
                with contextlib.suppress(errors.StackError):
                    self.save_plan(self.engine.current_plan)
        return None

    async def change(self, file: str) -> None:
        """Load the file again and do the difference.

        Raises:
            StackError: the new stack has errors (then nothing was changed), or a step failed.
        """
        stack = self._reload(file)
        errors.raise_all(capabilities.check_supported(stack))
        eng = self.engine
        await self._reach(stack)
        plan = await self._make_plan(stack, eng.nodes, eng.current_plan, eng.ledger.observed())
        self._stack = stack
        gone = [s for s in eng.current_plan.services if plan.service(s.name) is None]
        eng.take_plan(plan)
        try:
            await self.carry_out(plan)
        finally:
            for host in sorted({one.host for one in gone if one.host}):
                await eng.nodes[host].forget([one.name for one in gone if one.host == host])
            eng.ledger.drop([one.name for one in gone])
            self._update_state()

    def status(self) -> states.RunStatus:
        """Return the run's status."""
        return statuses.make_status(self.engine, self.run_state, self._since_ns, self._mask)

    async def next_change(self) -> None:
        """Return at the next change of any state, or when the run has ended."""
        changed = self.engine.ledger.changed()
        ended = self.group.create_task(self.ended.wait(), name="wait for the end")
        try:
            waits: set[asyncio.Future[Any]] = {ended, changed}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            changed.cancel()

    async def settled(self) -> states.RunStatus:
        """Wait until no start or change is under way; return the status.

        Raises:
            StackError: what failed in it.
        """
        while self._walks_open and not self.ended.is_set():
            await self.next_change()
        if self.failure is not None:
            raise self.failure
        return self.status()

    def _update_state(self) -> None:
        eng = self._engine
        if eng is None or self.run_state in ("stopping", "stopped"):
            return
        if eng.ledger.failed_for_good():
            is_any_alive = any(
                replica.state in states.ALIVE
                for replica in eng.ledger.replicas.values()
                if not replica.is_external
            )
            self._set_run_state("degraded" if is_any_alive or self._walks_open else "failed")
        elif self._walks_open:
            self._set_run_state("starting")
        else:
            self._set_run_state("ready" if eng.ledger.is_settled() else "degraded")

    def _set_run_state(self, state: states.RunState) -> None:
        if state == self.run_state:
            return
        was, self.run_state = self.run_state, state
        self._since_ns = time.time_ns()
        self.timeline.emit("run", self.run, was=was, state=state)
        # the state is also told on the socket: a full disk may not stop a run
        with contextlib.suppress(errors.StackError):
            self.store.set_state(self.run, state)

    async def _keep_node(self) -> None:
        try:
            await self._keeper.keep(self.engine, self._is_over)
        except errors.StackError as error:
            self.failure = error
            self.ended.set()

    def _is_over(self) -> bool:
        return self._is_released or self.run_state in ("stopping", "stopped")

    # --- giving back ----------------------------------------------------------------------------

    def ask_to_stop(self) -> None:
        """Stop the run in order, from a signal handler; what failed is told at the end."""
        self.group.create_task(self._stop_when_asked(), name="stop when asked")

    async def _stop_when_asked(self) -> None:
        with contextlib.suppress(errors.StackError):
            await self.stop_run(at_once=False)

    async def stop_run(self, *, at_once: bool) -> None:
        """Stop everything, in order or at once, and give everything back. Asked for again, it waits
        for the same end, and may hurry it; who gives up waiting does not end it.

        Raises:
            StackError: something could not be given back.
        """
        if self._record is None or self._engine is None:
            self.ended.set()
            return
        if self._stopping is None:
            self._note_failures()
            self._set_run_state("stopping")
            self._stopping = self._stoppers.create_task(self._stop(at_once=at_once), name="stop")
        elif at_once and not self._stopping.done():
            await releasing.hurry(self.engine, self._keeper)
        errors.raise_all(await asyncio.shield(self._stopping))

    def _note_failures(self) -> None:
        """Keep why it failed, for whoever asks when the run has ended."""
        if not self.engine.ledger.failed_for_good():
            return
        # runs in which all goes well do without it
        from stackdsl.session import asking

        with contextlib.suppress(OSError):  # a full disk may not keep a run from ending
            asking.note_end(self.engine, self.status(), self.folder, self._mask)

    async def _stop(self, *, at_once: bool) -> tuple[errors.StackError, ...]:
        """Stop and give back; return what failed."""
        self.engine.is_stopping = True
        self.engine.cancel_walks()
        try:
            return await releasing.release(
                self.store, self._keeper, self._fars, self.engine, self.record, at_once=at_once
            )
        except errors.StackError as error:
            return (error,)
        except Exception as error:  # noqa: BLE001 - around one cleanup: the rest is given back too
            bug = errors.InternalError(
                "internal.stop",
                f"cannot stop the run: {type(error).__name__}: {error}",
                do="please report this bug of stackdsl; `stackdsl clean` ends what is left",
            )
            return (bug,)
        finally:
            self._is_released = True
            self._set_run_state("stopped")
            self._begin_closing()
            self.timeline.close()
            self.ended.set()
