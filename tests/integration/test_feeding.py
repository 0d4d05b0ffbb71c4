"""The terminal of a program in a container: what it says is shown, and nobody waits for that."""

import asyncio
import contextlib
import os
import tty
from collections.abc import Iterator

import pytest

from stackdsl.node import dialing, feeding
from tests.waiting import eventually_async


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """A terminal's far end, which does not block, and its path."""
    far, near = os.openpty()
    tty.setraw(near)
    os.set_blocking(far, False)
    yield far, os.ttyname(near)
    os.close(near)
    os.close(far)


def make_line() -> dialing.Line:
    return dialing.Line(lambda _: None, lambda: None)


async def test_a_terminal_that_is_not_read_holds_up_nobody_and_misses_nothing(
    terminal: tuple[int, str],
) -> None:
    far, path = terminal
    said = b"".join(b"%d\n" % number for number in range(40_000))
    with contextlib.closing(feeding.Feed(path, make_line())) as feed:
        for at in range(0, len(said), 8192):
            assert feed.show(said[at : at + 8192])
        shown = bytearray()

        async def is_all_shown() -> bool:
            with contextlib.suppress(BlockingIOError):
                while part := os.read(far, 65536):
                    shown.extend(part)
            await asyncio.sleep(0)
            return bytes(shown) == said

        await eventually_async(is_all_shown, within_s=10)


async def test_what_a_halted_terminal_cannot_show_is_left_to_the_logs(
    terminal: tuple[int, str],
) -> None:
    with contextlib.closing(feeding.Feed(terminal[1], make_line())) as feed:
        answers = [feed.show(b"x" * 65536) for _ in range(40)]

        assert answers[0]
        assert not answers[-1]
