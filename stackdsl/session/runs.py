"""Runs as Python code holds them: `Run` for plain code, `AsyncRun` for any event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from types import TracebackType
from typing import Literal

from stackdsl import ports
from stackdsl.model import errors, events, plans, specs, stacks, states
from stackdsl.session import (
    answering,
    bridging,
    controlling,
    outputs,
    preparing,
    recovering,
)

Reload = Callable[[str], stacks.StackModel]


class Held:
    """A run held from outside its loop: its control, and how it is let go of."""

    def __init__(
        self,
        control: ports.RunControl,
        *,
        run: str,
        folder: str,
        secrets: tuple[str, ...],
    ) -> None:
        self.control = control
        self.run = run
        self.folder = folder
        self.secrets = secrets


def _pick(status: states.RunStatus, name: str) -> tuple[states.ServiceStatus, ...]:
    plain = name.replace("-", "_")
    mine = tuple(
        one
        for one in status.services
        if plain in (one.name.replace("-", "_"), one.service.replace("-", "_"))
    )
    if not mine:
        raise preparing.unknown_service(
            name, status.run, sorted({one.service for one in status.services})
        )
    return mine


class _Base:
    """What both faces of a run share: its name, and a look at its last known state."""

    def __init__(self, held: Held) -> None:
        self._held = held

    @property
    def name(self) -> str:
        """The run's name."""
        return self._held.run

    @property
    def folder(self) -> str:
        """The run's folder: ``logs/`` and ``dirs/`` are in it."""
        return self._held.folder

    def _status(self) -> states.RunStatus:
        return bridging.call(self._held.control.status())

    @property
    def state(self) -> states.RunState:
        """The run's state now."""
        return self._status().state

    def status(self) -> states.RunStatus:
        """Return the run's status now."""
        return self._status()


class _BaseService:
    """What both faces of a service share: values that need no waiting."""

    def __init__(self, held: Held, name: str, index: int | None = None) -> None:
        self._held = held
        self._name = name
        self._index = index

    def _statuses(self) -> tuple[states.ServiceStatus, ...]:
        return _pick(bridging.call(self._held.control.status()), self._name)

    @property
    def status(self) -> states.ServiceStatus:
        """The status of this replica (the first one for a service)."""
        mine = self._statuses()
        if self._index is None:
            return mine[0]
        if not -len(mine) <= self._index < len(mine):
            raise IndexError(self._index)
        return mine[self._index]

    @property
    def name(self) -> str:
        """The replica's name; a service's with several replicas."""
        mine = self._statuses()
        return self._name if self._index is None and len(mine) > 1 else self.status.name

    @property
    def state(self) -> states.State:
        """The state now; of a service with several replicas the least ready one's."""
        if self._index is not None:
            return self.status.state
        order = ("failed", "stopped", "stopping", "restarting", "waiting", "starting", "unready")
        found = [one.state for one in self._statuses()]
        for state in order:
            if state in found:
                return state
        return found[0]

    @property
    def pid(self) -> int | None:
        """The main process, if one lives."""
        return self.status.pid

    @property
    def addr(self) -> str:
        """``host:port`` of the default port, for a caller that stands where this code runs.

        Raises:
            UsageError: it has no port.
        """
        addresses = self.status.addresses
        if not addresses:
            raise errors.UsageError(
                "usage.no-port",
                f'cannot tell the address of "{self._name}": it has no port',
                do="give it port=… in the stack",
            )
        return dict(addresses).get("default", addresses[0][1])

    @property
    def host(self) -> str:
        """The address without the port."""
        return self.addr.rpartition(":")[0]

    @property
    def port(self) -> int:
        """The port's number."""
        return int(self.addr.rpartition(":")[2])

    @property
    def addresses(self) -> dict[str, str]:
        """``host:port`` by port name."""
        return dict(self.status.addresses)

    @property
    def url(self) -> str:
        """``scheme://host:port`` of the default port.

        Raises:
            UsageError: the port has no scheme.
        """
        plan = bridging.call(self._held.control.plan())
        planned = plan.service(self.status.name)
        addr = self.addr
        for port in planned.ports if planned else ():
            if f"{port.host}:{port.told_port}" == addr and port.scheme:
                return f"{port.scheme}://{addr}"
        raise errors.UsageError(
            "usage.no-scheme",
            f'cannot tell the URL of "{self._name}": its port has no scheme',
            do="give it Port(…, scheme=…) or an http probe in the stack, or use .addr",
        )

    def logs(self, *, tail: int | None = None) -> str:
        """Return the output so far, both streams merged by time, secrets masked."""
        names = [one.name for one in self._statuses()]
        if self._index is not None:
            names = [self.status.name]
        return outputs.read_text(self._held.folder, names, self._held.secrets, tail=tail)

    @property
    def output(self) -> str:
        """A completed task's standard output, last newline cut."""
        return outputs.read_stream(self._held.folder, self.status.name, "out").removesuffix("\n")

    def surroundings(self) -> specs.ServiceSpec:
        """Return the program, environment and folder of the replica."""
        return bridging.call(self._held.control.surroundings(self.status.name))


class Service(_BaseService):
    """One service of a run, for plain code; ``[i]`` is one replica."""

    def __getitem__(self, index: int) -> "Service":
        one = Service(self._held, self._name, index)
        _ = one.status
        return one

    def __len__(self) -> int:
        return len(self._statuses())

    def exec(
        self,
        argv: Sequence[str],
        *,
        timeout: float | None = 60,
    ) -> ports.Executed:
        """Run a command in the service's surroundings; ``timeout`` in seconds.

        Raises:
            ServiceError: time was up.
        """
        return bridging.call(self._held.control.execute(self.status.name, argv, timeout))

    def stop(self) -> None:
        """Stop it; returns when everything it started is gone."""
        bridging.call(self._held.control.stop_services([self.name]))

    def start(self) -> None:
        """Start it, and what it needs; returns when ready."""
        bridging.call(self._held.control.start_services([self.name]))

    def restart(self) -> None:
        """Restart it; returns when ready again."""
        bridging.call(self._held.control.restart_services([self.name]))

    def wait(self, *state: str, timeout: float | None = 30) -> states.ServiceStatus:
        """Wait until it is in one of the states (ready); ``timeout`` in seconds.

        Raises:
            ServiceError: time was up, or it failed for good.
        """
        bridging.call(self._held.control.wait_for(self.name, state or ("ready",), timeout))
        return self.status


class AsyncService(_BaseService):
    """One service of a run, for any event loop; ``[i]`` is one replica."""

    def __getitem__(self, index: int) -> "AsyncService":
        one = AsyncService(self._held, self._name, index)
        _ = one.status
        return one

    def __len__(self) -> int:
        return len(self._statuses())

    async def exec(
        self,
        argv: Sequence[str],
        *,
        timeout: float | None = 60,  # noqa: ASYNC109  # same words as the plain face
    ) -> ports.Executed:
        """Run a command in the service's surroundings; ``timeout`` in seconds."""
        name = self.status.name
        return await bridging.acall(self._held.control.execute(name, argv, timeout))

    async def stop(self) -> None:
        """Stop it; returns when everything it started is gone."""
        await bridging.acall(self._held.control.stop_services([self.name]))

    async def start(self) -> None:
        """Start it, and what it needs; returns when ready."""
        await bridging.acall(self._held.control.start_services([self.name]))

    async def restart(self) -> None:
        """Restart it; returns when ready again."""
        await bridging.acall(self._held.control.restart_services([self.name]))

    async def wait(
        self,
        *state: str,
        timeout: float | None = 30,  # noqa: ASYNC109  # same words as the plain face
    ) -> states.ServiceStatus:
        """Wait until it is in one of the states (ready); ``timeout`` in seconds."""
        wanted = state or ("ready",)
        await bridging.acall(self._held.control.wait_for(self.name, wanted, timeout))
        return self.status


class Run(_Base):
    """A living run, for plain code."""

    def __getitem__(self, name: str) -> Service:
        _pick(self._status(), name)
        return Service(self._held, name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(one.service for one in self._status().services))

    def stop(self) -> None:
        """Stop everything and give it back."""
        bridging.call(_end(self._held))

    def do(self, task: str) -> states.ServiceStatus:
        """Run a task again; returns its status when it has ended."""
        return bridging.call(self._held.control.do_task(task))

    def wait(self, *state: str, timeout: float | None = 30) -> states.RunStatus:
        """Wait until the run is in one of the states (ready); ``timeout`` in seconds."""
        return bridging.call(self._held.control.wait_for(None, state or ("ready",), timeout))

    def events(self, since: int | None = 0, *, logs: bool = False) -> Iterator[events.Event]:
        """Yield events after number ``since`` (None: from now on), then as they happen."""
        source = self._held.control.events(since, logs)
        try:
            while True:
                event = bridging.call(_next(source))
                if event is None:
                    return
                yield event
        finally:
            bridging.call(_close(source))


class AsyncRun(_Base):
    """A living run, for any event loop."""

    def __getitem__(self, name: str) -> AsyncService:
        _pick(self._status(), name)
        return AsyncService(self._held, name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(one.service for one in self._status().services))

    async def stop(self) -> None:
        """Stop everything and give it back."""
        await bridging.acall(_end(self._held))

    async def do(self, task: str) -> states.ServiceStatus:
        """Run a task again; returns its status when it has ended."""
        return await bridging.acall(self._held.control.do_task(task))

    async def wait(
        self,
        *state: str,
        timeout: float | None = 30,  # noqa: ASYNC109  # same words as the plain face
    ) -> states.RunStatus:
        """Wait until the run is in one of the states (ready); ``timeout`` in seconds."""
        wanted = state or ("ready",)
        return await bridging.acall(self._held.control.wait_for(None, wanted, timeout))

    def events(self, since: int | None = 0, *, logs: bool = False) -> "EventStream":
        """Return the events after number ``since`` (None: from now on), then as they happen, for
        ``async for``."""
        return EventStream(self._held.control.events(since, logs))


class EventStream:
    """Events for ``async for`` in any event loop; it may be left at any time."""

    def __init__(self, source: AsyncIterator[events.Event]) -> None:
        self._source = source

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> events.Event:
        event = await bridging.acall(_next(self._source))
        if event is None:
            raise StopAsyncIteration
        return event

    async def aclose(self) -> None:
        """Stop reading."""
        await bridging.acall(_close(self._source))


async def _next(source: AsyncIterator[events.Event]) -> events.Event | None:
    return await anext(source, None)


async def _close(source: AsyncIterator[events.Event]) -> None:
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()


async def _end(held: Held) -> None:
    await held.control.stop_run(at_once=False)


class Up:
    """Runs a stack for the length of a block; made by `Stack.up`."""

    def __init__(
        self, stack: stacks.StackModel, *, reload: Reload, copy: str | None = None
    ) -> None:
        self._stack = stack
        self._reload = reload
        self._copy = copy
        self._host: _Host | None = None

    def __enter__(self) -> Run:
        self._host = _Host(self._stack, self._copy, self._reload)
        return Run(bridging.call(self._host.open()))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._host is not None
        bridging.call(self._host.close())

    async def open_async(self) -> AsyncRun:
        """Open it without a block; whoever holds the run stops it."""
        self._host = _Host(self._stack, self._copy, self._reload)
        return AsyncRun(await bridging.acall(self._host.open()))

    async def __aenter__(self) -> AsyncRun:
        return await self.open_async()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._host is not None
        await bridging.acall(self._host.close())


class _Host:
    """Owns a controller inside the background loop, in one task from start to end."""

    def __init__(self, stack: stacks.StackModel, copy: str | None, reload: Reload) -> None:
        self._stack = stack
        self._reload = reload
        self._copy = copy
        self._opened: asyncio.Future[Held] | None = None
        self._owner: asyncio.Task[None] | None = None
        self._close = asyncio.Event()

    async def open(self) -> Held:
        loop = asyncio.get_running_loop()
        self._opened = loop.create_future()
        # one task must enter and leave the controller's groups; close() awaits it
        self._owner = loop.create_task(self._own(), name=f"run {self._stack.name}")
        try:
            return await asyncio.shield(self._opened)
        except BaseException:
            self._close.set()
            await asyncio.wait({self._owner})
            raise

    async def _own(self) -> None:
        assert self._opened is not None
        recovering.sweep(recovering.open_store())
        options = controlling.Options(copy=self._copy, crash="reap", is_crash_forced=True)
        controller = controlling.Controller(options, reload=self._reload)
        try:
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
        held = Held(
            answers, run=controller.run, folder=controller.folder, secrets=controller.secrets
        )
        self._opened.set_result(held)
        ended = controller.group.create_task(controller.ended.wait(), name="wait for the end")
        await asyncio.wait({closing, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()

    async def close(self) -> None:
        self._close.set()
        assert self._owner is not None
        await self._owner


def _plain(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
