"""Keeping a run's nodes on other machines: opened side by side, followed, replaced when their lease
is over, sent away; and the tunnels between machines that do not reach each other.

Laws: a machine that fails does so by itself; what happens on others goes on.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Literal

from stackdsl import ports
from stackdsl.model import errors, places, plans, specs
from stackdsl.reach import booting, connecting, farnodes, tunnels
from stackdsl.run import engine
from stackdsl.session import restoring, steadying

LEAVE_TIMEOUT_S = 30.0
_RETRY_S = 2.0
# A connection that is back that soon is worth a word, but changes nobody's state.
_PATIENCE_S = 3.0


class _Host:
    """One machine: its place, the node that serves now, and that which outlives it."""

    def __init__(self, place: places.Ssh, node: farnodes.FarNode) -> None:
        self.place = place
        self.node = node
        self.steady = steadying.SteadyNode(node, f"host {node.name}")
        self.keeping: asyncio.Task[None] | None = None
        self.marking: asyncio.TimerHandle | None = None


class FarKeeper:
    """The far nodes of one run. ``group`` holds what keeps them; ``folder`` is the run's here."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._connector = connecting.Connector()
        self._tunnels = tunnels.Tunnels(self._connector)
        self._hosts: dict[str, _Host] = {}
        self._identity: ports.RunIdentity | None = None
        self._engine: engine.Engine | None = None
        self._is_over: Callable[[], bool] = lambda: False

    @property
    def nodes(self) -> dict[str, ports.Node]:
        """The nodes by host."""
        return {name: host.steady for name, host in self._hosts.items()}

    async def begin(
        self, wanted: Mapping[str, places.Ssh], identity: ports.RunIdentity
    ) -> list[plans.Observed]:
        """Take up the run on every host that is not known yet; return what stands there.

        Raises:
            StackError: of each host that is not reached, or lacks what a node needs.
        """
        self._identity = identity
        fresh = {name: place for name, place in wanted.items() if name not in self._hosts}

        async def open_one(
            name: str, place: places.Ssh
        ) -> list[plans.Observed] | errors.StackError:
            try:
                return await self._open(name, place, identity)
            except errors.StackError as error:
                return error

        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(open_one(name, place), name=f"reach {name}")
                for name, place in sorted(fresh.items())
            ]
        results = [task.result() for task in tasks]
        errors.raise_all([one for one in results if isinstance(one, errors.StackError)])
        if self._engine is not None:
            for name in fresh:
                self._engine.nodes[name] = self._hosts[name].steady
                self._follow(name)
        return [each for one in results if not isinstance(one, errors.StackError) for each in one]

    async def _open(
        self, name: str, place: places.Ssh, identity: ports.RunIdentity
    ) -> list[plans.Observed]:
        node = await farnodes.open_node(name, place, self._connector, self._group)
        host = self._hosts[name] = _Host(place, node)
        self._know(name, host)
        return list(await node.begin(identity))

    def _know(self, name: str, host: _Host) -> None:
        self._tunnels.hosts[name] = host.place
        self._tunnels.folders[name] = host.node.folder_of_sockets
        host.node.on_state = lambda state, reason: self._take_state(name, state, reason)

    def follow(self, eng: engine.Engine, is_over: Callable[[], bool]) -> None:
        """Begin to follow the nodes' reports; ``is_over`` tells when none is to be replaced."""
        self._engine, self._is_over = eng, is_over
        for name in self._hosts:
            self._follow(name)

    def _follow(self, name: str) -> None:
        host = self._hosts[name]
        host.steady.keep()
        host.keeping = self._group.create_task(self._keep(name), name=f"keep {name}")
        off = booting.check_clock(name, host.node.standing)
        if off and self._engine is not None:
            self._engine.events.emit("host", name, state="clock", reason=off)

    # --- losing and finding again ---------------------------------------------------------------

    async def _keep(self, name: str) -> None:
        host, eng = self._hosts[name], self._engine
        assert eng is not None
        try:
            while True:
                await eng.follow(name)
                if self._is_over():
                    return
                host.steady.lose()
                self._lose(name, host.node.ended_why or "its node ended")
                self._mark(name)
                if not await self._bring_back(name):
                    return
                self._find(name)
        finally:
            host.steady.give_up()

    async def _bring_back(self, name: str) -> bool:
        """Start another node there, as soon as the host answers; return whether there is one."""
        host, eng = self._hosts[name], self._engine
        assert eng is not None
        assert self._identity is not None
        while not self._is_over():
            try:
                host.node = await farnodes.open_node(name, host.place, self._connector, self._group)
                self._know(name, host)
                await restoring.restore(eng, name, host.node, self._identity, self.set_forwards)
            except errors.StackError as error:
                eng.hosts_lost[name] = error.what
                await asyncio.sleep(_RETRY_S)
            else:
                host.steady.take(host.node)
                return True
        return False

    def _take_state(self, name: str, state: str, reason: str) -> None:
        """Take note that a connection was lost, or is back within the lease."""
        if self._engine is None or self._is_over():
            return
        if state == "lost":
            self._lose(name, reason)
            loop = asyncio.get_running_loop()
            self._hosts[name].marking = loop.call_later(_PATIENCE_S, self._mark, name)
            return
        self._find(name)
        self._group.create_task(self._renew(name), name=f"renew tunnels of {name}")

    async def _renew(self, name: str) -> None:
        assert self._engine is not None
        with contextlib.suppress(errors.StackError):  # lost again: the next time renews them
            if await self._tunnels.renew(name):
                wanted = dict(self._engine.current_plan.forwards).get(name, ())
                await self._hosts[name].node.set_forwards(self._tunnels.forwards_of(name, wanted))

    def _lose(self, name: str, reason: str) -> None:
        assert self._engine is not None
        if name not in self._engine.hosts_lost:
            self._engine.events.emit("host", name, was="connected", state="lost", reason=reason)
        self._engine.hosts_lost[name] = reason

    def _mark(self, name: str) -> None:
        """Let what was ready there be unready: nobody knows."""
        eng = self._engine
        if eng is None or name not in eng.hosts_lost or self._is_over():
            return
        for replica in eng.ledger.replicas.values():
            if replica.planned.host == name and replica.state == "ready":
                eng.ledger.set_state(replica, "unready", reason=_unknown(name))

    def _find(self, name: str) -> None:
        eng, host = self._engine, self._hosts[name]
        assert eng is not None
        if host.marking is not None:
            host.marking.cancel()
        if eng.hosts_lost.pop(name, None) is not None:
            eng.events.emit("host", name, was="lost", state="connected")
        for replica in eng.ledger.replicas.values():
            is_marked = replica.state == "unready" and replica.reason == _unknown(name)
            if replica.planned.host == name and is_marked:
                eng.ledger.set_state(replica, "ready", reason="")

    # --- tunnels --------------------------------------------------------------------------------

    async def set_forwards(
        self, host: str, wanted: Sequence[specs.Forward]
    ) -> Sequence[specs.Forward]:
        """Make the tunnels that begin on a host; return the forwards that its node is to make.

        Raises:
            HostError: a host is not reached, or refuses.
        """
        return await self._tunnels.set(host, wanted)

    # --- the end --------------------------------------------------------------------------------

    def stop_waiting(self) -> None:
        """Wait for no host that is lost: the run is being stopped."""
        eng = self._engine
        for name, host in self._hosts.items():
            if eng is not None and name in eng.hosts_lost:
                host.steady.give_up()
                host.node.close()

    async def leave(self, mode: Literal["reap", "adopt"]) -> list[errors.StackError]:
        """Send every node away, side by side; return why some could not do their part."""

        async def leave_one(name: str, host: _Host) -> errors.StackError | None:
            try:
                async with asyncio.timeout(LEAVE_TIMEOUT_S):
                    await host.node.leave(mode)
            except (errors.StackError, TimeoutError) as error:
                return _left(name, error)
            return None

        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(leave_one(name, host), name=f"leave {name}")
                for name, host in self._hosts.items()
            ]
        await self.close()
        return [error for task in tasks if (error := task.result()) is not None]

    async def close(self) -> None:
        """End every connection."""
        for host in self._hosts.values():
            host.node.close()
            host.steady.give_up()
            if host.keeping is not None:
                host.keeping.cancel()
            if host.marking is not None:
                host.marking.cancel()
        await self._tunnels.close()
        await self._connector.close()


@contextlib.asynccontextmanager
async def looking(
    wanted: Mapping[str, places.Ssh], identity: ports.RunIdentity
) -> AsyncIterator[dict[str, farnodes.FarNode]]:
    """Yield nodes on every host that look and begin nothing; where a run with ``identity`` would
    keep what it has there is told.

    Raises:
        StackError: of each host that is not reached, or lacks what a node needs.
    """
    opened: dict[str, farnodes.FarNode] = {}
    failures: list[errors.StackError] = []
    raised: list[Exception] = []
    async with connecting.Connector() as connector, asyncio.TaskGroup() as group:

        async def open_one(name: str, place: places.Ssh) -> None:
            try:
                node = await farnodes.open_node(name, place, connector, group)
            except errors.StackError as error:
                failures.append(error)
            else:
                node.live_in(identity.folder, farnodes.folder_there(node.standing, identity, name))
                opened[name] = node

        try:
            async with asyncio.TaskGroup() as opening:
                for name, place in sorted(wanted.items()):
                    opening.create_task(open_one(name, place), name=f"reach {name}")
            if not failures:
                yield opened
        except Exception as error:  # noqa: BLE001 - raised below: a group would wrap it
            raised.append(error)
        finally:
            for node in opened.values():
                node.close()
    errors.raise_all(failures)
    if raised:
        raise raised[0]


def _unknown(name: str) -> str:
    return f"host {name} is not reached"


def _left(name: str, error: Exception) -> errors.TeardownError:
    why = error.what if isinstance(error, errors.StackError) else "it did not answer in time"
    return errors.TeardownError(
        "teardown.host-lost",
        f'cannot end what runs on host "{name}": {why}',
        why=f"its node ends it by itself {booting.LEASE_S:g} s after it has heard of us last",
        do=f"look at the host when it is reached again: ssh {name} ps -ef",
    )
