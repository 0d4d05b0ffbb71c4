"""Ending a replica: its process, and everything that it started, however it got away."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable

from stackdsl.node import marks, processes, proctable

_KILL_LIMIT_S = 10.0
# A stopped process takes no signal but KILL before it goes on; most are not, and 200 go sooner
# when each is signalled once.
_CONTINUE_AFTER_S = 0.02


class Families:
    """Tells what a replica started from what others did, on one machine, in one run."""

    def __init__(self, spawner: processes.Spawner, run_id: str, folder: str) -> None:
        self._spawner = spawner
        self._run_id = run_id
        self._folder = folder
        # Orphans stay in our list of children until we reap them, so a pid is no one else's.
        self._orphan_of: dict[int, str | None] = {}
        self.has_strangers = False

    @property
    def has_any(self) -> bool:
        """Whether anything may be left of any replica, but for those whose process lives."""
        return self.has_strangers or bool(self._spawner.orphans())

    def rest(self, name: str, session: int = 0) -> list[int]:
        """Return what lives of a replica besides its main process and those below that.

        ``session`` is the pid of its main process, which led a session.
        """
        if self.has_strangers:
            # What an earlier node started did not fall to us: only marks can tell.
            return [
                pid
                for pid in marks.find_marked(self._run_id, self._folder)
                if marks.replica_of(pid, self._folder) == name
            ]
        orphans = self._spawner.orphans()
        for gone in self._orphan_of.keys() - set(orphans):
            del self._orphan_of[gone]
        mine = []
        for pid in orphans:
            if pid not in self._orphan_of:
                self._orphan_of[pid] = self._attribute(pid)
            stat = proctable.read_stat(pid)
            if self._orphan_of[pid] == name or (
                session and stat is not None and stat.session == session
            ):
                mine.append(pid)
        return [*mine, *proctable.descendants(mine)] if mine else []

    def has(self, name: str, pid: int, session: int = 0) -> bool:
        """Whether a process is one of those that `rest` tells of, or carries their marks."""
        if marks.is_of_run(pid, self._run_id) and marks.replica_of(pid, self._folder) == name:
            return True
        return pid in self.rest(name, session)

    def _attribute(self, pid: int) -> str | None:
        name = marks.replica_of(pid, self._folder)
        if name is not None:
            return name
        # Without a mark of its own (it overwrote its environment and closed its output) what it
        # started itself may still carry one.
        for below in proctable.descendants([pid]):
            name = marks.replica_of(below, self._folder)
            if name is not None:
                return name
        return None


def signal_all(pids: list[int], number: int) -> None:
    """Send a signal to each; those that are gone are passed over."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


class Ending:
    """The end of one process and of what it started. ``is_hurried`` set: kill at once."""

    def __init__(self, families: Families, name: str, process: processes.Process | None) -> None:
        self._families = families
        self._name = name
        self._process = process
        self._session = process.pid if process is not None and process.is_child else 0
        self._wake = asyncio.Event()
        self.is_hurried = False

    def hurry(self) -> None:
        """Stop being patient."""
        self.is_hurried = True
        self._wake.set()

    def note_exit(self) -> None:
        """Take note that the process has ended."""
        self._wake.set()

    @property
    def _is_gone(self) -> bool:
        return self._process is None or self._process.has_ended

    async def end(
        self,
        number: int,
        timeout_s: float,
        command: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Ask (``command``, else signal ``number``), and kill what is left after ``timeout_s``.

        Returns when everything is gone, or cannot be killed within 10 s (a process may hang in
        the kernel).
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        if not self.is_hurried:
            await self._ask(number, deadline, command)
        if not self._is_gone or self._rest():
            await self._kill(loop.time() + _KILL_LIMIT_S)

    async def _ask(
        self, number: int, deadline: float, command: Callable[[], Awaitable[None]] | None
    ) -> None:
        if command is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await command()
        elif self._process is not None:
            self._process.signal_group(number)
            soon = asyncio.get_running_loop().time() + _CONTINUE_AFTER_S
            if not await self._wait_gone(min(soon, deadline)):
                self._process.signal_group(signal.SIGCONT)
        if not await self._wait_gone(deadline):
            return
        rest = self._rest()
        signal_all(rest, number)
        signal_all(rest, signal.SIGCONT)
        pause_s = 0.001
        while rest and not self.is_hurried and asyncio.get_running_loop().time() < deadline:
            await self._doze(min(deadline, asyncio.get_running_loop().time() + pause_s))
            pause_s = min(pause_s * 2, 0.05)
            rest = self._rest()

    async def _kill(self, deadline: float) -> None:
        pause_s = 0.0005
        while asyncio.get_running_loop().time() < deadline:
            if self._process is not None and not self._process.has_ended:
                below = proctable.descendants([self._process.pid])
                self._process.signal_group(signal.SIGKILL)
                signal_all(below, signal.SIGKILL)
            rest = self._rest()
            signal_all(rest, signal.SIGKILL)
            if not rest and self._is_gone:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 0.02)

    def _rest(self) -> list[int]:
        return self._families.rest(self._name, self._session)

    async def _wait_gone(self, deadline: float) -> bool:
        """Wait until the process has ended, or is hurried; return False when the deadline came
        first."""
        while not self._is_gone and not self.is_hurried:
            if not await self._doze(deadline):
                return False
        return True

    async def _doze(self, deadline: float) -> bool:
        """Wait for an exit or hurry; return False when the deadline came first."""
        self._wake.clear()
        try:
            async with asyncio.timeout_at(deadline):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True
