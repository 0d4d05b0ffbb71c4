"""Runs as Python code holds them: `Run` for plain code, `AsyncRun` for any event loop."""

from collections.abc import AsyncIterator, Iterator

from stackdsl.model import causes, errors, events, states
from stackdsl.session import bridging, handles


class _Base:
    """What both faces of a run share: its name, and a look at its last known state."""

    def __init__(self, held: handles.Held) -> None:
        self._held = held

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} in {self.folder}>"

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Draw the status, for notebooks (IPython calls this)."""
        # the drawing is imported here: only a notebook pays for it
        from datetime import UTC, datetime

        from stackdsl.views import lines, markup, statuses

        try:
            now, plan = self._status(), bridging.call(self._held.control.plan())
        except errors.StackError as error:  # it has ended, and nobody is left to ask
            return {"text/plain": f"{self!r}: {error.what}"}
        text = statuses.format_status(now, lines.Paint(False), now=datetime.now(UTC), plan=plan)
        table = markup.status_html(now, now=datetime.now(UTC).astimezone(), plan=plan)
        return {"text/plain": text.rstrip(), "text/html": table}

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


def held_by(run: "Run | AsyncRun") -> handles.Held:
    """Return what a run is held by, for the faces that show it."""
    return run._held  # noqa: SLF001  # both are of this module


class Run(_Base):
    """A living run, for plain code."""

    def __getitem__(self, name: str) -> handles.Service:
        handles.pick(self._status(), name)
        return handles.Service(self._held, name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(one.service for one in self._status().services))

    def stop(self) -> None:
        """Stop everything and give it back."""
        bridging.call(self._held.stop())

    def do(self, task: str) -> states.ServiceStatus:
        """Run a task again; returns its status when it has ended."""
        return bridging.call(self._held.control.do_task(task))

    def why(self) -> tuple[causes.Explanation, ...]:
        """Return an explanation for each root of what is not well; none if all is."""
        return tuple(bridging.call(self._held.control.why(None)))

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

    def __getitem__(self, name: str) -> handles.AsyncService:
        handles.pick(self._status(), name)
        return handles.AsyncService(self._held, name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(one.service for one in self._status().services))

    async def stop(self) -> None:
        """Stop everything and give it back."""
        await bridging.acall(self._held.stop())

    async def do(self, task: str) -> states.ServiceStatus:
        """Run a task again; returns its status when it has ended."""
        return await bridging.acall(self._held.control.do_task(task))

    async def why(self) -> tuple[causes.Explanation, ...]:
        """Return an explanation for each root of what is not well; none if all is."""
        return tuple(await bridging.acall(self._held.control.why(None)))

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
