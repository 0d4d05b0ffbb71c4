"""A node on another machine as an object here: calls, reports and logs go on over lost connections
for as long as its lease lasts.

Laws: one SSH connection a host; logs travel on a channel of their own, so that they hold nothing
up; every report is told once, in order; a call that was cut off is the same call when it is made
again.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Literal

from stackdsl.model import errors, facts, places, reports, specs, states
from stackdsl.model.requests import Observed, RunIdentity, Wanted
from stackdsl.node import client, logfiles
from stackdsl.reach import booting, bundles, channels, connecting, logcopies, sending
from stackdsl.wire import calls

HEARTBEAT_S = 3.0
_ENTER_TIMEOUT_S = 20.0
_RETRY_S = 0.5
_ATTEMPT_S = 6.0
_LAST_LOGS_S = 10.0
# A flood may be late; what it ended with may not.
_END_OF_LOG_S = 1.0
_CONTROL_WINDOW_BYTES = 2 * 1024 * 1024
_LOGS_WINDOW_BYTES = 512 * 1024

OnState = Callable[[str, str], None]


class FarNode(client.RemoteNode):
    """A `ports.Node` on another machine. Made by `open_node`.

    ``on_state`` is told "lost" with a reason and "connected" as the connection comes and goes.
    """

    def __init__(
        self,
        name: str,
        place: places.Ssh,
        connector: connecting.Connector,
        standing: booting.Standing,
        *,
        lease_s: float,
    ) -> None:
        super().__init__()
        self.name = name
        self.standing = standing
        self.on_state: OnState = lambda _state, _reason: None
        self.ended_why = ""
        self._place = place
        self._connector = connector
        self._lease_s = lease_s
        self._folder_here = ""
        self._folder_there = ""
        self._copies: logcopies.Copies | None = None
        self._group = asyncio.TaskGroup()
        self._keeping: asyncio.Task[None] | None = None
        self._logging: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self._numbers = 0
        self._open_calls: set[int] = set()
        self._heard = 0
        self._is_over = False
        self._awaited: dict[reports.Report, dict[str, int]] = {}

    @property
    def folder_of_sockets(self) -> str:
        """A folder there that only we, and the node, may use."""
        return os.path.dirname(self.standing.socket)

    # --- the connection -----------------------------------------------------------------------

    async def enter(self, connection: connecting.Connection, group: asyncio.TaskGroup) -> None:
        """Come in for the first time; ``group`` holds what keeps the connection.

        Raises:
            HostError: the node ended, or sshd forwards nothing.
        """
        self._group = group
        try:
            await self._dial(connection)
        except channels.ChannelRefused as error:
            raise _unforwarded(self.name, error) from error
        self._keeping = group.create_task(self._keep(), name=f"keep {self.name}")

    async def _dial(self, connection: connecting.Connection) -> None:
        peer = calls.Peer(on_push=self._take_numbered, on_lost=self.lose, name=self.name)
        async with asyncio.timeout(_ENTER_TIMEOUT_S):
            await connection.open_channel(
                self.standing.socket, peer, window_bytes=_CONTROL_WINDOW_BYTES
            )
            await peer.call("enter", self.standing.token, self._heard)
        self.peer = peer
        self._move()

    def lose(self, peer: calls.Peer) -> None:
        """Take note that a stream has ended; the next one is dialled meanwhile."""
        if self.peer is peer:
            self.peer = None
            self._move()

    def _move(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _take_numbered(self, pushed: Mapping[str, Any]) -> None:
        """Take in reports; those that were told before the connection was lost come again."""
        told = pushed["reports"]
        first = pushed["number"] - len(told) + 1
        fresh = told[max(0, self._heard + 1 - first) :]
        for report in fresh:
            if isinstance(report, reports.StateReport) and report.state in states.ENDED:
                mine = {f"{report.name}.{stream}" for stream in logfiles.STREAMS}
                self._awaited[report] = {f: n for f, n in pushed["logs"].items() if f in mine}
        self.take(fresh)
        self._heard = max(self._heard, pushed["number"])

    async def _keep(self) -> None:
        """Say that we are here; where the connection is lost, come back within the lease."""
        while not self._is_over:
            moved = self._moved
            if self.peer is None:
                if not await self._come_back():
                    return
                continue
            oldest = min(self._open_calls, default=self._numbers + 1)
            self.peer.tell("heard", self._heard, oldest)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await moved.wait()

    async def _come_back(self) -> bool:
        """Dial until the node lets us in; return whether it did."""
        self.on_state("lost", "the connection ended")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._lease_s
        why = ""
        while not self._is_over:
            try:
                async with asyncio.timeout(_ATTEMPT_S):
                    await self._dial(await self._connector.connect(self._place))
            except (errors.StackError, TimeoutError) as error:
                why = error.why or error.what if isinstance(error, errors.StackError) else "time"
                if loop.time() > deadline:
                    self._give_up(f"it was not reached for {self._lease_s:g} s: {why}")
                    return False
                await asyncio.sleep(_RETRY_S)
            except channels.ChannelRefused:
                self._give_up("its node ended")
                return False
            else:
                self.on_state("connected", "")
                self._begin_logs()
                return True
        return False

    def _give_up(self, why: str) -> None:
        """Let every call fail from now on: the node is gone."""
        if self._is_over:
            return
        self._is_over = True
        self.ended_why = why
        self._reports.put_nowait(None)
        self._move()

    async def _call(self, name: str, *args: object) -> object:
        self._numbers += 1
        number = self._numbers
        self._open_calls.add(number)
        try:
            while True:
                peer = await self._current()
                try:
                    return await peer.call("do", number, name, args)
                except errors.HostError as error:
                    if error.code != "host.connection-lost" or not peer.is_lost:
                        raise
        finally:
            self._open_calls.discard(number)

    async def _current(self) -> calls.Peer:
        while self.peer is None or self.peer.is_lost:
            if self._is_over:
                raise errors.HostError(
                    "host.connection-lost",
                    f'cannot reach the node on host "{self.name}": {self.ended_why or "it ended"}',
                    do=f"look whether the host is on; `ssh {self._place.host} true` must work",
                )
            await self._moved.wait()
        return self.peer

    # --- what differs from a node here ----------------------------------------------------------

    def live_in(self, folder: str, there: str) -> None:
        """Say where the run's folder is: here, for copies of logs, and there."""
        self._folder_here, self._folder_there = folder, there

    async def observe(self, wanted: Wanted) -> facts.HostFacts:
        """See `ports.Node.observe`."""
        seen = await super().observe(wanted)
        return dataclasses.replace(
            seen, name=self.name, kind="ssh", folder=self._folder_there or seen.folder
        )

    async def begin(self, identity: RunIdentity) -> Sequence[Observed]:
        """See `ports.Node.begin`; the folder and the environment are those there."""
        if not self._folder_there:
            self.live_in(identity.folder, folder_there(self.standing, identity, self.name))
        there = dataclasses.replace(
            identity,
            run_id=run_id_there(identity, self.name),
            folder=self._folder_there,
            environment=(),
        )
        stands = await super().begin(there)
        if self._copies is None:
            self._copies = logcopies.Copies(self._folder_here, clock_s=self.standing.clock_s)
            self._copies.adopt({one.name for one in stands})
            self._begin_logs()
        return [dataclasses.replace(one, host=self.name) for one in stands]

    async def start(self, wanted: Sequence[specs.ServiceSpec]) -> None:
        """See `ports.Node.start`; files that are copied are sent first."""
        await super().start(await self._send_files(wanted))

    async def announce(self, wanted: Sequence[specs.ServiceSpec]) -> None:
        """See `ports.Node.announce`; who copies files is told of when they are sent."""
        plain = [spec for spec in wanted if not any(file.copy for file in spec.files)]
        if plain:
            await super().announce(plain)

    async def _send_files(self, wanted: Sequence[specs.ServiceSpec]) -> Sequence[specs.ServiceSpec]:
        if not any(file.copy for spec in wanted for file in spec.files):
            return wanted
        loop = asyncio.get_running_loop()
        made, sources = await loop.run_in_executor(
            None, sending.rewrite, wanted, self._folder_there
        )
        while True:
            await self._current()
            try:
                await self._send(sources)
            except (errors.HostError, channels.ChannelRefused) as error:
                if isinstance(error, errors.HostError) and error.code != "host.connection-lost":
                    raise
                await asyncio.sleep(_RETRY_S)  # control notices it too, and comes back or gives up
            else:
                return made

    async def _send(self, sources: Sequence[sending.Source]) -> None:
        peer = calls.Peer(name=self.name)
        connection = await self._connector.connect(self._place)
        await connection.open_channel(self.standing.socket, peer)
        try:
            await sending.send(peer, self.standing.token, sources)
        finally:
            peer.close()

    async def leave(self, mode: Literal["reap", "adopt"]) -> None:
        """See `ports.Node.leave`; returns when the logs are here too."""
        await super().leave(mode)
        peer = self.peer
        if peer is not None:
            with contextlib.suppress(errors.StackError, TimeoutError):
                async with asyncio.timeout(_LAST_LOGS_S):
                    if self._copies is not None:
                        await self._copies.wait_for(await peer.call("log_sizes"))
            with contextlib.suppress(errors.StackError):
                await peer.call("bye")
        self.close()

    def close(self) -> None:
        """End the stream; the node then does what its run's ``crash`` says."""
        self._give_up("it was left")
        for task in (self._keeping, self._logging):
            if task is not None:
                task.cancel()
        super().close()

    async def reports(self) -> AsyncIterator[reports.Report]:
        """See `ports.Node.reports`; the end of a replica is told when what it wrote is here."""
        async for report in super().reports():
            sizes = self._awaited.pop(report, None)
            if sizes and self._copies is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_END_OF_LOG_S):
                        await self._copies.wait_for(sizes)
            yield report

    # --- logs -----------------------------------------------------------------------------------

    def _begin_logs(self) -> None:
        if self._copies is None:
            return
        if self._logging is not None:
            self._logging.cancel()
        self._logging = self._group.create_task(
            self._follow_logs(self._copies), name=f"logs of {self.name}"
        )

    async def _follow_logs(self, copies: logcopies.Copies) -> None:
        """Take in logs on a channel of their own, until it ends."""
        ended = asyncio.Event()
        peer = calls.Peer(on_lost=lambda _: ended.set(), on_push=copies.take, name=self.name)
        try:
            connection = await self._connector.connect(self._place)
            await connection.open_channel(
                self.standing.socket, peer, window_bytes=_LOGS_WINDOW_BYTES
            )
            peer.tell("logs", self.standing.token, copies.known())
            await ended.wait()
        except (errors.StackError, channels.ChannelRefused):
            return  # control notices too, and begins logs anew when it is back
        finally:
            peer.close()


def folder_there(standing: booting.Standing, identity: RunIdentity, name: str) -> str:
    """Return the run's folder on a far machine: nobody else's, whoever shares the account, and
    the same one as long as the run is the same."""
    return f"{standing.state}/far/{identity.run}-{identity.run_id}-{name}".replace(":", "_")


def run_id_there(identity: RunIdentity, name: str) -> str:
    """Return the mark of a run on a far machine: its own, since two hosts may be one machine, and
    that this one."""
    mark = hashlib.blake2b(name.encode(), digest_size=3).hexdigest()
    return f"{identity.run_id}{mark}"


async def open_node(
    name: str,
    place: places.Ssh,
    connector: connecting.Connector,
    group: asyncio.TaskGroup,
    *,
    lease_s: float = booting.LEASE_S,
) -> FarNode:
    """Start a node on another machine and come in.

    Raises:
        HostError: the host is not reached, or lacks what a node needs.
    """
    loop = asyncio.get_running_loop()
    # a thread: it reads our own files, and makes a bundle of them after a change
    finding = loop.run_in_executor(None, bundles.find)
    connection = await connector.connect(place)
    standing = await booting.boot(
        connection, await finding, python=place.python, has_sudo=place.sudo, lease_s=lease_s
    )
    node = FarNode(name, place, connector, standing, lease_s=lease_s)
    try:
        await node.enter(connection, group)
    except (errors.HostError, TimeoutError) as error:
        failure = await _explain_end(connection, standing, error)
        with contextlib.suppress(errors.HostError):
            # it would wait for us for a while
            await connection.run(f"{'sudo -n ' if place.sudo else ''}kill {standing.pid}")
        raise failure from error
    return node


async def _explain_end(
    connection: connecting.Connection, standing: booting.Standing, error: Exception
) -> errors.StackError:
    """Return why a node that was started does not answer: what it wrote."""
    if isinstance(error, errors.HostError) and error.code != "host.connection-lost":
        return error
    ran = await connection.run(f"tail -n 20 {standing.log}")
    return errors.HostError(
        "host.node-refused",
        f'cannot start a node on host "{connection.name}": it ended at once',
        why=f"Python {standing.python}, pid {standing.pid}",
        lines=ran.stdout.decode(errors="replace").splitlines(),
        do="see its last lines; another Python can be named: ssh(…, python=…)",
    )


def _unforwarded(name: str, error: channels.ChannelRefused) -> errors.HostError:
    return errors.HostError(
        "host.no-forwarding",
        f'cannot speak to the node on host "{name}": its sshd forwards no Unix sockets',
        why=str(error),
        do="let sshd forward them: AllowStreamLocalForwarding yes (the default) in sshd_config",
    )
