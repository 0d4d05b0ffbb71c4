"""How a run in front is shown: prefixed lines of output, changes of state, a block when ready."""

import asyncio
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stackdsl.cli import streams
from stackdsl.model import errors, events, plans
from stackdsl.node import following
from stackdsl.session import outputs
from stackdsl.views import eventlines, lines, problems, statuses

if TYPE_CHECKING:  # whoever shows a run has imported it already, or its client
    from stackdsl import ports
    from stackdsl.session import answering


class Changes:
    """Tells people of changes of state, and keeps how long each service took."""

    def __init__(
        self,
        plan: plans.Plan,
        tell: Callable[[str], None],
        paint: lines.Paint,
    ) -> None:
        self._plan = plan
        self._tell = tell
        self._paint = paint
        self._prefixes = lines.Prefixes([one.name for one in plan.services], paint)
        self._began: dict[str, datetime] = {}
        self._seen_seq = 0
        self._is_over = False
        self._moved = asyncio.Event()
        self.took_s: dict[str, float] = {}

    def take(self, event: events.Event) -> None:
        """Take one event in, and tell of it if it is one for people."""
        self._seen_seq = event.seq
        self._moved.set()
        if event.kind == "host" and event.state not in ("connected", None):
            self._tell(f"{self._paint('✘', 'red')} host {event.subject}: {event.reason}")
        if event.kind != "service-changed":
            return
        now = datetime.fromisoformat(event.time)
        if event.state in ("starting", "running"):
            self._began.setdefault(event.subject, now)
        if event.state in ("ready", "completed") and event.subject in self._began:
            took = (now - self._began.pop(event.subject)).total_seconds()
            self.took_s[event.subject] = took
        self._tell(
            eventlines.format_change(
                event,
                self._paint,
                prefix=self._prefixes[event.subject],
                addresses=self._addresses_of(event.subject),
            )
        )

    def end(self) -> None:
        """Take note that no more events will come."""
        self._is_over = True
        self._moved.set()

    async def wait_until(self, seq: int, timeout_s: float = 1.0) -> None:
        """Wait until event ``seq`` was taken in, so that its line stands before what follows; not
        for long: lines of output have numbers too, and are not among the events taken."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._seen_seq < seq and not self._is_over:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return

    def _addresses_of(self, name: str) -> str:
        planned = self._plan.service(name)
        if planned is None:
            return ""
        return ", ".join(
            (f"{port.scheme}://" if port.scheme else "") + f"{port.host}:{port.told_port}"
            for port in planned.ports
        )


class FrontView:
    """Shows a run in front: output of services on stdout, everything else on stderr."""

    def __init__(self, *, is_until_ready: bool) -> None:
        self._is_until_ready = is_until_ready
        self._paint = streams.paint_for(sys.stderr)
        self._began_s = time.monotonic()
        self._is_announced = False
        self.failures: list[errors.StackError] = []

    async def show(self, answers: "answering.Answers") -> None:
        """Show until the run's timeline ends."""
        plan = await answers.plan()
        for notice in plan.warnings:
            self.note(problems.format_warning(notice, self._paint))
        reader = outputs.open_reader(answers.folder)
        changes = Changes(plan, self.note, self._paint)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._print_output(answers, plan, reader), name="print output")
            async for event in answers.events(since=0, logs=False):
                changes.take(event)
                if event.kind == "run" and event.state == "ready":
                    await self._announce(answers, changes)
            reader.stop()

    async def _print_output(
        self, answers: "answering.Answers", plan: plans.Plan, reader: following.LogReader
    ) -> None:
        paint = streams.paint_for(sys.stdout)
        is_tamed = streams.is_terminal(sys.stdout)
        prefixes = lines.Prefixes([one.name for one in plan.services], paint)
        writer = streams.Writer(sys.stdout.fileno())
        stopping = asyncio.create_task(self._stop_when_unread(answers, writer))  # cancelled below
        try:
            async for chunk in outputs.follow_lines(reader, await answers.secrets()):
                prefix = prefixes[chunk.name]
                if chunk.lost_bytes:
                    await writer.write(f"{prefix}({chunk.lost_bytes} bytes are no longer kept)\n")
                await writer.write(lines.prefix_lines(prefix, chunk.lines, is_tamed=is_tamed))
            await writer.flush()
        finally:
            stopping.cancel()
            writer.close()

    async def _stop_when_unread(self, answers: "answering.Answers", writer: streams.Writer) -> None:
        """End the run when nobody can read its output any more, as other programs end then."""
        await writer.is_broken.wait()
        await answers.stop_run(at_once=False)

    async def _announce(self, answers: "ports.RunControl", changes: Changes) -> None:
        if self._is_announced:
            return
        self._is_announced = True
        self.note(
            statuses.format_summary(
                await answers.status(),
                self._paint,
                took_s=time.monotonic() - self._began_s,
                ready_s=changes.took_s,
                plan=await answers.plan(),
                advice="" if self._is_until_ready else "Ctrl-C stops it",
            ).rstrip("\n")
        )

    def fail(self, error: errors.StackError) -> None:
        """Keep an error that ended the run: it is printed last, where people look."""
        self.failures.append(error)

    def note(self, text: str) -> None:
        """Show one line of our own."""
        print(text, file=sys.stderr, flush=True)


def now() -> datetime:
    """Return the time of now."""
    return datetime.now(UTC)
