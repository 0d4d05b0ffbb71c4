"""Answers: everything that may be asked of a living run; implements `ports.RunControl`."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from stackdsl import ports
from stackdsl.model import causes, errors, events, plans, specs, states
from stackdsl.node import following
from stackdsl.plan import reconciling, starting
from stackdsl.run import replicas
from stackdsl.session import controlling, masking, preparing


class Answers:
    """Answers for one controller; implements `ports.RunControl`."""

    def __init__(self, controller: controlling.Controller) -> None:
        self._controller = controller
        self._changing = asyncio.Lock()
        self._log_task: asyncio.Task[None] | None = None

    @property
    def run(self) -> str:
        """The run's name."""
        return self._controller.run

    @property
    def folder(self) -> str:
        """The run's folder."""
        return self._controller.folder

    async def status(self) -> states.RunStatus:
        """See `ports.RunControl`."""
        return self._controller.status()

    async def plan(self) -> plans.Plan:
        """See `ports.RunControl`."""
        of = self._controller
        return masking.mask_plan(of.engine.current_plan, of.secrets)

    async def secrets(self) -> tuple[str, ...]:
        """See `ports.RunControl`."""
        return self._controller.secrets

    async def settled(self) -> states.RunStatus:
        """See `ports.RunControl`."""
        return await self._controller.settled()

    def _find(self, names: Sequence[str]) -> list[str]:
        """Return the replicas that names of services or replicas stand for."""
        replicas = self._controller.engine.ledger.replicas
        found: list[str] = []
        for name in names:
            mine = sorted(
                one
                for one, replica in replicas.items()
                if _is_same(name, one) or _is_same(name, replica.planned.service)
            )
            if not mine:
                raise preparing.unknown_service(name, self.run, sorted(replicas))
            found.extend(one for one in mine if one not in found)
        return found

    async def wait_for(
        self, name: str | None, wanted: Sequence[str], timeout_s: float | None
    ) -> states.RunStatus:
        """See `ports.RunControl`."""
        names = [] if name is None else self._find([name])
        try:
            async with asyncio.timeout(timeout_s):
                while not self._is_in(names, wanted):
                    self._raise_if_hopeless(names, wanted)
                    await self._controller.next_change()
        except TimeoutError as error:
            asked = ["stackdsl why", self.run, *([name] if name else [])]
            raise errors.ServiceError(
                "run.wait-timeout",
                f'cannot wait for "{name or self.run}" to be {" or ".join(wanted)}:'
                f" not in {timeout_s:g} s",
                why=self._describe(names),
                do=f"see why: {' '.join(asked)}; or give a longer timeout",
            ) from error
        return self._controller.status()

    def _is_in(self, names: Sequence[str], wanted: Sequence[str]) -> bool:
        if names:
            known = self._controller.engine.ledger.replicas
            return all(name in known and known[name].state in wanted for name in names)
        return self._controller.run_state in wanted

    def _raise_if_hopeless(self, names: Sequence[str], wanted: Sequence[str]) -> None:
        eng = self._controller.engine
        self._find(names)  # a change may have taken some of them out of the stack
        failed = [
            replica
            for replica in eng.ledger.failed_for_good()
            if not names or replica.planned.name in names
        ]
        is_over = bool(names) or self._controller.run_state == "failed"
        if failed and is_over and "failed" not in wanted:
            errors.raise_all([replicas.failure_of(replica, self.run) for replica in failed])
        if self._controller.ended.is_set():
            raise errors.ServiceError(
                "run.ended",
                f'cannot wait for run "{self.run}": it has ended',
                do="start it again: stackdsl start",
            )

    def _describe(self, names: Sequence[str]) -> str:
        replicas = self._controller.engine.ledger.replicas
        rows = [
            f"{name} is {replicas[name].state}"
            + (f" ({replicas[name].probe})" if replicas[name].probe else "")
            for name in names or sorted(replicas)
            if name in replicas and (names or replicas[name].state not in ("ready", "completed"))
        ]
        return "; ".join(rows)

    async def start_services(self, names: Sequence[str]) -> None:
        """See `ports.RunControl`."""
        found = self._find(names)
        async with self._changing:
            eng = self._controller.engine
            await eng.carry_out(
                starting.make_start_plan(eng.current_plan, eng.ledger.observed(), found),
                keep_going=True,
            )

    async def stop_services(self, names: Sequence[str]) -> None:
        """See `ports.RunControl`."""
        found = self._find(names)
        async with self._changing:
            eng = self._controller.engine
            await eng.carry_out(
                reconciling.make_stop_plan(eng.current_plan, eng.ledger.observed(), found),
                keep_going=True,
            )

    async def restart_services(self, names: Sequence[str]) -> None:
        """See `ports.RunControl`."""
        found = self._find(names)
        eng = self._controller.engine
        alive = [name for name in found if eng.ledger.replicas[name].state in states.ALIVE]
        async with self._changing:
            homes = {name: eng.ledger.replicas[name].planned.host for name in alive}
            for host in sorted(set(homes.values())):
                await eng.nodes[host].restart([name for name in alive if homes[name] == host])
        rest = [name for name in found if name not in alive]
        if rest:
            await self.start_services(rest)
        for name in alive:
            await self.wait_for(name, ("ready", "completed", "stopped"), None)
            replica = eng.ledger.replicas.get(name)
            if replica is not None and replica.state == "stopped":
                raise replicas.stopped_error(replica)

    async def do_task(self, name: str) -> states.ServiceStatus:
        """See `ports.RunControl`."""
        eng = self._controller.engine
        found = self._find([name])[0]
        replica = eng.ledger.replicas[found]
        if replica.planned.kind != "task":
            raise errors.UsageError(
                "usage.not-a-task",
                f'cannot do "{name}": it is a service',
                do=f"restart it: stackdsl restart {name}",
            )
        async with self._changing:
            step = plans.RunTask(
                id=f"task:{found}", subject=found, needs=(), cause="asked for by hand"
            )
            await eng.carry_out([step], keep_going=True)
        return replicas.service_status(replica)

    async def why(self, name: str | None) -> tuple[causes.Explanation, ...]:
        """See `ports.RunControl`."""
        # most runs are never asked
        from stackdsl.session import asking

        of = self._controller
        names = [] if name is None else self._find([name])
        return await asking.explain(of.engine, of.status(), names, masking.make_mask(of.secrets))

    async def execute(
        self, name: str, argv: Sequence[str], timeout_s: float | None
    ) -> ports.Executed:
        """See `ports.RunControl`."""
        eng, found = self._controller.engine, self._find([name])[0]
        node = eng.nodes[eng.ledger.replicas[found].planned.host or controlling.HOST]
        return await node.execute(found, argv, timeout_s=timeout_s)

    async def surroundings(self, name: str) -> specs.ServiceSpec:
        """See `ports.RunControl`."""
        replicas = self._controller.engine.ledger.replicas
        planned = replicas[self._find([name])[0]].planned
        spec = planned.spec
        if spec is not None and planned.host != controlling.HOST:
            raise errors.UsageError(
                "usage.far-surroundings",
                f'cannot open a terminal in "{name}": it runs on host "{planned.host}"',
                do=f"run a command there (stackdsl exec), or log in: ssh {planned.host}",
            )
        if spec is None:
            raise errors.UsageError(
                "usage.no-surroundings",
                f'cannot run anything in "{name}": nothing of it runs here',
                do="name a service that the stack starts",
            )
        return spec

    async def change(self, file: str) -> plans.Plan:
        """See `ports.RunControl`."""
        async with self._changing:
            await self._controller.change(file)
        return await self.plan()

    async def stop_run(self, at_once: bool) -> None:
        """See `ports.RunControl`."""
        await self._controller.stop_run(at_once=at_once)

    async def events(self, since: int | None, logs: bool) -> AsyncGenerator[events.Event, None]:
        """See `ports.RunControl`."""
        if logs and self._log_task is None:
            # from now on until the end: begun anew, it would tell everything a second time
            self._log_task = self._controller.group.create_task(self._emit_logs(), name="emit logs")
        async for event in self._controller.timeline.read(since):
            if logs or event.kind != "log":
                yield event

    async def _emit_logs(self) -> None:
        reader = following.LogReader(self.folder)
        self._controller.group.create_task(self._stop_at_the_end(reader), name="end of logs")
        line = self._controller.timeline
        try:
            async for chunk in reader.follow():
                if self._controller.ended.is_set():
                    return
                text = chunk.data.decode(errors="replace").removesuffix("\n")
                line.emit(
                    "log",
                    chunk.name,
                    details={"stream": chunk.stream, "lines": tuple(text.split("\n"))},
                    time_ns=chunk.time_ns,
                )
        except OSError as error:  # a limit on watches or open files: a reader may not end the run
            line.emit("host", controlling.HOST, state="logs-unread", reason=str(error))

    async def _stop_at_the_end(self, reader: following.LogReader) -> None:
        await self._controller.ended.wait()
        reader.stop()


def _is_same(asked: str, name: str) -> bool:
    return asked == name or asked.replace("-", "_") == name.replace("-", "_")
