"""Running a stack inside this process: for the length of a block, or until it is stopped."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Literal

from stackdsl.model import plans, stacks
from stackdsl.session import answering, bridging, controlling, handles, recovering, runs

Reload = Callable[[str], stacks.StackModel]


class Up:
    """Runs a stack for the length of a block; made by `Stack.up`."""

    def __init__(
        self, stack: stacks.StackModel, *, reload: Reload, copy: str | None = None
    ) -> None:
        self._stack = stack
        self._reload = reload
        self._copy = copy
        self._host: _Host | None = None

    def __enter__(self) -> runs.Run:
        self._host = _Host(self._stack, self._copy, self._reload)
        try:
            return runs.Run(bridging.call(self._host.open()))
        except BaseException:
            self._give_back(self._host)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._host is not None
        self._give_back(self._host)

    def _give_back(self, host: "_Host") -> None:
        """Wait until everything is given back; an interrupt meanwhile makes it hurry."""
        try:
            bridging.call(host.close())
        except KeyboardInterrupt:
            bridging.call(host.close(at_once=True))
            raise

    async def open_async(self) -> runs.AsyncRun:
        """Open it without a block; whoever holds the run stops it."""
        self._host = _Host(self._stack, self._copy, self._reload)
        try:
            return runs.AsyncRun(await bridging.acall(self._host.open()))
        except BaseException:
            await bridging.afinish(self._host.close())
            raise

    async def __aenter__(self) -> runs.AsyncRun:
        return await self.open_async()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._host is not None
        await bridging.afinish(self._host.close())


class _Host:
    """Owns a controller inside the background loop, in one task from start to end."""

    def __init__(self, stack: stacks.StackModel, copy: str | None, reload: Reload) -> None:
        self._stack = stack
        self._reload = reload
        self._copy = copy
        self._opened: asyncio.Future[handles.Held] | None = None
        self._owner: asyncio.Task[None] | None = None
        self._controller: controlling.Controller | None = None
        self._close = asyncio.Event()

    async def open(self) -> handles.Held:
        loop = asyncio.get_running_loop()
        self._opened = loop.create_future()
        # one task must enter and leave the controller's groups; close() awaits it
        self._owner = loop.create_task(self._own(), name=f"run {self._stack.name}")
        # who gives up waiting closes: the owner itself is never cancelled
        return await asyncio.shield(self._opened)

    async def _own(self) -> None:
        assert self._opened is not None
        options = controlling.Options(copy=self._copy, crash="reap", is_crash_forced=True)
        try:
            await asyncio.to_thread(recovering.sweep_here)
            controller = self._controller = controlling.Controller(options, reload=self._reload)
            async with controller:
                plan = await controller.open(self._stack)
                answers = answering.Answers(controller)
                await controller.serve(answers)
                closing = controller.group.create_task(self._close.wait(), name="wait for close")
                try:
                    await self._start(controller, answers, plan, closing)
                finally:
                    closing.cancel()
        except BaseException as error:
            if self._opened.done():
                raise
            self._opened.set_exception(_plain(error))

    async def _start(
        self,
        controller: controlling.Controller,
        answers: answering.Answers,
        plan: plans.Plan,
        closing: "asyncio.Task[Literal[True]]",
    ) -> None:
        """Start everything, hand the run over, and return when it is to be given back."""
        assert self._opened is not None
        starting = controller.group.create_task(controller.start_all(plan), name="start")
        await asyncio.wait({starting, closing}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return
        failure = starting.result()
        if failure is not None:
            raise failure
        held = handles.Held(
            answers,
            run=controller.run,
            folder=controller.folder,
            secrets=controller.secrets,
            close=self.close,
        )
        self._opened.set_result(held)
        ended = controller.group.create_task(controller.ended.wait(), name="wait for the end")
        await asyncio.wait({closing, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()

    async def close(self, *, at_once: bool = False) -> None:
        """Give the run back, in order or at once; returns when nothing of it is left. May be called
        again, and given up: the run goes on being given back."""
        self._close.set()
        if self._owner is None:
            return
        if at_once and self._controller is not None and not self._owner.done():
            await self._controller.stop_run(at_once=True)
        await asyncio.shield(self._owner)


def _plain(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
