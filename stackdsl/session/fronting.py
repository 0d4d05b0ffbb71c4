"""A run in front: this process owns it, shows it, and ends with it."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Protocol

from stackdsl.model import errors, stacks
from stackdsl.run import replicas
from stackdsl.session import answering, controlling, nodes

INTERRUPTED = 130
TERMINATED = 143


class View(Protocol):
    """What shows a run while it goes."""

    async def show(self, answers: answering.Answers) -> None:
        """Show until the run's timeline ends."""

    def fail(self, error: errors.StackError) -> None:
        """Show an error that ended the run."""

    def note(self, text: str) -> None:
        """Show one line of our own."""


class _Signals:
    """Turns SIGINT, SIGTERM and SIGHUP into an orderly stop, a second one into one at once."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self.exit_code = 0

    def install(self) -> None:
        loop = asyncio.get_running_loop()
        for number, code in (
            (signal.SIGINT, INTERRUPTED),
            (signal.SIGTERM, TERMINATED),
            (signal.SIGHUP, 129),
        ):
            loop.add_signal_handler(number, self._take, code)

    def _take(self, code: int) -> None:
        if self.first.is_set():
            self.second.set()
        self.exit_code = self.exit_code or code
        self.first.set()


async def run_in_front(
    load: Callable[[], stacks.StackModel],
    *,
    options: controlling.Options,
    reload: Callable[[str], stacks.StackModel],
    view: View,
    until_ready: bool = False,
    spawned: nodes.NodeProcess | None = None,
) -> int:
    """Run a stack until it ends, fails or is stopped; return the exit code.

    The node is started before the stack is loaded, so that both come up together; ``spawned`` is
    one that was started even earlier.

    Raises:
        StackError: nothing was started; the stack or the call is wrong.
    """
    signals = _Signals()
    spawned = spawned or nodes.NodeProcess.spawn()
    try:
        # the author's code may take its time: it is interrupted as any other program is
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stack = load()
    except BaseException:
        spawned.discard()
        raise
    signals.install()
    controller = controlling.Controller(options, reload=reload, spawned=spawned)
    try:
        async with controller:
            plan = await controller.open(stack)
            answers = answering.Answers(controller)
            await controller.serve(answers)
            async with asyncio.TaskGroup() as group:
                showing = group.create_task(view.show(answers), name="view")
                started = group.create_task(controller.start_all(plan), name="start")
                code = await _watch(controller, started, signals, view, until_ready=until_ready)
                await _stop(controller, signals, view)
                await showing
    except BaseExceptionGroup as group_error:
        raise _only(group_error) from group_error
    return signals.exit_code or code


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the one error in a group, else the group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def _watch(
    controller: controlling.Controller,
    started: "asyncio.Task[errors.StackError | None]",
    signals: _Signals,
    view: View,
    *,
    until_ready: bool,
) -> int:
    """Return the exit code once the run is to be stopped."""
    is_up = False
    while not signals.first.is_set() and not controller.ended.is_set():
        if started.done() and not is_up:
            error = started.result()
            if error is not None:
                if not controller.ended.is_set():
                    view.fail(error)
                return 1
            is_up = True
            if until_ready:
                return 0
        failed = controller.engine.ledger.failed_for_good() if is_up else []
        if failed:
            view.fail(replicas.failure_of(failed[0], controller.run))
            return 1
        if is_up and controller.engine.ledger.is_all_completed():
            return 0
        # until everything is up, what fails ends the start: its changes need not wake us
        await _first_of(
            controller.engine.ledger.changed() if is_up else asyncio.wait({started}),
            signals.first.wait(),
            controller.ended.wait(),
        )
    if controller.failure is not None and controller.run_state not in ("stopped", "stopping"):
        view.fail(controller.failure)
        return 1
    return 0


async def _first_of(*waits: Awaitable[object]) -> None:
    """Return when the first of several waits is over; the others are given up."""
    # they end before we return: a TaskGroup would wait for all of them
    tasks = {asyncio.ensure_future(wait) for wait in waits}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _stop(controller: controlling.Controller, signals: _Signals, view: View) -> None:
    """Stop in order; at a second signal, at once."""
    if signals.first.is_set() and not controller.ended.is_set():
        view.note("stopping (once more to stop at once)")
    async with asyncio.TaskGroup() as group:
        orderly = group.create_task(controller.stop_run(at_once=False), name="stop")
        second = group.create_task(signals.second.wait(), name="second signal")
        await asyncio.wait({orderly, second}, return_when=asyncio.FIRST_COMPLETED)
        if not orderly.done():
            await controller.stop_run(at_once=True)
            await orderly
        second.cancel()
