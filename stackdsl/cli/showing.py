"""How a run in front is shown: a live view on a terminal, else prefixed lines and changes."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stackdsl.cli import asides, screens, streams, telling
from stackdsl.model import errors, events, plans
from stackdsl.node import following
from stackdsl.session import outputs
from stackdsl.views import lines, problems, statuses

if TYPE_CHECKING:  # whoever runs in front has imported it already; the live view comes later
    from stackdsl.cli import living
    from stackdsl.session import answering
    from stackdsl.views import liveruns

# The view is loaded and drawn once the first services are on their way, and it does not flicker up
# for a run that is over at once.
_LIVE_AFTER_S = 0.15


class FrontView:
    """Shows a run in front; implements `fronting.View`."""

    def __init__(self, *, is_until_ready: bool, is_plain: bool = False) -> None:
        self._is_until_ready = is_until_ready
        self._is_live = screens.is_live() and not is_plain
        self._paint = streams.paint_for(sys.stderr)
        self._began_s = time.time()
        self._is_announced = False
        self._live: liveruns.LiveRun | None = None
        self._screen: screens.PlainScreen | None = None
        self._changes: telling.Changes | None = None
        self.failures: list[errors.StackError] = []

    async def show(self, answers: "answering.Answers") -> None:
        """Show until the run's timeline ends."""
        plan = await answers.plan()
        if self._is_live:
            await self._show_live(answers, plan)
        else:
            await self._show_plain(answers, plan)

    # --- a terminal -------------------------------------------------------------------------------

    async def _show_live(self, answers: "answering.Answers", plan: plans.Plan) -> None:
        for notice in plan.warnings:
            self.note(problems.format_warning(notice, self._paint))
        early = await self._read_early(answers)
        from stackdsl.cli import living  # and rich with it: services are being started by now
        from stackdsl.views import liveends, liveruns

        run = self._live = liveruns.LiveRun(plan, began_s=self._began_s)
        for event in early:
            run.take(event)
        paint = streams.paint_for(sys.stdout)
        view = living.Living(
            run,
            answers.folder,
            await answers.secrets(),
            paint,
            foot=self._say_keys,
            on_quit=_interrupt,
        )
        with asides.off_screen(run.tell) as printed:
            try:
                await self._draw(answers, run, view, early[-1].seq if early else 0)
            finally:
                self._live = None
                await view.close()
        width, _ = view.screen.size
        text = liveends.format_end(run, paint, now_s=time.time(), width=width)
        await view.screen.leave("\n".join([*printed, text]))

    async def _read_early(self, answers: "answering.Answers") -> list[events.Event]:
        """Return what happens in the first moment of a run."""
        early: list[events.Event] = []
        try:
            async with asyncio.timeout(_LIVE_AFTER_S):
                async for event in answers.events(since=0, logs=False):
                    early.append(event)  # noqa: PERF401 - kept when time is up
        except TimeoutError:
            pass
        return early

    async def _draw(
        self, answers: "answering.Answers", run: "liveruns.LiveRun", view: "living.Living", seq: int
    ) -> None:
        async with asyncio.TaskGroup() as group:
            helpers = [
                group.create_task(
                    _stop_when_unread(answers, view.screen.writer), name="watch the reader"
                )
            ]
            if run.run_state != "stopping":  # it is over before there is something to look at
                helpers.append(group.create_task(view.draw(), name="draw"))
            async for event in answers.events(since=seq, logs=False):
                run.take(event)
                if run.is_stale:
                    run.take_plan(await answers.plan())
                    run.take_status(await answers.status())
                view.change()
            for helper in helpers:
                helper.cancel()

    def _say_keys(self) -> Sequence[str]:
        assert self._live is not None
        if self._live.run_state in ("stopping", "stopped"):
            return ("stopping in order", "q or Ctrl-C once more stops at once")
        return ("q or Ctrl-C stops it", f"all output: stackdsl logs -f {self._live.run}")

    # --- lines ------------------------------------------------------------------------------------

    async def _show_plain(self, answers: "answering.Answers", plan: plans.Plan) -> None:
        changes = self._changes = telling.Changes(plan, self.note, self._paint)
        screen = self._screen = screens.PlainScreen()
        for notice in plan.warnings:
            self.note(problems.format_warning(notice, self._paint))
        reader = outputs.open_reader(answers.folder)
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(
                    _stop_when_unread(answers, screen.writer), name="watch the reader"
                )
                printing = group.create_task(
                    _print_output(answers, plan, reader, screen), name="print output"
                )
                async for event in answers.events(since=0, logs=False):
                    changes.take(event)
                    if event.kind == "run" and event.state == "ready":
                        await self._announce(answers)
                    if event.kind == "run" and event.state == "stopping":
                        reader.wind_down()
                reader.stop()
                await self._let_print(printing, screen)
                watching.cancel()
        finally:
            self._screen = None
            await screen.close()

    async def _let_print(self, printing: "asyncio.Task[None]", screen: screens.PlainScreen) -> None:
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

    async def _announce(self, answers: "answering.Answers") -> None:
        if self._is_announced:
            return
        assert self._changes is not None
        self._is_announced = True
        self.note(
            statuses.format_summary(
                await answers.status(),
                self._paint,
                took_s=time.time() - self._began_s,
                ready_s=self._changes.took_s,
                plan=await answers.plan(),
                advice="" if self._is_until_ready else "Ctrl-C stops it",
            ).rstrip("\n")
        )

    def fail(self, error: errors.StackError) -> None:
        """Keep an error that ended the run: it is printed last, where people look."""
        self.failures.append(error)

    def note(self, text: str) -> None:
        """Show one line of our own."""
        if self._live is not None:
            self._live.tell(text)
        elif self._screen is not None:
            self._screen.note(text)
        else:
            print(text, file=sys.stderr, flush=True)


async def _print_output(
    answers: "answering.Answers",
    plan: plans.Plan,
    reader: following.LogReader,
    screen: screens.PlainScreen,
) -> None:
    prefixes = lines.Prefixes([one.name for one in plan.services], streams.paint_for(sys.stdout))
    async for chunk in outputs.follow_lines(reader, await answers.secrets()):
        prefix = prefixes[chunk.name]
        text = lines.prefix_lines(prefix, chunk.lines, is_tamed=screen.is_terminal)
        if chunk.lost_bytes:
            text = f"{prefix}({chunk.lost_bytes} bytes are no longer kept)\n{text}"
        await screen.write(text)


async def _stop_when_unread(answers: "answering.Answers", writer: streams.Writer) -> None:
    """End the run when nobody can read its output any more, as other programs end then."""
    await writer.is_broken.wait()
    await answers.stop_run(at_once=False)


def _interrupt() -> None:
    """Stop as Ctrl-C does, a second time at once."""
    os.kill(os.getpid(), signal.SIGINT)
