"""Keeping a run's node on this machine: taken up, followed, replaced when it dies, waited for."""

from collections.abc import Callable, Sequence

from stackdsl import ports
from stackdsl.model import errors, plans, specs, states
from stackdsl.registry import owners
from stackdsl.registry import store as stores
from stackdsl.run import engine
from stackdsl.session import nodes, steadying

HOST = "local"


class NodeKeeper:
    """One run's node here. ``spawned`` is a process that was started ahead of time."""

    def __init__(self, store: stores.Store, spawned: nodes.NodeProcess | None = None) -> None:
        self._store = store
        self._spawned = spawned
        self._process: nodes.NodeProcess | None = None
        self._steady: steadying.SteadyNode | None = None
        self._identity: ports.RunIdentity | None = None

    async def begin(
        self, identity: ports.RunIdentity
    ) -> tuple[steadying.SteadyNode, Sequence[plans.Observed]]:
        """Take up the run; return its node, which outlives the node's process, and what stands.

        Raises:
            StackError: the run's folder cannot be used.
        """
        self._identity = identity
        node = await self._take(identity.run)
        steady = self._steady = steadying.SteadyNode(node)
        try:
            return steady, await node.begin(identity)
        except errors.StackError:
            steady.give_up()
            raise

    async def _take(self, run: str) -> ports.Node:
        process = self._spawned or nodes.NodeProcess.spawn()
        self._spawned = None
        if self._process is not None:
            await self._process.wait()
        self._process = process
        owner = owners.Owner(pid=process.pid, start=owners.start_time(process.pid))
        self._store.set_node(run, owner)
        return await process.connect()

    @property
    def node(self) -> steadying.SteadyNode | None:
        """The node, once `begin` was called."""
        return self._steady

    async def keep(self, eng: engine.Engine, is_over: Callable[[], bool]) -> None:
        """Follow the node's reports; when it is gone and the run goes on, start another one.

        Returns when the run is over.

        Raises:
            StackError: no other node could be started.
        """
        assert self._steady is not None
        while True:
            await eng.follow(HOST)
            if is_over():
                self._steady.give_up()
                return
            self._steady.lose()
            eng.events.emit("host", HOST, was="connected", state="lost", reason="its node ended")
            try:
                await self._replace(eng)
            except errors.StackError as error:
                eng.events.emit("host", HOST, state="lost", reason=error.what)
                self._steady.give_up()
                raise
            eng.events.emit("host", HOST, was="lost", state="connected")

    async def _replace(self, eng: engine.Engine) -> None:
        assert self._steady is not None
        assert self._identity is not None
        node = await self._take(self._identity.run)
        stands = {one.name: one for one in await node.begin(self._identity)}
        forwards = dict(eng.current_plan.forwards).get(HOST, ())
        if forwards:
            await node.set_forwards(forwards)
        again: list[specs.ServiceSpec] = []
        for name, replica in sorted(eng.ledger.replicas.items()):
            spec = replica.planned.spec
            if not replica.has_started or replica.state not in states.ALIVE or spec is None:
                continue
            one = stands.get(name)
            if one is None or one.state in states.ALIVE:
                again.append(spec)
            else:
                eng.adopt([one])
        if again:
            await node.start(again)
        self._steady.take(node)

    async def wait(self) -> None:
        """Wait for the end of the node's process, asked for or not needed."""
        if self._spawned is not None:
            self._spawned.discard()
        if self._process is not None:
            await self._process.wait()
