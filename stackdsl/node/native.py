"""A node that works on this machine: the calls of `ports.Node`, answered."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Literal, Protocol

from stackdsl.model import errors, reports, specs, states
from stackdsl.model.facts import HostFacts
from stackdsl.model.requests import Executed, Inspection, Observed, RunIdentity, Wanted
from stackdsl.node import (
    beginning,
    driving,
    ends,
    engines,
    executing,
    files,
    forwarding,
    launches,
    logs,
    observing,
    probing,
    supervising,
    surroundings,
    watching,
)

_STARTS_A_TURN = 8
_STOPS_A_TURN = 20
_INSPECTED_LINES = 20


class _Prover(Protocol):
    """What tries links: `proving.Prover`, which is loaded by the first link."""

    async def prove(self, edges: Sequence[specs.Edge], timeout_s: float) -> tuple[str, ...]:
        """Try links."""

    async def close(self) -> None:
        """Give its namespaces back."""


class _Meeting(Protocol):
    """What answers other machines: `meeting.Meeting`, loaded where there are any."""

    async def answer(self, key: str, name: str) -> int:
        """Answer for a while."""

    def close(self) -> None:
        """Answer no longer."""


class NativeNode:
    """One run's node. ``group`` holds the lives of its replicas; ``report`` takes what happens."""

    def __init__(self, group: asyncio.TaskGroup, report: Callable[[reports.Report], None]) -> None:
        self._group = group
        self._report = report
        self._around: surroundings.Surroundings | None = None
        self._replicas: dict[str, supervising.Replica] = {}
        self._is_ending = False
        self._lives: set[asyncio.Task[None]] = set()
        self._forwards = forwarding.Forwards()
        self._watcher: watching.Watcher | None = None
        self._dropper = files.Dropper()
        self._intended: dict[str, specs.ServiceSpec] = {}
        self._access = engines.Access(os.environ)
        self._prover: _Prover | None = None
        self._rebuild: Callable[[str, str, asyncio.TaskGroup], None] | None = None
        self._builds: dict[str, asyncio.Task[None]] = {}
        self._meeting: _Meeting | None = None
        self._prepare: Callable[[engines.Engine, specs.Image], Awaitable[str]] | None = None

    @property
    def identity(self) -> RunIdentity | None:
        """The run that was begun."""
        return None if self._around is None else self._around.identity

    @property
    def log_keeper(self) -> logs.LogKeeper | None:
        """What keeps the run's logs here, once it was begun."""
        return None if self._around is None else self._around.keeper

    def _run(self) -> surroundings.Surroundings:
        if self._around is None:
            raise errors.UsageError(
                "usage.not-begun",
                "cannot work for a run: none was begun",
                do="this is a bug of stackdsl: please report it",
            )
        return self._around

    async def observe(self, wanted: Wanted) -> HostFacts:
        """See `ports.Node.observe`."""
        seen = await self._look(wanted)
        if wanted.meeting is None:
            return seen
        # stacks on one machine do without it
        import dataclasses

        from stackdsl.node import meeting

        key, name = wanted.meeting
        self._meeting = self._meeting or meeting.Meeting()
        return dataclasses.replace(
            seen,
            meeting_port=await self._meeting.answer(key, name),
            met=await meeting.try_all(key, wanted.meets),
        )

    async def _look(self, wanted: Wanted) -> HostFacts:
        if not (wanted.has_engine or wanted.has_networks):
            return observing.observe(wanted)
        # runs without containers do without it
        from stackdsl.node import surveying

        return await surveying.survey(wanted, self._access)

    async def begin(self, identity: RunIdentity) -> Sequence[Observed]:
        """See `ports.Node.begin`."""
        if self._around is None:
            self._around = await beginning.take_up(identity, self._report, self._access)
            self._watcher = watching.Watcher(self._on_change)
            await self._adopt(self._around)
        elif self._around.identity.run_id != identity.run_id:
            raise errors.UsageError(
                "usage.begun",
                f'cannot begin run "{identity.run}": this node works for another',
                do="start a node for each run",
            )
        return tuple(
            Observed(name=name, kind=one.spec.kind, state=one.state, digest=one.spec.digest)
            for name, one in sorted(self._replicas.items())
        )

    async def _adopt(self, around: surroundings.Surroundings) -> None:
        rows = around.journal.rows()
        if not rows:
            return
        if around.cgroup is not None:
            around.cgroup.settle()
        for row in rows:
            if row.state == "waiting":
                continue
            replica = supervising.Replica(row.spec, around)
            self._replicas[row.spec.name] = replica
            if row.state in states.ENDED:
                replica.recall(row)
                continue
            if beginning.take_up_replica(row, replica, around):
                is_container = driving.is_container(row.spec)
                around.families.has_strangers = around.families.has_strangers or not is_container
            elif not row.is_whole or not replica.resume(row):
                replica.lose(row)
                continue
            self._begin_life(replica)
        await self._end_strays(around)

    async def _end_strays(self, around: surroundings.Surroundings) -> None:
        """End what was started without its pid having come to the journal."""
        kept = {
            name for name, one in self._replicas.items() if one.is_alive or one.state == "completed"
        }
        await beginning.end_strays(around, kept)

    async def start(self, wanted: Sequence[specs.ServiceSpec]) -> None:
        """See `ports.Node.start`."""
        around = self._run()
        fresh = [spec for spec in wanted if not self._keep(spec)]
        around.journal.intend(
            [spec for spec in fresh if self._intended.pop(spec.name, None) is not spec]
        )
        if around.cgroup is not None:
            around.cgroup.settle()
        for number, spec in enumerate(fresh):
            if self._is_ending:
                break  # the controller died in the middle of this call
            replica = self._replicas.get(spec.name)
            if replica is None:
                replica = self._replicas[spec.name] = supervising.Replica(spec, around)
            else:
                replica.take_spec(spec)
                replica.revive()
            self._begin_life(replica)
            if number % _STARTS_A_TURN == _STARTS_A_TURN - 1:
                await asyncio.sleep(0)

    async def announce(self, wanted: Sequence[specs.ServiceSpec]) -> None:
        """See `ports.Node.announce`; a replica that is known keeps its row in the journal."""
        around = self._run()
        fresh = [spec for spec in wanted if spec.name not in self._replicas]
        around.journal.intend(fresh)
        self._intended.update((spec.name, spec) for spec in fresh)
        for number, spec in enumerate(fresh):
            if spec.container is None and spec.name not in self._replicas:
                with contextlib.suppress(OSError):  # the start meets it again, and says so
                    around.keeper.make(spec.name)
            if number % _STARTS_A_TURN == _STARTS_A_TURN - 1:
                await asyncio.sleep(0)

    def _keep(self, spec: specs.ServiceSpec) -> bool:
        """Leave a living replica alone if it is what is wanted.

        Raises:
            UsageError: it is something else.
        """
        replica = self._replicas.get(spec.name)
        if replica is None or not replica.is_alive:
            return False
        if replica.spec != spec and not (spec.digest and replica.spec.digest == spec.digest):
            raise errors.UsageError(
                "usage.alive",
                f'cannot start "{spec.name}": another version of it runs',
                do=f"stop it first: stackdsl stop {spec.name}",
            )
        replica.take_spec(spec)
        self._watch(replica)
        return True

    def _begin_life(self, replica: supervising.Replica) -> None:
        self._watch(replica)
        life = self._group.create_task(replica.live(), name=f"live {replica.spec.name}")
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)

    def _watch(self, replica: supervising.Replica) -> None:
        if self._watcher is not None and replica.spec.watch:
            self._watcher.set(replica.spec.name, replica.spec.watch)
            replica.on_start = self._watcher.mark_starting
            replica.on_settled = self._watcher.mark_started

    def _on_change(self, change: watching.Change) -> None:
        replica = self._replicas.get(change.name)
        if change.gave_up:
            self._run().trouble("watch-ended", change.gave_up)
        if replica is None:
            return
        more = f" and {len(change.paths) - 1} more" if len(change.paths) > 1 else ""
        reason = f"watched file {change.paths[0]} changed{more}"
        container = replica.spec.container
        if container is None or container.image.build is None:
            self._restart(replica, reason)
        elif not self._is_ending:
            self._build(change.name, reason)

    def _build(self, name: str, reason: str) -> None:
        if self._rebuild is None:
            # runs that build nothing do without it
            from stackdsl.node import rebuilding

            self._rebuild = rebuilding.Rebuilder(
                self._run(), self._replicas, self.prepare_image, self._restart, self._builds
            ).begin
        self._rebuild(name, reason, self._group)
        life = self._builds[name]
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)

    def _restart(self, replica: supervising.Replica, reason: str) -> None:
        if self._is_ending:
            return
        if replica.is_alive:
            replica.wish(ends.Wish(kind="restart", reason=reason))
        else:
            replica.revive()
            self._begin_life(replica)

    # The Protocol's keyword comes as a position over the wire.
    async def stop(
        self, names: Sequence[str], at_once: bool = False, is_last: bool = False
    ) -> None:
        """See `ports.Node.stop`."""
        wish = ends.Wish(kind="stop", at_once=at_once)
        replicas = [self._replicas[n] for n in names if n in self._replicas]
        if is_last and self._around is not None:
            self._around.keeper.wind_down()
        await self._stop(replicas, wish, is_last=is_last)

    async def _stop(
        self, replicas: Sequence[supervising.Replica], wish: ends.Wish, *, is_last: bool = False
    ) -> None:
        ended = [one for one in replicas if not one.is_alive]
        for number, one in enumerate(replicas):
            if self._watcher is not None and one.spec.watch:
                self._watcher.set(one.spec.name, ())
            if one.spec.name in self._builds:
                self._builds.pop(one.spec.name).cancel()
            if is_last and one.spec.container is None:
                one.on_ended = partial(self._dropper.drop, one.spec.dir)
            one.wish(wish)
            if number % _STOPS_A_TURN == _STOPS_A_TURN - 1:
                await asyncio.sleep(0)  # the first are gone while the last are asked
        for one in replicas:
            await one.wait_ended()
        for one in ended:
            await one.clear_rest(at_once=wish.at_once)

    async def restart(self, names: Sequence[str]) -> None:
        """See `ports.Node.restart`."""
        self._run()
        replicas = [self._find(name) for name in names]
        for one in replicas:
            self._restart(one, "asked for")
        for one in replicas:
            if not self._is_ending:
                await one.wait_anew()

    async def forget(self, names: Sequence[str]) -> None:
        """See `ports.Node.forget`."""
        around = self._run()
        known = [name for name in names if name in self._replicas]
        for name in known:
            if self._replicas[name].is_alive:
                raise errors.UsageError(
                    "usage.alive",
                    f'cannot forget "{name}": it runs',
                    do=f"stop it first: stackdsl stop {name}",
                )
        await around.containers.forget([self._replicas[name].spec for name in known])
        around.journal.forget(known)
        for name in known:
            files.drop(self._replicas.pop(name).spec.dir)

    async def set_forwards(self, wanted: Sequence[specs.Forward]) -> None:
        """See `ports.Node.set_forwards`."""
        self._run()
        await self._forwards.set(wanted)

    async def set_network(self, wanted: specs.Network) -> None:
        """See `ports.Node.set_network`."""
        around = self._run()
        # runs without containers do without it
        from stackdsl.node import bridges

        await self._close_prover()  # it would be plugged into a bridge that has gone
        await bridges.set_bridge(around.engine, around.identity, wanted)

    async def prepare_image(self, image: specs.Image) -> str:
        """See `ports.Node.prepare_image`."""
        engine = await self._run().engine.get()
        if self._prepare is None:
            # runs without containers do without it
            from stackdsl.node import images

            self._prepare = images.Images(self._report).prepare
        return await self._prepare(engine, image)

    async def prove(self, edges: Sequence[specs.Edge], timeout_s: float) -> Sequence[str]:
        """See `ports.Node.prove`."""
        around = self._run()
        if self._prover is None:
            # runs without links to be proved do without it
            from stackdsl.node import proving

            self._prover = proving.Prover(
                self.inspect, partial(around.trouble, "links"), around.spawner
            )
        return await self._prover.prove(edges, timeout_s)

    async def probe(self, checks: Sequence[specs.Check], timeout_s: float) -> Sequence[str]:
        """See `ports.Node.probe`."""
        around = self._run()
        launch = launches.Launch(name="", argv=(), env=around.environment, cwd="/")

        async def run(
            argv: Sequence[str], timeout_s: float | None, limit_bytes: int
        ) -> executing.Outcome:
            command = launches.with_argv(launch, tuple(argv))
            return await executing.run(around.spawner, command, timeout_s, limit_bytes)

        subject = probing.Subject(name="", run=run, since=asyncio.get_running_loop().time())
        trials = [
            probing.Trial(prober=around.prober, check=check, subject=subject) for check in checks
        ]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
                for trial in trials:
                    group.create_task(trial.wait(), name=f"probe {trial.check.label}")
        return tuple(trial.last and trial.describe() for trial in trials)

    async def execute(
        self, name: str, argv: Sequence[str], timeout_s: float | None = None
    ) -> Executed:
        """See `ports.Node.execute`."""
        self._run()
        try:
            outcome = await self._find(name).driver.run(argv, timeout_s)
        except errors.ServiceError as error:
            command = argv[0] if argv else ""
            raise errors.ServiceError(
                error.code,
                f'cannot execute "{command}" for "{name}": {error.what}',
                why=error.why,
                do=error.do,
            ) from error
        if outcome.exit_code is None:
            raise errors.ServiceError(
                "run.exec-timeout",
                f'cannot execute "{argv[0]}" for "{name}": it took over {timeout_s:g} s',
                do="give it more time (timeout), or find out what it waits for",
                lines=outcome.stderr.decode(errors="replace").splitlines()[-20:],
            )
        return Executed(
            exit_code=outcome.exit_code,
            stdout=outcome.stdout.decode(errors="replace"),
            stderr=outcome.stderr.decode(errors="replace"),
            is_cut=outcome.is_cut,
        )

    async def inspect(self, name: str) -> Inspection:
        """See `ports.Node.inspect`."""
        around = self._run()
        replica = self._find(name)
        pids, listeners = await replica.driver.look()
        reason, do = replica.explain_waiting(listeners)
        return Inspection(
            pids=pids,
            listeners=listeners,
            lines=around.keeper.tail(name, _INSPECTED_LINES),
            reason=reason,
            do=do,
        )

    def _find(self, name: str) -> supervising.Replica:
        replica = self._replicas.get(name)
        if replica is None:
            raise supervising.unknown(name, sorted(self._replicas))
        return replica

    async def leave(self, mode: Literal["reap", "adopt"]) -> None:
        """See `ports.Node.leave`; what serves us calls `let_go` when this was answered."""
        if mode == "reap":
            await self.reap()

    async def reap(self, limit_s: float | None = None, *, is_bare: bool = False) -> None:
        """Stop everything in no order and give back all that the run has on this machine, its logs
        excepted. ``limit_s`` caps each stop timeout.

        Raises:
            HostError: the engine keeps containers.
        """
        if self._around is None:
            return
        self._is_ending = True
        wish = ends.Wish(kind="stop", limit_s=limit_s, is_bare=is_bare)
        await self._stop([one for one in self._replicas.values() if one.is_alive], wish)
        await self._forwards.close()
        await self._close_prover()
        failure = await beginning.remove_containers(self._around)
        beginning.begin_leaving(self._around)
        await beginning.end_left(self._around)
        for replica in self._replicas.values():
            self._dropper.drop(replica.spec.dir)
        self._around.keeper.close()
        # before anybody may take the run's name again
        await self._dropper.finish()
        if failure is not None:
            raise failure

    def commit_notes(self) -> None:
        """Put the states noted so far on disk."""
        if self._around is not None:
            self._around.journal.commit()

    def reap_orphans(self) -> None:
        """Reap what services left to us and has ended since."""
        if self._around is not None:
            self._around.spawner.orphans()

    async def _close_prover(self) -> None:
        if self._prover is not None:
            prover, self._prover = self._prover, None
            await prover.close()

    async def let_go(self) -> None:
        """Hold nothing any longer; what lives lives on."""
        if self._meeting is not None:
            self._meeting.close()
        if self._around is None:
            return
        await self._close_prover()
        for life in self._lives:
            life.cancel()
        if self._lives:
            await asyncio.wait(self._lives)
        if self._watcher is not None:
            self._watcher.close()
        if self._is_ending:
            await beginning.remove_cgroup(self._around)
        beginning.let_go(self._around, is_over=self._is_ending)
        self._around = None
