"""Keeping a run's node on this machine: taken up, followed, replaced when it dies, waited for."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from stackdsl import ports
from stackdsl.model import errors, plans
from stackdsl.registry import owners
from stackdsl.registry import store as stores
from stackdsl.run import engine
from stackdsl.session import nodes, restoring, steadying

HOST = "local"
_LOSSES = 5
_LOSSES_WITHIN_S = 60.0
_REPLACE_LIMIT_S = 30.0


class NodeKeeper:
    """One run's node here. ``spawned`` is a process that was started ahead of time; ``lead`` makes
    tunnels and returns the forwards that are the node's."""

    def __init__(
        self,
        store: stores.Store,
        lead: restoring.SetForwards,
        spawned: nodes.NodeProcess | None = None,
    ) -> None:
        self._lead = lead
        self._store = store
        self._spawned = spawned
        self._process: nodes.NodeProcess | None = None
        self._steady: steadying.SteadyNode | None = None
        self._identity: ports.RunIdentity | None = None
        self._losses: deque[float] = deque(maxlen=_LOSSES)

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
        self._steady.keep()
        try:
            while True:
                await eng.follow(HOST)
                if is_over():
                    return
                self._steady.lose()
                eng.events.emit(
                    "host", HOST, was="connected", state="lost", reason="its node ended"
                )
                try:
                    await self._bring_back(eng, is_over)
                except errors.StackError as error:
                    eng.events.emit("host", HOST, state="lost", reason=error.what)
                    raise
                eng.events.emit("host", HOST, was="lost", state="connected")
        finally:
            self._steady.give_up()

    async def _bring_back(self, eng: engine.Engine, is_over: Callable[[], bool]) -> bool:
        """Replace the node, again where the next one is lost at once; return whether there is one,
        which is not wanted when the run is over.

        Raises:
            HostError: nodes end again and again, or another cannot be started.
        """
        loop = asyncio.get_running_loop()
        while not is_over():
            self._losses.append(loop.time())
            if len(self._losses) == _LOSSES and loop.time() - self._losses[0] < _LOSSES_WITHIN_S:
                raise errors.HostError(
                    "host.node-keeps-ending",
                    f"cannot keep a node on this machine: it ended {_LOSSES} times"
                    f" within {_LOSSES_WITHIN_S:g} s",
                    why="it is killed, or out of memory; see node.log in the run's folder",
                    do="find out what kills it (dmesg), then start again",
                )
            try:
                async with asyncio.timeout(_REPLACE_LIMIT_S):
                    await self._replace(eng)
            except TimeoutError:
                self.kill()
            except errors.HostError as error:
                if not steadying.is_lost(error):
                    raise
            else:
                return True
        return False

    async def _replace(self, eng: engine.Engine) -> None:
        assert self._steady is not None
        assert self._identity is not None
        node = await self._take(self._identity.run)
        await restoring.restore(eng, HOST, node, self._identity, self._lead)
        self._steady.take(node)

    def kill(self) -> None:
        """End a node that does not answer; what it cannot give back is found by its marks."""
        if self._process is not None:
            self._process.kill()

    async def wait(self) -> None:
        """Wait for the end of the node's process, asked for or not needed."""
        if self._spawned is not None:
            self._spawned.discard()
        if self._process is not None:
            await self._process.wait()
