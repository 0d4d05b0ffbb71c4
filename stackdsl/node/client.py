"""A node that is somewhere else: the Protocol carried over a stream of calls."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Literal, cast

from stackdsl.model import facts, reports, specs
from stackdsl.model.requests import Executed, Inspection, Observed, RunIdentity, Wanted
from stackdsl.wire import calls


class RemoteNode:
    """A node behind a `wire.calls.Peer`. Made by `connect`, or given ``peer`` by whoever carries
    frames in another way; that peer's pushes and loss then go to `take` and `lose`."""

    def __init__(self) -> None:
        self.peer: calls.Peer | None = None
        self._announced: dict[str, specs.ServiceSpec] = {}
        self._reports: asyncio.Queue[reports.Report | None] = asyncio.Queue()

    def take(self, pushed: tuple[reports.Report, ...]) -> None:
        """Take in a push: some reports, in order."""
        for report in pushed:
            self._reports.put_nowait(report)

    def lose(self, _peer: calls.Peer) -> None:
        """Take note that the stream has ended."""
        self._reports.put_nowait(None)

    async def _call(self, name: str, *args: object) -> object:
        assert self.peer is not None
        return await self.peer.call(name, *args)

    async def observe(self, wanted: Wanted) -> facts.HostFacts:
        """See `ports.Node.observe`."""
        return cast("facts.HostFacts", await self._call("observe", wanted))

    async def begin(self, identity: RunIdentity) -> Sequence[Observed]:
        """See `ports.Node.begin`."""
        return cast("Sequence[Observed]", await self._call("begin", identity))

    async def start(self, wanted: Sequence[specs.ServiceSpec]) -> None:
        """See `ports.Node.start`; what was announced is named only."""
        known = self._announced
        parts = [spec.name if known.get(spec.name) is spec else spec for spec in wanted]
        await self._call("start", tuple(parts))

    async def announce(self, wanted: Sequence[specs.ServiceSpec]) -> None:
        """See `ports.Node.announce`."""
        await self._call("announce", tuple(wanted))
        self._announced.update((spec.name, spec) for spec in wanted)

    async def stop(
        self, names: Sequence[str], *, at_once: bool = False, is_last: bool = False
    ) -> None:
        """See `ports.Node.stop`."""
        await self._call("stop", tuple(names), at_once, is_last)

    async def restart(self, names: Sequence[str]) -> None:
        """See `ports.Node.restart`."""
        await self._call("restart", tuple(names))

    async def forget(self, names: Sequence[str]) -> None:
        """See `ports.Node.forget`."""
        await self._call("forget", tuple(names))

    async def set_forwards(self, wanted: Sequence[specs.Forward]) -> None:
        """See `ports.Node.set_forwards`."""
        await self._call("set_forwards", tuple(wanted))

    async def set_network(self, wanted: specs.Network) -> None:
        """See `ports.Node.set_network`."""
        await self._call("set_network", wanted)

    async def prepare_image(self, image: specs.Image) -> str:
        """See `ports.Node.prepare_image`."""
        return cast("str", await self._call("prepare_image", image))

    async def prove(self, edges: Sequence[specs.Edge], timeout_s: float) -> Sequence[str]:
        """See `ports.Node.prove`."""
        return cast("Sequence[str]", await self._call("prove", tuple(edges), timeout_s))

    async def probe(self, checks: Sequence[specs.Check], timeout_s: float) -> Sequence[str]:
        """See `ports.Node.probe`."""
        return cast("Sequence[str]", await self._call("probe", tuple(checks), timeout_s))

    async def execute(
        self, name: str, argv: Sequence[str], *, timeout_s: float | None = None
    ) -> Executed:
        """See `ports.Node.execute`."""
        return cast("Executed", await self._call("execute", name, tuple(argv), timeout_s))

    async def inspect(self, name: str) -> Inspection:
        """See `ports.Node.inspect`."""
        return cast("Inspection", await self._call("inspect", name))

    async def leave(self, mode: Literal["reap", "adopt"]) -> None:
        """See `ports.Node.leave`."""
        await self._call("leave", mode)

    async def reports(self) -> AsyncIterator[reports.Report]:
        """See `ports.Node.reports`; for one reader."""
        while (report := await self._reports.get()) is not None:
            yield report

    def close(self) -> None:
        """End the stream; the node then does what its run's ``crash`` says."""
        if self.peer is not None:
            self.peer.close()


async def connect(stream: socket.socket, *, name: str = "the node of this machine") -> RemoteNode:
    """Return the node at the other end of a connected socket, which is ours from now on."""
    node = RemoteNode()
    stream.setblocking(False)
    _, peer = await asyncio.get_running_loop().create_connection(
        lambda: calls.Peer(on_push=node.take, on_lost=node.lose, name=name), sock=stream
    )
    node.peer = peer
    return node
