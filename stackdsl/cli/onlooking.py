"""`status --watch` on a terminal: the live view of a run that somebody else owns."""

import asyncio
import signal
import sys
import time
from typing import TYPE_CHECKING

from stackdsl.cli import living, staying, streams
from stackdsl.session import background
from stackdsl.views import liveends, liveruns

if TYPE_CHECKING:
    from stackdsl.registry import client as clients
    from stackdsl.registry import store as stores

_INTERRUPTED = 130


class _Onlooker:
    """Shows one run until it ends, or who looks on has seen enough."""

    def __init__(
        self, record: "stores.Record", run: liveruns.LiveRun, secrets: tuple[str, ...]
    ) -> None:
        self._record = record
        self._run = run
        self._paint = streams.paint_for(sys.stdout)
        self._left = asyncio.Event()
        self.exit_code = 0
        self._view = living.Living(
            run, record.folder, secrets, self._paint, foot=self._say_keys, on_quit=self._left.set
        )

    def _say_keys(self) -> tuple[str, ...]:
        return (
            "q or Ctrl-C leaves it running",
            f"stackdsl stop {self._run.run} ends it",
            f"all output: stackdsl logs -f {self._run.run}",
        )

    def _interrupt(self) -> None:
        self.exit_code = _INTERRUPTED
        self._left.set()

    async def look_on(self) -> None:
        """Draw until the run has ended or the view is left."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        try:
            async with asyncio.TaskGroup() as group:
                leaving = group.create_task(self._left.wait(), name="leave")
                staying_ = group.create_task(
                    staying.stay(self._record, self._follow, self._go_on_alone), name="stay"
                )
                unread = group.create_task(
                    self._view.screen.writer.is_broken.wait(), name="watch the reader"
                )
                drawing = group.create_task(self._view.draw(), name="draw")
                ends = {leaving, staying_, unread, drawing}
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                has_ended = staying_.done()
                for task in ends:
                    task.cancel()
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            await self._view.close()
        if has_ended:
            self._run.take_end()
        width, _ = self._view.screen.size
        text = liveends.format_end(
            self._run, self._paint, now_s=time.time(), width=width, is_left=not has_ended
        )
        await self._view.screen.leave(text)

    async def _follow(self, client: "clients.Client") -> None:
        run = self._run
        run.note = ""
        status = await client.status()
        run.take_plan(await client.plan())
        run.take_status(status)
        self._view.change()
        async for event in client.events(status.seq, logs=False):
            run.take(event)
            if run.is_stale or event.kind == "gap":
                run.take_plan(await client.plan())
                run.take_status(await client.status())
            self._view.change()

    def _go_on_alone(self) -> None:
        self._run.note = "its controller is gone: stackdsl start takes it back"
        self._view.change()


async def look_on(record: "stores.Record") -> int:
    """Show a living run until it ends or the view is left; return the exit code."""
    async with background.connect(record) as client:
        run = liveruns.LiveRun(await client.plan(), began_s=record.created_ns / 1e9)
        onlooker = _Onlooker(record, run, await client.secrets())
    await onlooker.look_on()
    return onlooker.exit_code
