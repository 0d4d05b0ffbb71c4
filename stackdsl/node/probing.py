"""Probes: trying one check until it succeeds, and keeping an eye on it afterwards."""

import asyncio
import os
import re
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

from stackdsl.model import errors, probes, reports, specs
from stackdsl.node import (
    executing,
    listening,
    looking,
    notifying,
    pausing,
    requesting,
)

_REPORT_EVERY_S = 1.0
_LOG_READ_BYTES = 1024 * 1024
_LINE_LIMIT_BYTES = 64 * 1024
_KEPT_BYTES = 64 * 1024


class Prober:
    """What all probes of a machine share."""

    def __init__(self, report: Callable[[reports.Report], None]) -> None:
        self.report = report
        self.looker = listening.Looker()
        self.lookout = looking.Lookout(self.looker)

    def close(self) -> None:
        """Give the netlink socket back."""
        self.looker.close()


Run = Callable[[Sequence[str], float | None, int], Awaitable[executing.Outcome]]


@dataclass(slots=True, kw_only=True)
class Subject:
    """Whom a probe asks about: a replica's start. ``run`` runs its checks (argv, time limit, bytes
    of output kept); ``logs`` are its output files with the offsets where this start begins."""

    name: str
    run: Run | None = None
    logs: tuple[tuple[str, int], ...] = ()
    notices: notifying.Notices | None = None
    # How files and health are looked at where it is no process of this machine.
    exists: Callable[[str], Awaitable[bool]] | None = None
    read_health: Callable[[], str] | None = None
    since: float = 0.0
    # Says who holds sockets (inodes) in the replica's stead, "" if nobody does.
    find_stranger: Callable[[Collection[int]], str] | None = None


@dataclass(slots=True)
class _Scan:
    """How far a log has been searched; ``rest`` is the line that is not yet whole."""

    path: str
    offset: int
    rest: bytes = b""


@dataclass(slots=True, kw_only=True)
class Trial:
    """One check of one start, tried again and again."""

    prober: Prober
    check: specs.Check
    subject: Subject
    tries: int = 0
    last: str = "not tried"
    counts: dict[str, int] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)
    # What a try may take beyond the probe's own time limit.
    extra_s: float = 0.0
    _told_at: float = 0.0
    _scans: list[_Scan] | None = None

    async def wait(self) -> None:
        """Return when the check has succeeded as often in a row as its timing asks for."""
        timing = self.check.probe.timing
        loop = asyncio.get_running_loop()
        self._told_at = loop.time()
        in_a_row = 0
        while True:
            found = None
            if timing.interval_s is None and in_a_row == 0:
                found = await self._wait_for_listener()
            begun = loop.time()
            seen = self._find_stranger(found) or await self.once()
            in_a_row = 0 if seen else in_a_row + 1
            if in_a_row >= timing.success:
                break
            now = loop.time()
            pause_s = timing.interval_s
            if pause_s is None:
                pause_s = pausing.next_pause_s(now - self.subject.since, self._cost_s(now - begun))
                if seen and isinstance(self.check.probe, probes.Http):
                    # it listens and is asked to work, and may log every request
                    pause_s = max(pause_s, pausing.ANSWERED_S)
            if seen and isinstance(self.check.probe, probes.Notify):
                await self._wait_for_notice()
            else:
                await asyncio.sleep(pause_s)
        self._tell(is_ok=True, detail="")

    async def once(self) -> str:
        """Try once, within the probe's own time limit; return "" or what was seen."""
        timeout_s = self.check.probe.timing.timeout_s
        try:
            async with asyncio.timeout(timeout_s + self.extra_s):
                seen = await self._try()
        except TimeoutError:
            seen = f"did not answer within {timeout_s:g} s"
        if seen:
            self._miss(seen)
        else:
            self.tries += 1
            self.last = ""
        return seen

    async def keep(self, on_change: Callable[[bool, str], None]) -> None:
        """Try at the interval for ever; ``on_change`` is told when failures or successes in a row
        turn the outcome."""
        timing = self.check.probe.timing
        loop = asyncio.get_running_loop()
        is_ok = True
        in_a_row = 0
        while True:
            await asyncio.sleep(timing.interval_s or pausing.STANDING_S)
            seen = await self.once()
            if bool(seen) != is_ok:
                in_a_row = 0
                continue
            if seen and loop.time() - self.subject.since < timing.start_period_s:
                continue
            in_a_row += 1
            if in_a_row >= (timing.failures if seen else timing.success):
                is_ok = not seen
                in_a_row = 0
                self._tell(is_ok=is_ok, detail=seen)
                on_change(is_ok, seen)

    def describe(self) -> str:
        """Return what was probed and what was seen, with numbers."""
        seen = ", ".join(
            f"{self.seen[kind]} {number} times" if number > 1 else self.seen[kind]
            for kind, number in sorted(self.counts.items(), key=lambda item: -item[1])[:3]
        )
        return f"{self.check.label} {seen or self.last}"

    def _miss(self, seen: str = "refused") -> None:
        self.tries += 1
        self.last = seen
        kind = seen.partition(": ")[0]  # what follows may tell the time, and never be the same
        if kind in self.counts or len(self.counts) < 50:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            self.seen[kind] = seen
        now = asyncio.get_running_loop().time()
        if now - self._told_at >= _REPORT_EVERY_S and self.subject.name:
            self._told_at = now
            self._tell(is_ok=False, detail=seen)

    def _tell(self, *, is_ok: bool, detail: str) -> None:
        if self.subject.name:
            self.prober.report(
                reports.ProbeReport(
                    name=self.subject.name,
                    probe=self.check.label,
                    is_ok=is_ok,
                    detail=detail,
                    tries=self.tries,
                    time_ns=time.time_ns(),
                )
            )

    def _cost_s(self, took_s: float) -> float:
        # Only what burns this machine's time counts; waiting for an answer does not.
        is_costly = isinstance(self.check.probe, probes.Exec) or self.last.startswith("is held")
        is_costly = is_costly or (
            isinstance(self.check.probe, probes.File) and self.subject.exists is not None
        )
        return took_s if is_costly else 0.0

    @property
    def _is_here(self) -> bool:
        return isinstance(self.check.probe, probes.Tcp | probes.Http) and looking.is_loopback(
            self.check.host
        )

    async def _wait_for_listener(self) -> list[listening.Listening] | None:
        if not self._is_here:
            return None
        return await self.prober.lookout.wait(
            self.check.host, self.check.port, self.subject.since, self._miss
        )

    def _find_stranger(self, found: list[listening.Listening] | None) -> str:
        """Return what to say if it is someone else who listens where the replica should."""
        if not (self.check.is_own and self._is_here and self.subject.find_stranger):
            return ""
        if found is None:
            address = socket.inet_aton(self.check.host)
            found = [
                each
                for each in self.prober.looker.look()
                if each.port == self.check.port and each.accepts(address)
            ]
        stranger = self.subject.find_stranger([each.inode for each in found])
        seen = stranger and f"is held by {stranger}, not by it"
        if seen:
            self._miss(seen)
        return seen

    async def _wait_for_notice(self) -> None:
        notices = self.subject.notices
        assert notices is not None
        changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        notices.on_change = partial(executing.settle, changed)
        if not notices.is_ready:
            await changed

    async def _try(self) -> str:
        probe = self.check.probe
        match probe:
            case probes.Tcp():
                seen = await self._try_tcp()
            case probes.Http():
                seen = await requesting.request(self.check.host, self.check.port, probe)
            case probes.Exec():
                seen = await self._try_exec(probe)
            case probes.Log():
                seen = self._try_log(probe)
            case probes.Notify():
                seen = self._try_notify()
            case probes.File():
                seen = await self._try_file(probe)
            case _ if self.subject.read_health is not None:
                seen = self.subject.read_health()
            case _:
                seen = f"a {probe.kind} probe needs a container"
        return seen

    async def _try_file(self, probe: probes.File) -> str:
        exists = self.subject.exists
        try:
            is_there = os.path.exists(probe.path) if exists is None else await exists(probe.path)
        except errors.ServiceError as error:
            return f"cannot be looked for: {error.what}"
        return "" if is_there else "does not exist"

    async def _try_tcp(self) -> str:
        host, port = self.check.host, self.check.port
        if looking.is_loopback(host):
            return looking.connect_here(host, port)
        try:
            _, writer = await asyncio.open_connection(host, port)
        except ConnectionRefusedError:
            return "refused"
        except OSError as error:
            return error.strerror or str(error)
        writer.transport.abort()
        return ""

    async def _try_exec(self, probe: probes.Exec) -> str:
        if self.subject.run is None:
            return "there is nowhere to run it"
        try:
            outcome = await self.subject.run(probe.argv, None, _KEPT_BYTES)
        except errors.ServiceError as error:
            return f"cannot be run: {error.what}"
        if outcome.exit_code == 0:
            return ""
        said = f": {outcome.last_line}" if outcome.last_line else ""
        return f"exited with {outcome.exit_code}{said}"

    def _try_log(self, probe: probes.Log) -> str:
        if self._scans is None:
            self._scans = [_Scan(path, offset) for path, offset in self.subject.logs]
        if not self.last:
            return ""  # a line that was written stays written
        for scan in self._scans:
            if self._scan(scan, probe.regex):
                return ""
        return "no line matches yet"

    def _scan(self, scan: _Scan, regex: str) -> bool:
        try:
            fd = os.open(scan.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            if os.fstat(fd).st_size < scan.offset:
                scan.offset, scan.rest = 0, b""  # the program emptied its own log
            data = os.pread(fd, _LOG_READ_BYTES, scan.offset)
        finally:
            os.close(fd)
        if not data:
            return False
        scan.offset += len(data)
        *lines, rest = (scan.rest + data).split(b"\n")
        scan.rest = rest[-_LINE_LIMIT_BYTES:]
        # The unfinished line too: a prompt has no end.
        return any(re.search(regex, line.decode(errors="replace")) for line in (*lines, rest))

    def _try_notify(self) -> str:
        notices = self.subject.notices
        if notices is None:
            return "it has no $NOTIFY_SOCKET"
        if notices.is_ready:
            return ""
        return f"not READY=1 yet{notices.status and f', says: {notices.status}'}"
