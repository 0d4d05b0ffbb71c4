"""The node's process: serves its controller over one socket, and acts when that is gone.

Laws: nothing heavy is imported before the socket is served; the end of the socket is the end of
the controller.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from stackdsl.model import errors, reports, specs
from stackdsl.node import beginning, native
from stackdsl.wire import calls

_CRASH_LIMIT_S = 3.0
_ORPHANS_PAUSE_S = 0.02
# Reports that wait for no others: the controller takes them in while the next ones come about.
_REPORTS_A_FRAME = 50
_CALLS = (
    "observe", "begin", "stop", "restart", "forget", "set_forwards", "probe", "execute",
    "inspect", "set_network", "prepare_image", "prove",
)  # fmt: skip


class Line(Protocol):
    """The way to the controller."""

    async def open(
        self,
        node: native.NativeNode,
        handlers: dict[str, calls.Handler],
        on_lost: Callable[[], None],
    ) -> None:
        """Let ``handlers`` answer; ``on_lost`` is called when the controller is gone for good."""

    def push(self, unsent: tuple[reports.Report, ...]) -> None:
        """Send reports, as far as there is anybody; never waits."""

    def finish(self, on_finished: Callable[[], None]) -> None:
        """Call back when the controller has what it was sent, the answer under way included."""

    async def close(self) -> None:
        """End it."""


class Inherited:
    """The line of a node beside its controller: a socket whose end is the controller's."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._peer: calls.Peer | None = None

    async def open(
        self,
        node: native.NativeNode,  # noqa: ARG002 - `Line`'s signature
        handlers: dict[str, calls.Handler],
        on_lost: Callable[[], None],
    ) -> None:
        """See `Line`."""
        peer = calls.Peer(handlers, on_lost=lambda _: on_lost(), name="the controller")
        self._peer = peer
        await asyncio.get_running_loop().create_connection(lambda: peer, sock=self._stream)

    def push(self, unsent: tuple[reports.Report, ...]) -> None:
        """See `Line`."""
        if self._peer is not None and not self._peer.is_lost:
            self._peer.push(unsent)

    def finish(self, on_finished: Callable[[], None]) -> None:
        """See `Line`."""
        # The answer is written when its handler returns.
        asyncio.get_running_loop().call_later(0.0, on_finished)

    async def close(self) -> None:
        """See `Line`."""
        if self._peer is not None:
            self._peer.close()


class Server:
    """Serves one controller over ``line``, to the end of either. ``reaped`` is the folder of the
    run once nothing of it is left."""

    def __init__(self, group: asyncio.TaskGroup, line: Line) -> None:
        self._loop = asyncio.get_running_loop()
        self._node = native.NativeNode(group, self._push)
        self._line = line
        self._abandoned = asyncio.Event()
        self._announced: dict[str, specs.ServiceSpec] = {}
        self._unsent: list[reports.Report] = []
        self._is_reaping = False
        self._is_replaced = False
        self._has_left = False
        self.reaped: str | None = None

    async def serve(self) -> None:
        """Answer until the controller is gone or has sent us away; then do what was agreed."""
        for number in (signal.SIGINT, signal.SIGHUP):
            # Passed over, not ignored: what is ignored stays ignored in everything we start.
            signal.signal(number, _pass_over)
        self._loop.add_signal_handler(signal.SIGTERM, self._abandoned.set)
        self._loop.add_signal_handler(signal.SIGUSR1, self._be_replaced)
        self._loop.add_signal_handler(signal.SIGCHLD, self._note_child)
        handlers = {name: getattr(self._node, name) for name in _CALLS}
        handlers |= {"start": self._start, "announce": self._announce, "leave": self._leave}
        await self._line.open(self._node, handlers, self._abandoned.set)
        beginning.become_subreaper()
        await self._abandoned.wait()
        if not self._has_left:
            await self._act_alone()
        await self._node.let_go()
        await self._line.close()

    def _push(self, report: reports.Report) -> None:
        """Send a report with all others of this turn of the loop: 200 starts are few frames."""
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(report)
        if len(self._unsent) >= _REPORTS_A_FRAME:
            self._flush()

    def _flush(self) -> None:
        # What a controller knows, the next node must know.
        self._node.commit_notes()
        unsent, self._unsent = self._unsent, []
        if unsent:
            self._line.push(tuple(unsent))

    async def _announce(self, wanted: Sequence[specs.ServiceSpec]) -> None:
        self._announced.update((spec.name, spec) for spec in wanted)
        await self._node.announce(wanted)

    async def _start(self, wanted: Sequence[specs.ServiceSpec | str]) -> None:
        """Start what is told, or named where it was announced before."""
        await self._node.start(
            [self._announced[one] if isinstance(one, str) else one for one in wanted]
        )

    async def _leave(self, mode: Literal["reap", "adopt"]) -> None:
        identity = self._node.identity
        await self._node.leave(mode)
        if mode == "reap" and identity is not None:
            self.reaped = identity.folder
        self._flush()
        self._has_left = True
        self._line.finish(self._abandoned.set)

    async def _act_alone(self) -> None:
        """Do what the run's ``crash`` says."""
        identity = self._node.identity
        if identity is None:
            return
        is_kept = identity.crash == "adopt"
        if identity.crash == "grace":
            self._abandoned.clear()
            try:
                async with asyncio.timeout(identity.grace_s):
                    await self._abandoned.wait()
            except TimeoutError:
                pass
            is_kept = self._is_replaced
        if not is_kept:
            # What an engine keeps is found by its labels, by whoever comes next.
            with contextlib.suppress(errors.HostError):
                await self._node.reap(_CRASH_LIMIT_S, is_bare=True)
                self.reaped = identity.folder

    def _be_replaced(self) -> None:
        """Another node of the same run asks for its place: let go, and leave all as it is."""
        self._is_replaced = True
        self._abandoned.set()

    def _note_child(self) -> None:
        """Reap orphans a little later, many at once. Our own children tell by their pidfds."""
        if not self._is_reaping:
            self._is_reaping = True
            self._loop.call_later(_ORPHANS_PAUSE_S, self._reap)

    def _reap(self) -> None:
        self._is_reaping = False
        self._node.reap_orphans()


def _pass_over(_number: int, _frame: object) -> None:
    """Take no notice of a signal."""


async def _serve(stream: socket.socket) -> None:
    async with asyncio.TaskGroup() as group:
        await Server(group, Inherited(stream)).serve()


def main(arguments: list[str]) -> None:
    """Serve the socket that was inherited as ``--fd N``."""
    stream = take_socket(int(arguments[arguments.index("--fd") + 1]))
    asyncio.run(_serve(stream))
    # everything is closed: taking the interpreter apart would only keep whoever waits for our end
    os._exit(0)


def take_socket(number: int) -> socket.socket:
    """Return the socket that was inherited under a number; nothing else is kept."""
    for entry in os.listdir("/proc/self/fd"):
        # What else we inherited is not ours: whoever waits for the end of a pipe must not wait
        # for ours.
        if int(entry) > 2 and int(entry) != number:
            with contextlib.suppress(OSError):
                os.close(int(entry))
    os.set_inheritable(number, False)
    os.chdir("/")
    stream = socket.socket(fileno=number)
    stream.setblocking(False)
    return stream
