"""Draws a run on a terminal: at most ten times a second, and only when something has changed."""

import asyncio
import time
from collections.abc import Callable, Sequence

from stackdsl.cli import screens
from stackdsl.session import sampling
from stackdsl.views import lines, live, liveruns

# A change of state is shown that soon; lines of output come in groups.
FASTEST_S = 0.1
LINES_EVERY_S = 0.25
# The clock goes on.
SLOWEST_S = 1.0


class Living:
    """Draws ``run`` from `draw` on until `close`. ``foot`` returns the texts of the last row,
    ``on_quit`` is called for the key q."""

    def __init__(
        self,
        run: liveruns.LiveRun,
        folder: str,
        secrets: Sequence[str],
        paint: lines.Paint,
        *,
        foot: Callable[[], Sequence[str]],
        on_quit: Callable[[], None],
    ) -> None:
        self._run = run
        self._paint = paint
        self._foot = foot
        self._something = asyncio.Event()
        self._change = asyncio.Event()
        self._sampler = sampling.Sampler(folder, secrets, self._something.set)
        self.screen = screens.FullScreen(on_quit=on_quit, on_change=self.change)

    def change(self) -> None:
        """Take note that a state, or the terminal, has changed."""
        self._change.set()
        self._something.set()

    async def draw(self) -> None:
        """Draw until cancelled."""
        loop = asyncio.get_running_loop()
        self._sampler.open()
        self.screen.enter()
        lines_at = 0.0
        while True:
            drawn_at = loop.time()
            if drawn_at - lines_at >= LINES_EVERY_S:
                lines_at = drawn_at
                self._sampler.look()
                self._run.take_lines(self._sampler.take())
                self._run.take_unfinished(self._sampler.unfinished())
            self._draw_once()
            await self.screen.writer.caught_up()
            await _wait(self._something, SLOWEST_S)
            await asyncio.sleep(max(drawn_at + FASTEST_S - loop.time(), 0))
            await _wait(self._change, lines_at + LINES_EVERY_S - loop.time())
            self._something.clear()
            self._change.clear()

    def _draw_once(self) -> None:
        width, height = self.screen.size
        frame = live.format_frame(
            self._run,
            self._paint,
            now_s=time.time(),
            # clearing the rest of a row that is full would clear its last cell
            width=max(width - 1, 1),
            height=height,
            foot=self._foot(),
        )
        self.screen.draw(frame)

    async def close(self) -> None:
        """Give the terminal back; the newest lines are in the run then."""
        self._sampler.look()  # nothing was drawn of a run that was over at once
        self._run.take_lines(self._sampler.take())
        self._run.take_lines(self._sampler.unfinished().items())
        self._sampler.close()
        await self.screen.close()


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    if timeout_s <= 0:
        return
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
