"""A container as its node sees it: what its engine tells, and its output carried into the logs.

Output comes by attaching before the start. After a new node, or an engine that was away, it comes
from the engine's own log, from the start on, less what was carried by then: nothing is lost or
doubled. That log holds text: bytes that are no UTF-8 count as they stand there.
"""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

from stackdsl.model import errors
from stackdsl.node import dialing, drivers, ends, engines, surroundings

_DRAIN_S = 5.0
_CALL_OFF_S = 1.0


class Watch:
    """One start of one container, from when its output is followed to its end."""

    def __init__(self, name: str, around: surroundings.Surroundings, told: drivers.Told) -> None:
        self.id = ""
        self.pid: int | None = None
        self.exit_code: int | None = None
        self.how_ended = ""
        self.health: str | None = None
        self.has_started = False
        self.has_ended = False
        self.is_ours_to_end = False
        self.is_raw = False
        self.started_ns = 0
        self.show: Callable[[bytes], bool] | None = None
        self.offsets = (0, 0)
        self.beside = [0, 0]
        self._name = name
        self._around = around
        self._told = told
        self._killed_by = ""
        self._skip = [0, 0]
        self._fds: tuple[int, int] | None = None
        self._line: dialing.Line | None = None
        self._has_drained = asyncio.Event()
        self._changed = asyncio.Event()
        self._splitter = dialing.Splitter(self._write)

    # --- its output -----------------------------------------------------------------------------

    def open_logs(self, limit_bytes: int) -> None:
        """Open its logs for appending.

        Raises:
            ServiceError: they cannot be opened.
        """
        if self._fds is not None:
            return
        try:
            self._fds = self._around.keeper.open(self._name, limit_bytes)
        except OSError as error:
            raise errors.ServiceError(
                "start.logs",
                f"its logs cannot be opened: {error}",
                do="make room, or make the state folder writable",
            ) from error

    async def attach(self, engine: engines.Engine, *, has_input: bool = False) -> dialing.Line:
        """Follow what it writes from now on; before it is started, that is everything."""
        more = "&stdin=1" if has_input else ""
        self._line = await dialing.dial(
            engine,
            f"POST /containers/{self.id}/attach?stream=1&stdout=1&stderr=1{more}",
            self._take,
            self._note_drained,
        )
        return self._line

    async def follow(self, engine: engines.Engine) -> None:
        """Go on with what it has written since its start, where it was left off."""
        if self._line is not None:
            self._line.close()
        self._has_drained.clear()
        self._splitter = dialing.Splitter(self._write)
        keeper = self._around.keeper
        for number, stream in enumerate(("out", "err")):
            size = keeper.size(self._name, "out" if stream == "out" else "err")
            self._skip[number] = size - self.offsets[number] - self.beside[number]
        since = f"{self.started_ns // 10**9}.{self.started_ns % 10**9:09d}"
        try:
            self._line = await dialing.dial(
                engine,
                f"GET /containers/{self.id}/logs?follow=1&stdout=1&stderr=1&since={since}",
                self._take,
                self._note_drained,
            )
        except engines.Refused as error:
            self._note_drained()
            self._around.trouble(
                "output-unread", f'"{self._name}": the engine refuses: {error.explanation}'
            )

    def _take(self, data: bytes) -> None:
        if self.is_raw:
            self._write(1, data)
        else:
            self._splitter.take(data)

    def _write(self, stream: int, data: bytes) -> None:
        if self.show is not None and self.show(data):
            return
        number = 1 if stream == 2 else 0
        if self._skip[number] > 0:
            skipped = min(self._skip[number], len(data))
            self._skip[number] -= skipped
            data = data[skipped:]
        if self._fds is None:
            return
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fds[number], view) :]
        except OSError:
            return  # the disk is full: the keeper of the logs tells of it

    def write_beside(self, out: bytes, err: bytes) -> None:
        """Write what a command beside it has said into its logs."""
        for number, data in enumerate((out, err)):
            self._skip_free_write(number, data)
            self.beside[number] += len(data)

    def _skip_free_write(self, number: int, data: bytes) -> None:
        kept, self._skip[number] = self._skip[number], 0
        self._write(number + 1, data)
        self._skip[number] = kept

    def _note_drained(self) -> None:
        self._has_drained.set()
        if not self.has_ended and self.has_started:
            # Its engine may have gone: the stream of events tells; else it is looked after.
            asyncio.get_running_loop().call_later(_CALL_OFF_S, self._look_after)

    def _look_after(self) -> None:
        line = self._line
        if self.has_ended or self._around.containers.away or line is None or not line.has_ended:
            return
        self._around.containers.ask(self)

    async def drain(self) -> None:
        """Wait until what it wrote has come to the logs."""
        if self._line is None:
            return
        try:
            async with asyncio.timeout(_DRAIN_S):
                await self._has_drained.wait()
        except TimeoutError:
            self._around.trouble("output-late", f'"{self._name}": its output goes on after its end')

    # --- what becomes of it ---------------------------------------------------------------------

    def begin(self, container: str) -> None:
        """Be told of a container from now on."""
        self.id = container
        self._around.containers.watch(container, self)

    def note_event(self, action: str, attributes: dict[str, str], time_ns: int) -> None:
        """See `containers.Watched`."""
        if time_ns < self.started_ns or (self.has_ended and action != "destroy"):
            return
        if action == "kill" and not self.is_ours_to_end:
            self._killed_by = attributes.get("signal", "")
        elif action == "oom":
            self.how_ended = "ran out of memory"
        elif action.startswith("health_status"):
            self.health = action.partition(":")[2].strip()
        elif action == "die":
            self._end(int(attributes.get("exitCode", "0")))
        elif action == "destroy":
            self._around.containers.lose(self._name)
            self.how_ended = "was removed from outside (docker rm)"
            self._end(self.exit_code)

    def _end(self, code: int | None) -> None:
        if self.has_ended:
            return
        self.exit_code = code
        self.has_ended = True
        self.pid = None
        if self._killed_by and not self.how_ended and (code or 0) > 128:
            self.how_ended = f"{ends.describe_exit(code)} from outside (docker kill or stop)"
        self._changed.set()
        self._told.note_exit()

    def note_away(self, reason: str) -> None:
        """See `containers.Watched`."""
        if self.has_started and not self.has_ended:
            self._told.note_trouble(reason)

    async def come_back(self) -> None:
        """See `containers.Watched`."""
        if self.has_ended or not self.has_started:
            return
        try:
            engine = await self._around.engine.get()
            await self.look(engine, is_after=True)
            if not self.has_ended:
                await self.follow(engine)
                self._told.note_trouble("")
        except errors.HostError as error:
            self._told.note_trouble(error.what)

    async def look(self, engine: engines.Engine, *, is_after: bool = False) -> dict[str, Any]:
        """Ask the engine about it; ``is_after``: something may have become of it meanwhile.

        Raises:
            HostError: the engine is not reached.
        """
        try:
            seen: dict[str, Any] = await engine.call(engine.api.inspect_container, self.id)
        except engines.Refused as error:
            if error.status != 404:
                raise
            self._around.containers.lose(self._name)
            self.how_ended = "was removed from outside (docker rm)"
            self._end(None)
            return {}
        state = seen["State"]
        self.is_raw = bool(seen["Config"].get("Tty"))
        self.health = (state.get("Health") or {}).get("Status") or None
        if state.get("Running"):
            pid = int(state.get("Pid") or 0)
            self.pid = pid if pid and os.path.exists(f"/proc/{pid}") else None
        elif is_after and not self.has_ended:
            await self.follow(engine)
            await self.drain()
            code = int(state.get("ExitCode") or 0)
            self.how_ended = f"{ends.describe_exit(code)} while the engine was away"
            self._end(code)
        return seen

    async def tell_more(self, engine: engines.Engine) -> None:
        """Find out more of an end that nobody here has wished for."""
        if not self._killed_by and self.exit_code != 137:
            return
        try:
            seen: dict[str, Any] = await engine.call(engine.api.inspect_container, self.id)
        except engines.Unreached:
            return
        except engines.Refused:
            seen = {}
        if not seen or seen["State"]["Status"] in ("removing", "dead"):
            self._around.containers.lose(self._name)
            self.how_ended = "was removed from outside (docker rm)"
        elif seen["State"].get("OOMKilled"):
            self.how_ended = "was killed: it ran out of memory"

    async def wait_ended(self, timeout_s: float, is_hurried: Callable[[], bool]) -> bool:
        """Wait for its end; return whether it came before time was up, or hurry."""
        try:
            async with asyncio.timeout(timeout_s):
                while not (self.has_ended or is_hurried()):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass
        return self.has_ended

    def wake(self) -> None:
        """Let who waits look again."""
        self._changed.set()

    def close(self) -> None:
        """Follow it no longer."""
        if self.id:
            self._around.containers.unwatch(self.id, self)
        if self._line is not None:
            self._line.close()
        if self._fds is not None:
            for fd in self._fds:
                os.close(fd)
            self._fds = None


def now_ns() -> int:
    """Return the wall clock: an engine on this machine has the same."""
    return time.time_ns()
