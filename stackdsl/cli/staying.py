"""Staying with a run: connected to its controller, and to the next one if that is replaced."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from stackdsl.cli import choosing
from stackdsl.model import errors
from stackdsl.session import background

if TYPE_CHECKING:
    from stackdsl.registry import client as clients
    from stackdsl.registry import store as stores

_LOOK_EVERY_S = 1.0
# What follows on an end at once: the controller gives everything back before it goes.
_FIRST_LOOK_S = 0.1


async def stay(
    record: "stores.Record",
    visit: "Callable[[clients.Client], Awaitable[None]]",
    on_alone: Callable[[], None] = lambda: None,
) -> None:
    """Call ``visit`` with a client of each controller that the run has; return when the run has
    ended. ``on_alone`` is called when it goes on without a controller.

    Raises:
        UsageError: nobody serves it from the start.
    """
    current: stores.Record | None = record
    is_first = True
    while current is not None:
        try:
            async with background.connect(current) as client:
                is_first = False
                await visit(client)
        except errors.StackError as error:
            is_gone = isinstance(error, errors.HostError) or error.code == "usage.run-not-served"
            if is_first or not is_gone:
                raise
        current = await _find_next(record, on_alone)


async def _find_next(
    record: "stores.Record", on_alone: Callable[[], None]
) -> "stores.Record | None":
    """Return the run's record once it has a controller again; None if it has ended."""
    pause_s = _FIRST_LOOK_S
    while True:
        await asyncio.sleep(pause_s)
        # what a dead run has left is given back in it, which may take a while
        found = await asyncio.to_thread(_find, record)
        if found is None or found.has_controller:
            return found
        on_alone()
        pause_s = _LOOK_EVERY_S


def _find(record: "stores.Record") -> "stores.Record | None":
    with choosing.open_records() as (_, records):
        for one in records:
            if one.run == record.run and one.run_id == record.run_id:
                return one
    return None
