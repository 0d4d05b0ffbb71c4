"""Waiting for a state, never for a time: a check is tried again until it holds or time is up."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE_S = 0.01


def eventually(check: Callable[[], T], within_s: float = 5.0) -> T:
    """Return the first truthy value of ``check``; an AssertionError in it counts as "not yet".

    Raises:
        AssertionError: time is up; says what was seen last.
    """
    deadline = time.monotonic() + within_s
    while True:
        value, seen = _attempt(check)
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s; last: {seen}")
        time.sleep(PAUSE_S)


async def eventually_async(check: Callable[[], Awaitable[T]], within_s: float = 5.0) -> T:
    """Do as `eventually` does with a check that must be awaited; the loop goes on meanwhile."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            value: T | None = await check()
            seen = repr(value)
        except AssertionError as error:
            value, seen = None, str(error)
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s; last: {seen}")
        await asyncio.sleep(PAUSE_S)


def _attempt(check: Callable[[], T]) -> tuple[T | None, str]:
    try:
        value = check()
    except AssertionError as error:
        return None, str(error)
    return value, repr(value)
