"""One event loop in a thread of its own, and ways to wait for it from plain code, asyncio, trio."""

import asyncio
import concurrent.futures
import os
import sys
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_pid = 0


def background_loop() -> asyncio.AbstractEventLoop:
    """Return the process's background loop, started at the first call (anew after a fork)."""
    global _loop, _pid  # noqa: PLW0603  # one loop per process, made when it is first wanted
    with _lock:
        if _loop is None or _pid != os.getpid():
            _loop = asyncio.new_event_loop()
            _pid = os.getpid()
            threading.Thread(target=_loop.run_forever, name="stackdsl", daemon=True).start()
        return _loop


def begin(work: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
    """Begin ``work`` in the background loop and wait for nothing; whoever asks keeps the future."""
    return asyncio.run_coroutine_threadsafe(work, background_loop())


def call(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` in the background loop and wait for it; an interrupt cancels it."""
    future = begin(work)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def acall(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` in the background loop and wait for it from any event loop."""
    future = asyncio.run_coroutine_threadsafe(work, background_loop())
    if _is_in_trio():
        return await _wait_in_trio(future)
    return await asyncio.wrap_future(future)


async def afinish(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` in the background loop and wait for its end from any event loop; a cancellation
    meanwhile is raised when it has ended."""
    future = asyncio.run_coroutine_threadsafe(work, background_loop())
    if _is_in_trio():
        import trio  # only where the caller has it already

        with trio.CancelScope(shield=True):
            return await _wait_in_trio(future)
    waiting = asyncio.wrap_future(future)
    cancelled: asyncio.CancelledError | None = None
    while not waiting.done():
        try:
            await asyncio.wait({waiting})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from waiting.exception()
    return waiting.result()


def _is_in_trio() -> bool:
    trio = sys.modules.get("trio")
    if trio is None:
        return False
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True


async def _wait_in_trio(future: "concurrent.futures.Future[T]") -> T:
    import trio  # only where the caller has it already

    token = trio.lowlevel.current_trio_token()
    done = trio.Event()

    def tell(_: object) -> None:
        try:
            token.run_sync_soon(done.set)
        except trio.RunFinishedError:
            future.cancel()

    future.add_done_callback(tell)
    try:
        await done.wait()
    except BaseException:
        future.cancel()
        raise
    return future.result()
