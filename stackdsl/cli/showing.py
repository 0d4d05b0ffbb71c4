"""How a run in front is shown: prefixed lines of output, changes of state, a block when ready."""

import asyncio
import sys
import time
from typing import TYPE_CHECKING

from stackdsl.cli import screens, streams, telling
from stackdsl.model import errors, plans
from stackdsl.node import following
from stackdsl.session import outputs
from stackdsl.views import footers, lines, problems, statuses

if TYPE_CHECKING:  # whoever runs in front has imported it already
    from stackdsl.session import answering

_TICK_S = 1.0


class FrontView:
    """Shows a run in front; implements `fronting.View`."""

    def __init__(self, *, is_until_ready: bool, is_plain: bool = False) -> None:
        self._is_until_ready = is_until_ready
        self._is_live = screens.is_live() and not is_plain
        self._paint = streams.paint_for(sys.stderr)
        self._began_s = time.monotonic()
        self._is_announced = False
        self._run = ""
        self._screen: screens.Screen | None = None
        self._changes: telling.Changes | None = None
        self.failures: list[errors.StackError] = []

    async def show(self, answers: "answering.Answers") -> None:
        """Show until the run's timeline ends."""
        plan = await answers.plan()
        self._run = plan.run
        changes = self._changes = telling.Changes(plan, self.note, self._paint)
        screen: screens.Screen = (
            screens.LiveScreen(self._make_footer) if self._is_live else screens.PlainScreen()
        )
        self._screen = screen
        for notice in plan.warnings:
            self.note(problems.format_warning(notice, self._paint))
        reader = outputs.open_reader(answers.folder)
        try:
            async with asyncio.TaskGroup() as group:
                helpers = [
                    group.create_task(self._stop_when_unread(answers), name="watch the reader")
                ]
                if self._is_live:
                    helpers.append(group.create_task(self._tick(), name="tick"))
                printing = group.create_task(
                    self._print_output(answers, plan, reader), name="print output"
                )
                async for event in answers.events(since=0, logs=False):
                    changes.take(event)
                    screen.refresh()
                    if event.kind == "run" and event.state == "ready":
                        await self._announce(answers)
                    if event.kind == "run" and event.state == "stopping":
                        reader.wind_down()
                reader.stop()
                await self._let_print(printing, screen)
                for helper in helpers:
                    helper.cancel()
        finally:
            self._screen = None
            await screen.close()

    async def _let_print(self, printing: "asyncio.Task[None]", screen: screens.Screen) -> None:
        """Let what is left be printed for as long as somebody reads it; a person has seen enough
        after a moment."""
        written = -1
        while not printing.done() and screen.writer.written_bytes != written:
            written = screen.writer.written_bytes
            await asyncio.wait({printing}, timeout=streams.FLUSH_TIMEOUT_S)
            if screen.is_terminal:
                break
        if not printing.done():
            printing.cancel()
            self.note("the rest of the output was not printed: stackdsl logs has it")

    def _make_footer(self, width: int, height: int) -> list[str]:
        assert self._changes is not None
        return footers.format_footer(
            self._run,
            self._changes.run_state,
            self._changes.known,
            self._paint,
            now_s=time.time(),
            width=width,
            height=height,
        )

    async def _tick(self) -> None:
        """Let the clock go on below, while something is on its way."""
        assert self._changes is not None
        while True:
            await asyncio.sleep(_TICK_S)
            if self._screen is not None and self._changes.is_moving:
                self._screen.refresh()

    async def _print_output(
        self, answers: "answering.Answers", plan: plans.Plan, reader: following.LogReader
    ) -> None:
        screen = self._screen
        assert screen is not None
        prefixes = lines.Prefixes(
            [one.name for one in plan.services], streams.paint_for(sys.stdout)
        )
        async for chunk in outputs.follow_lines(reader, await answers.secrets()):
            prefix = prefixes[chunk.name]
            text = lines.prefix_lines(prefix, chunk.lines, is_tamed=screen.is_terminal)
            if chunk.lost_bytes:
                text = f"{prefix}({chunk.lost_bytes} bytes are no longer kept)\n{text}"
            await screen.write(text)

    async def _stop_when_unread(self, answers: "answering.Answers") -> None:
        """End the run when nobody can read its output any more, as other programs end then."""
        assert self._screen is not None
        await self._screen.writer.is_broken.wait()
        await answers.stop_run(at_once=False)

    async def _announce(self, answers: "answering.Answers") -> None:
        if self._is_announced:
            return
        assert self._changes is not None
        self._is_announced = True
        self.note(
            statuses.format_summary(
                await answers.status(),
                self._paint,
                took_s=time.monotonic() - self._began_s,
                ready_s=self._changes.took_s,
                plan=await answers.plan(),
                advice="" if self._is_until_ready or self._is_live else "Ctrl-C stops it",
            ).rstrip("\n")
        )

    def fail(self, error: errors.StackError) -> None:
        """Keep an error that ended the run: it is printed last, where people look."""
        self.failures.append(error)

    def note(self, text: str) -> None:
        """Show one line of our own."""
        if self._screen is not None:
            self._screen.note(text)
        else:
            print(text, file=sys.stderr, flush=True)
