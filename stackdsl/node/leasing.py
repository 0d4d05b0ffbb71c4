"""A node away from its controller: it listens on a Unix socket, and a lost connection is survived.

Laws: what was reported is kept until the controller has said that it has it; a call that is made
again is done once; when nothing was heard for the length of the lease, the controller is gone.
"""

import asyncio
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from stackdsl.model import errors, reports, states
from stackdsl.model.requests import RunIdentity
from stackdsl.node import native, receiving, serving, surroundingenv, unpacking
from stackdsl.wire import calls

# Nobody has come yet: the connection that sent us here may have broken.
ARRIVAL_S = 30.0
_LOOK_S = 1.0
_FINISH_LIMIT_S = 15.0


class Leased:
    """The line of a node that is reached over the network; see `serving.Line`.

    Who connects says ``enter`` with the node's ``token`` first. ``group`` holds the calls that are
    being answered.
    """

    def __init__(
        self, group: asyncio.TaskGroup, listener: socket.socket, token: str, lease_s: float
    ) -> None:
        self._group = group
        self._listener = listener
        self._path = str(listener.getsockname())
        self._token = token
        self._lease_s = lease_s
        self._node: native.NativeNode | None = None
        self._handlers: dict[str, calls.Handler] = {}
        self._on_lost: Callable[[], None] = lambda: None
        self._peer: calls.Peer | None = None
        self._others: set[calls.Peer] = set()
        self._receivers: dict[calls.Peer, receiving.Receiver] = {}
        self._heard_at = time.monotonic() - lease_s + ARRIVAL_S
        self._kept: deque[tuple[int, reports.Report]] = deque()
        self._last = 0
        self._answers: dict[int, asyncio.Task[object]] = {}
        self._environment: dict[str, str] | None = None
        self._server: asyncio.AbstractServer | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._on_finished: Callable[[], None] | None = None

    @property
    def folder(self) -> str:
        """The folder of our socket, and of others that lead to us."""
        return os.path.dirname(self._path)

    async def open(
        self,
        node: native.NativeNode,
        handlers: dict[str, calls.Handler],
        on_lost: Callable[[], None],
    ) -> None:
        """See `serving.Line`."""
        self._node, self._on_lost = node, on_lost
        self._handlers = handlers | {"begin": partial(self._begin, handlers["begin"])}
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._make_peer, sock=self._listener)
        self._watch = loop.call_later(_LOOK_S, self._look, False)

    def _make_peer(self) -> calls.Peer:
        peer: calls.Peer

        def bound(answer: Callable[..., Any]) -> calls.Handler:
            async def call(*args: object) -> object:
                return await answer(peer, *args)

            return call

        peer = calls.Peer(
            {
                "enter": bound(self._enter),
                "do": bound(self._do),
                "heard": bound(self._hear),
                "logs": bound(self._send_logs),
                "log_sizes": bound(self._tell_log_sizes),
                "missing_files": bound(self._find_missing_files),
                "open_file": bound(self._open_file),
                "close_file": bound(self._close_file),
                "bye": bound(self._say_bye),
            },
            on_bytes=lambda data: self._take_bytes(peer, data),
            on_lost=self._forget,
            name="the controller",
        )
        self._others.add(peer)
        return peer

    def _forget(self, peer: calls.Peer) -> None:
        self._others.discard(peer)
        receiver = self._receivers.pop(peer, None)
        if receiver is not None:
            receiver.abandon()
        if peer is not self._peer:
            return
        self._peer = None
        if self._node is None or self._node.identity is None:
            self._on_lost()  # there is no run to be kept

    # --- the lease --------------------------------------------------------------------------------

    def _look(self, was_late: bool) -> None:
        """See whether the lease is over. Being late is seen twice: what had come meanwhile was not
        read yet, where the machine itself had stood still."""
        is_late = time.monotonic() - self._heard_at > self._lease_s
        if is_late and was_late:
            self._on_lost()
            return
        self._watch = asyncio.get_running_loop().call_later(_LOOK_S, self._look, is_late)

    async def _enter(self, peer: calls.Peer, token: str, heard: int) -> None:
        """Let the controller in; what it has not heard of is told again."""
        if token != self._token:
            raise _foreign()
        before, self._peer = self._peer, peer
        if before is not None:
            before.close()
        self._drop(heard)
        self._heard_at = time.monotonic()
        if self._kept:
            self._tell(peer, tuple(report for _, report in self._kept))

    async def _hear(self, peer: calls.Peer, number: int, oldest: int) -> None:
        """Take note that the controller has reports up to a number, and the answers of calls before
        the oldest that it still waits for."""
        if peer is not self._peer:
            return
        self._heard_at = time.monotonic()
        self._drop(number)
        for call in [call for call in self._answers if call < oldest]:
            if self._answers[call].done():
                del self._answers[call]

    def _drop(self, number: int) -> None:
        while self._kept and self._kept[0][0] <= number:
            self._kept.popleft()

    async def _do(self, peer: calls.Peer, number: int, name: str, args: tuple[object, ...]) -> Any:
        """Answer a call of the node; made again after a lost connection, it is the same call."""
        if peer is not self._peer:
            raise _foreign()
        self._heard_at = time.monotonic()
        task = self._answers.get(number)
        if task is None:
            await self._settle_environment()
            task = self._group.create_task(self._work(name, args), name=f"answer {name}")
            self._answers[number] = task
        value = await asyncio.shield(task)
        if isinstance(value, errors.StackError):
            raise value
        return value

    async def _work(self, name: str, args: tuple[object, ...]) -> object:
        handler = self._handlers.get(name)
        if handler is None:
            return errors.UsageError(
                "usage.unknown-call",
                f'cannot answer "{name}": there is no such call',
                do="both ends must be the same version of stackdsl",
            )
        try:
            return await handler(*args)
        except errors.StackError as error:
            return error
        except Exception as error:  # noqa: BLE001 - around one step: the caller must get an answer
            return errors.InternalError(
                "internal.call",
                f'cannot answer "{name}": {type(error).__name__}: {error}',
                do="this is a bug of stackdsl: please report it",
            )

    # --- what is told -----------------------------------------------------------------------------

    def push(self, unsent: tuple[reports.Report, ...]) -> None:
        """See `serving.Line`."""
        for report in unsent:
            self._last += 1
            self._kept.append((self._last, report))
        if self._peer is not None and not self._peer.is_lost:
            self._tell(self._peer, unsent)

    def _tell(self, peer: calls.Peer, told: tuple[reports.Report, ...]) -> None:
        """Send reports, the last with the number of all; with how long the logs of those that have
        ended are, so that what they wrote is there when they are told to have ended."""
        ended = [
            report.name
            for report in told
            if isinstance(report, reports.StateReport) and report.state in states.ENDED
        ]
        keeper = None if self._node is None else self._node.log_keeper
        sizes = {} if keeper is None else keeper.sizes_of(ended)
        peer.push({"number": self._last, "reports": told, "logs": sizes})

    async def _send_logs(self, peer: calls.Peer, token: str, known: Mapping[str, int]) -> None:
        """Send the logs from where the controller has them, as they grow, to the end of either."""
        if token != self._token or self._node is None:
            return
        keeper = self._node.log_keeper
        if keeper is None:
            return
        from stackdsl.node import logsending  # no part of coming up

        self._heard_at = time.monotonic()
        await logsending.Sender(keeper, peer, dict(known)).send()

    async def _tell_log_sizes(self, peer: calls.Peer) -> dict[str, int]:
        """Return how long each log is by now."""
        if peer is not self._peer or self._node is None or self._node.log_keeper is None:
            return {}
        return self._node.log_keeper.sizes()

    # --- what is sent ----------------------------------------------------------------------------

    def _folder(self, token: str) -> str:
        identity = None if self._node is None else self._node.identity
        if token != self._token or identity is None:
            raise _foreign()
        return identity.folder

    async def _find_missing_files(
        self, _peer: calls.Peer, token: str, keys: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Return which files of the run are not here."""
        self._heard_at = time.monotonic()
        return receiving.find_missing(self._folder(token), keys)

    async def _open_file(self, peer: calls.Peer, token: str, key: str) -> None:
        """Begin to take a file in."""
        self._heard_at = time.monotonic()
        if peer not in self._receivers:
            self._receivers[peer] = receiving.Receiver(self._folder(token))
        self._receivers[peer].open(key)

    def _take_bytes(self, peer: calls.Peer, data: bytes) -> None:
        receiver = self._receivers.get(peer)
        if receiver is not None:
            receiver.take(data)

    async def _close_file(self, peer: calls.Peer, token: str) -> None:
        """Keep the file that was taken in."""
        self._folder(token)
        self._receivers[peer].close()

    # --- the surroundings -------------------------------------------------------------------------

    async def _settle_environment(self) -> None:
        """Take over what a login shell has: the PATH above all."""
        if self._environment is None:
            self._environment = await surroundingenv.read()
            os.environ.update(self._environment)

    async def _begin(self, begin: calls.Handler, identity: RunIdentity) -> object:
        """Begin with this machine's environment as the base of services, not the controller's."""
        import dataclasses  # no part of coming up

        own = tuple(sorted((self._environment or {}).items()))
        return await begin(dataclasses.replace(identity, environment=own))

    # --- the end ----------------------------------------------------------------------------------

    def finish(self, on_finished: Callable[[], None]) -> None:
        """See `serving.Line`."""
        self._on_finished = on_finished
        asyncio.get_running_loop().call_later(_FINISH_LIMIT_S, on_finished)

    async def _say_bye(self, peer: calls.Peer) -> None:
        """Take note that the controller has all that it wants."""
        if peer is self._peer and self._on_finished is not None:
            asyncio.get_running_loop().call_later(0.0, self._on_finished)

    async def close(self) -> None:
        """See `serving.Line`."""
        if self._watch is not None:
            self._watch.cancel()
        if self._server is not None:
            self._server.close()
        for peer in tuple(self._others):
            peer.close()
        for task in self._answers.values():
            task.cancel()


def _foreign() -> errors.InternalError:
    return errors.InternalError(
        "internal.call",
        "cannot work for who has not entered, or has no run here",
        do="this is a bug of stackdsl: please report it",
    )


async def _serve(listener: socket.socket, token: str, lease_s: float, source: str) -> None:
    async with asyncio.TaskGroup() as group:
        line = Leased(group, listener, token, lease_s)
        unpacker = group.create_task(unpacking.unpack_later(source), name="unpack")
        server = serving.Server(group, line)
        await server.serve()
        unpacker.cancel()
    import shutil  # loads every compressor; nobody waits any longer

    shutil.rmtree(line.folder, ignore_errors=True)
    if server.reaped is not None:
        shutil.rmtree(server.reaped, ignore_errors=True)  # its logs are with the controller


def main(arguments: list[str]) -> None:
    """Serve who comes to the socket ``--listen N`` with ``--token``; ``--lease`` is in seconds,
    ``--source`` where we were loaded from."""
    given = dict(zip(arguments[1::2], arguments[2::2], strict=False))
    listener = serving.take_socket(int(given["--listen"]))
    asyncio.run(
        _serve(listener, given["--token"], float(given["--lease"]), given.get("--source", ""))
    )
    sys.stderr.flush()
    os._exit(0)  # as `serving.main` does
