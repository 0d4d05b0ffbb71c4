"""A container that someone else has started, as one start drives it; what ours have in common."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from stackdsl.model import errors, facts, specs
from stackdsl.node import (
    containercommands,
    containers,
    containerwatching,
    dialing,
    drivers,
    engines,
    executing,
    journal,
    listening,
    probing,
    surroundings,
)

_LOOK_TIMEOUT_S = 5.0
# The engine's own, in every container of a network that it made.
_NAME_SERVER = "127.0.0.11"


class AttachedContainer:
    """See `drivers.Driver`: watched, its output followed from now on, never touched."""

    is_foreign = True

    def __init__(
        self, spec: specs.ServiceSpec, around: surroundings.Surroundings, told: drivers.Told
    ) -> None:
        self.spec = spec
        self.is_held = False
        self._around = around
        self._told = told
        self._watch = containerwatching.Watch(spec.name, around, told)

    @property
    def offsets(self) -> tuple[int, int]:
        """See `drivers.Driver`."""
        return self._watch.offsets

    @property
    def has_started(self) -> bool:
        """See `drivers.Driver`."""
        return self._watch.has_started

    @property
    def has_ended(self) -> bool:
        """See `drivers.Driver`."""
        return self._watch.has_ended

    @property
    def exit_code(self) -> int | None:
        """See `drivers.Driver`."""
        return self._watch.exit_code

    @property
    def how_ended(self) -> str:
        """See `drivers.Driver`."""
        return self._watch.how_ended

    @property
    def pid(self) -> int | None:
        """See `drivers.Driver`."""
        return self._watch.pid

    @property
    def container(self) -> str | None:
        """See `drivers.Driver`."""
        return self._watch.id or None

    @property
    def reference(self) -> str:
        """What the engine knows it by."""
        return self._watch.id or self.spec.attach_container or ""

    def marks(self) -> Mapping[str, object]:
        """See `drivers.Driver`."""
        watch = self._watch
        told = {"id": watch.id, "started_ns": watch.started_ns, "beside": watch.beside}
        return {
            "container": json.dumps(told),
            "pid": None,
            "out_offset": watch.offsets[0],
            "err_offset": watch.offsets[1],
        }

    def hold(self, row: journal.Row) -> None:
        """See `drivers.Driver`."""
        watch = self._watch
        watch.offsets = row.offsets
        if row.container:
            told = json.loads(row.container)
            watch.beside, watch.started_ns = told["beside"], told["started_ns"]
            watch.begin(told["id"])
            watch.has_started = True
        self.is_held = True

    async def take_up(self, subject: probing.Subject) -> bool:
        """See `drivers.Driver`; while the engine is away nothing is concluded."""
        watch = self._watch
        watch.open_logs(self.spec.log_limit_bytes)
        self._introduce(subject)
        while True:
            await self._around.containers.wait_reached(self._told.note_trouble)
            try:
                engine = await self._around.containers.open()
                with containers.service_errors():
                    is_there = await self._take_hold(engine)
            except errors.ServiceError as error:
                if error.code != "run.engine-away":
                    raise
                self._around.containers.note_unreached()
            else:
                self._told.note_trouble("")
                return is_there

    async def _take_hold(self, engine: engines.Engine) -> bool:
        watch = self._watch
        if not watch.has_started:
            # nothing was noted of it, which need not mean that nothing was done
            try:
                found = await engine.call(engine.api.inspect_container, self.reference)
            except engines.Refused as error:
                if error.status == 404:
                    return False
                raise
            if found["State"]["Status"] == "created":
                return False
            watch.begin(str(found["Id"]))
            watch.has_started = True
        await watch.look(engine, is_after=True)
        if not watch.has_ended:
            await watch.follow(engine)
        return True

    async def prepare(self, subject: probing.Subject) -> None:
        """See `drivers.Driver`."""
        await self._around.containers.wait_reached(self._told.note_trouble)
        self._told.note_trouble("")
        self._watch.open_logs(self.spec.log_limit_bytes)
        self._watch.offsets = self._around.keeper.mark_start(self.spec.name)
        self._introduce(subject)

    def _introduce(self, subject: probing.Subject) -> None:
        subject.run = self.run
        subject.exists = self._exists
        subject.read_health = self._read_health
        paths = self._around.log_paths(self.spec.name)
        subject.logs = tuple(zip(paths, self.offsets, strict=True))

    def _read_health(self) -> str:
        health = self._watch.health
        if health is None or health == "none":
            return "its image has no HEALTHCHECK"
        return "" if health == "healthy" else f"says {health}"

    async def _exists(self, path: str) -> bool:
        engine = await self._around.containers.open()
        return await self._exists_in(engine, self.reference, path)

    async def _exists_in(self, engine: engines.Engine, container: str, path: str) -> bool:
        import urllib.parse  # only probes of files in containers

        query = urllib.parse.urlencode({"path": path})
        with containers.service_errors():
            try:
                line = await dialing.dial(
                    engine,
                    f"HEAD /containers/{container}/archive?{query}",
                    _pass_over,
                    _pass_over,
                )
            except engines.Refused as error:
                if error.status == 404:
                    return False
                raise
        line.close()
        return True

    async def start(self) -> None:
        """See `drivers.Driver`: take hold of the one that runs.

        Raises:
            ServiceError: there is none of that name, or it does not run.
        """
        engine = await self._around.containers.open()
        watch, name = self._watch, self.spec.attach_container or ""
        with containers.service_errors():
            try:
                seen = await engine.call(engine.api.inspect_container, name)
            except engines.Refused as error:
                if error.status != 404:
                    raise
                raise _no_container(name, "the engine has none of that name") from error
            if not seen["State"]["Running"]:
                raise _no_container(name, f"it is {seen['State']['Status']}")
            watch.begin(str(seen["Id"]))
            watch.started_ns = containerwatching.now_ns()
            watch.has_started = True
            await watch.look(engine)
            await watch.follow(engine)

    async def run(
        self,
        argv: Sequence[str],
        timeout_s: float | None,
        limit_bytes: int = executing.LIMIT_BYTES,
    ) -> executing.Outcome:
        """See `drivers.Driver`."""
        return await self._run(argv, {}, timeout_s, limit_bytes)

    async def _run(
        self, argv: Sequence[str], env: Mapping[str, str], timeout_s: float | None, limit: int
    ) -> executing.Outcome:
        engine = await self._around.containers.open()
        return await containercommands.run(engine, self.reference, argv, env, (timeout_s, limit))

    async def run_beside(
        self, argv: Sequence[str], env: Mapping[str, str], timeout_s: float | None
    ) -> int | None:
        """See `drivers.Driver`; what it says is written when it has ended."""
        outcome = await self._run(argv, env, timeout_s, executing.LIMIT_BYTES)
        self._watch.write_beside(outcome.stdout, outcome.stderr)
        if self._watch.has_started:
            self._around.journal.note(self.spec.name, container=self.marks()["container"])
        return outcome.exit_code

    async def look(self) -> tuple[tuple[tuple[int, str], ...], tuple[facts.Listener, ...]]:
        """See `drivers.Driver`."""
        if not self._watch.has_started or self._watch.has_ended:
            return (), ()
        found: dict[str, Any] = {}
        with contextlib.suppress(errors.StackError, TimeoutError):
            async with asyncio.timeout(_LOOK_TIMEOUT_S):
                engine = await self._around.containers.open()
                found = await engine.call(engine.api.top, self.reference)
        titles = found.get("Titles") or []
        if "PID" not in titles:
            return (), ()
        at = titles.index("PID")
        pids = tuple((int(row[at]), str(row[-1])) for row in found.get("Processes") or ())
        if self.pid is None:
            return pids, ()
        seen = listening.listeners_beside(self.pid)
        return pids, tuple(each for each in seen if each.address != _NAME_SERVER)

    def signal(self, number: int) -> None:
        """See `drivers.Driver`."""

    def hurry(self) -> None:
        """See `drivers.Driver`."""

    async def end(
        self,
        timeout_s: float,  # noqa: ARG002  # the Protocol's
        command: Callable[[], Awaitable[None]] | None,  # noqa: ARG002  # the Protocol's
    ) -> str:
        """See `drivers.Driver`."""
        return ""

    async def drain(self) -> None:
        """See `drivers.Driver`."""
        await self._watch.drain()

    def close(self) -> None:
        """See `drivers.Driver`."""
        self._watch.close()


def _pass_over(_data: bytes = b"") -> None:
    """Take no notice."""


def _no_container(name: str, fact: str) -> errors.ServiceError:
    return errors.ServiceError(
        "start.no-container",
        f'container "{name}" cannot be watched: {fact}',
        do="start it, or correct attach(container=…); `docker ps` lists names",
    )
