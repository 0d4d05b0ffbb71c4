"""A node that outlives its process: calls wait for the next one while a dead one is replaced."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Literal, TypeVar

from stackdsl import ports
from stackdsl.model import errors, facts, plans, reports, specs

T = TypeVar("T")

LOST = "host.connection-lost"
REPLACE_TIMEOUT_S = 20.0
_TRIES = 3


def is_lost(error: BaseException) -> bool:
    """Whether an error says only that the node is gone."""
    if not isinstance(error, errors.StackError):
        return False
    return all(one.code == LOST for one in errors.flatten(error))


class SteadyNode:
    """A `ports.Node` over whichever node process serves now. Every call of the protocol may be
    made twice, so one that was cut off is made again of the next node.

    It is not ``kept`` until somebody watches the node and replaces it: calls fail at once then."""

    def __init__(self, node: ports.Node, where: str = "this machine") -> None:
        self._where = where
        self._node: ports.Node | None = node
        self._is_kept = False
        self._moved = asyncio.Event()

    def keep(self) -> None:
        """Let calls that are cut off wait: whoever watches the node replaces it from now on."""
        self._is_kept = True

    def lose(self) -> None:
        """Let calls wait: the node is gone and will be replaced."""
        self._node = None
        self._move()

    def take(self, node: ports.Node) -> None:
        """Let calls go on with another node."""
        self._node = node
        self._move()

    def give_up(self) -> None:
        """Let calls fail: there will be no other node."""
        self._is_kept = False
        self._move()

    def _move(self) -> None:
        """Wake everyone who waits for another node."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def _call(self, ask: Callable[[ports.Node], Awaitable[T]]) -> T:
        for _ in range(_TRIES):
            node = await self._current()
            try:
                return await ask(node)
            except errors.HostError as error:
                if not is_lost(error) or not self._is_kept:
                    raise
                await self._wait_for_other(node)
        return await ask(await self._current())

    async def _current(self) -> ports.Node:
        if self._node is None:
            await self._wait_until(lambda: self._node is not None)
        if self._node is None:
            raise errors.HostError(
                LOST,
                f"cannot reach the node of {self._where}: it ended, and no other could be started",
                do="give back what it left: stackdsl clean",
            )
        return self._node

    async def _wait_for_other(self, node: ports.Node) -> None:
        await self._wait_until(lambda: self._node is not node)

    async def _wait_until(self, check: Callable[[], bool]) -> None:
        """Wait until ``check`` holds, there will be no other node, or time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REPLACE_TIMEOUT_S):
                while not check() and self._is_kept:
                    await self._moved.wait()

    async def observe(self, wanted: ports.Wanted) -> facts.HostFacts:
        """See `ports.Node.observe`."""
        return await self._call(lambda node: node.observe(wanted))

    async def begin(self, identity: ports.RunIdentity) -> Sequence[plans.Observed]:
        """See `ports.Node.begin`."""
        return await self._call(lambda node: node.begin(identity))

    async def start(self, wanted: Sequence[specs.ServiceSpec]) -> None:
        """See `ports.Node.start`."""
        await self._call(lambda node: node.start(wanted))

    async def announce(self, wanted: Sequence[specs.ServiceSpec]) -> None:
        """See `ports.Node.announce`."""
        await self._call(lambda node: node.announce(wanted))

    async def stop(
        self, names: Sequence[str], *, at_once: bool = False, is_last: bool = False
    ) -> None:
        """See `ports.Node.stop`."""
        await self._call(lambda node: node.stop(names, at_once=at_once, is_last=is_last))

    async def restart(self, names: Sequence[str]) -> None:
        """See `ports.Node.restart`."""
        await self._call(lambda node: node.restart(names))

    async def forget(self, names: Sequence[str]) -> None:
        """See `ports.Node.forget`."""
        await self._call(lambda node: node.forget(names))

    async def set_forwards(self, wanted: Sequence[specs.Forward]) -> None:
        """See `ports.Node.set_forwards`."""
        await self._call(lambda node: node.set_forwards(wanted))

    async def set_network(self, wanted: specs.Network) -> None:
        """See `ports.Node.set_network`."""
        await self._call(lambda node: node.set_network(wanted))

    async def prepare_image(self, image: specs.Image) -> str:
        """See `ports.Node.prepare_image`."""
        return await self._call(lambda node: node.prepare_image(image))

    async def prove(self, edges: Sequence[specs.Edge], timeout_s: float) -> Sequence[str]:
        """See `ports.Node.prove`."""
        return await self._call(lambda node: node.prove(edges, timeout_s))

    async def probe(self, checks: Sequence[specs.Check], timeout_s: float) -> Sequence[str]:
        """See `ports.Node.probe`."""
        return await self._call(lambda node: node.probe(checks, timeout_s))

    async def execute(
        self, name: str, argv: Sequence[str], *, timeout_s: float | None = None
    ) -> ports.Executed:
        """See `ports.Node.execute`."""
        return await self._call(lambda node: node.execute(name, argv, timeout_s=timeout_s))

    async def inspect(self, name: str) -> ports.Inspection:
        """See `ports.Node.inspect`."""
        return await self._call(lambda node: node.inspect(name))

    async def leave(self, mode: Literal["reap", "adopt"]) -> None:
        """See `ports.Node.leave`."""
        await self._call(lambda node: node.leave(mode))

    async def reports(self) -> AsyncIterator[reports.Report]:
        """See `ports.Node.reports`; ends with the node that serves now."""
        async for report in (await self._current()).reports():
            yield report
