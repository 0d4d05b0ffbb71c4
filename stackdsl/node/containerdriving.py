"""A container of ours, as one start drives it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

from stackdsl.model import errors, probes, specs
from stackdsl.node import (
    containerattaching,
    containercommands,
    containers,
    containerwatching,
    dialing,
    drivers,
    engines,
    executing,
    feeding,
    files,
    notifying,
    probing,
    recipes,
    surroundings,
)

_KILL_LIMIT_S = 10.0
_AWAY_LIMIT_S = 10.0


class ContainerDriver(containerattaching.AttachedContainer):
    """See `drivers.Driver`: a container of ours, which stays when it has ended: the next start is
    one of the same."""

    is_foreign = False

    def __init__(
        self, spec: specs.ServiceSpec, around: surroundings.Surroundings, told: drivers.Told
    ) -> None:
        super().__init__(spec, around, told)
        self._is_hurried = False
        self._feed: feeding.Feed | None = None
        self._more_env: dict[str, str] = {}

    @property
    def reference(self) -> str:
        """What the engine knows it by."""
        assert self.spec.container is not None
        return self._watch.id or self.spec.container.name

    async def prepare(self, subject: probing.Subject) -> None:
        """See `drivers.Driver`."""
        files.prepare(self.spec)
        await super().prepare(subject)

    def _introduce(self, subject: probing.Subject) -> None:
        super()._introduce(subject)
        spec = self.spec
        if any(isinstance(check.probe, probes.Notify) for check in (*spec.ready, *spec.live)):
            assert spec.container is not None
            # in its own folder, which it sees; another user's program may write to it
            subject.notices = notifying.Notices(f"{spec.dir}/{recipes.NOTIFY}", is_open=True)
            self._more_env["NOTIFY_SOCKET"] = f"{spec.container.dir}/{recipes.NOTIFY}"

    async def start(self) -> None:
        """See `drivers.Driver`."""
        try:
            await self._start()
        except errors.ServiceError as error:
            if error.code == "run.engine-away":
                self._around.containers.note_unreached()
            raise

    async def _start(self) -> None:
        engine = await self._around.containers.open()
        watch, spec = self._watch, self._dressed()
        with containers.service_errors():
            watch.begin(await self._around.containers.obtain(engine, spec))
            watch.is_raw = spec.tty
            watch.started_ns = containerwatching.now_ns()
            await self._attach(engine)
            try:
                await engine.call(engine.api.start, watch.id)
            except engines.Refused as error:
                if error.status != 404 or "No such container" not in error.explanation:
                    raise
                await self._start_anew(engine, spec)
        watch.has_started = True
        with containers.service_errors():
            if not watch.has_ended:
                await watch.look(engine)

    async def _start_anew(self, engine: engines.Engine, spec: specs.ServiceSpec) -> None:
        """Start another container: someone has removed the one that was there."""
        self._around.containers.lose(spec.name)
        self._watch.begin(await self._around.containers.obtain(engine, spec))
        await self._attach(engine)
        await engine.call(engine.api.start, self._watch.id)

    def _dressed(self) -> specs.ServiceSpec:
        if not self._more_env:
            return self.spec
        from dataclasses import replace

        return replace(self.spec, env=(*self.spec.env, *self._more_env.items()))

    async def _attach(self, engine: engines.Engine) -> None:
        has_input = self.spec.stdin is not None
        try:
            line = await self._watch.attach(engine, has_input=has_input)
        except engines.Refused as error:
            if error.status != 404:
                raise
            self._around.containers.lose(self.spec.name)
            self._watch.begin(await self._around.containers.obtain(engine, self._dressed()))
            line = await self._watch.attach(engine, has_input=has_input)
        if self.spec.stdin is not None:
            self._feed = feeding.Feed(self.spec.stdin, line)
            self._watch.show = self._feed.show

    async def _run(
        self, argv: Sequence[str], env: Mapping[str, str], timeout_s: float | None, limit: int
    ) -> executing.Outcome:
        if self.has_started or self._around.containers.has_container(self.spec.name):
            return await super()._run(argv, {**self._more_env, **env}, timeout_s, limit)
        return await self._run_aside(tuple(argv), timeout_s, limit)

    async def _exists(self, path: str) -> bool:
        if self.has_started or self._around.containers.has_container(self.spec.name):
            return await super()._exists(path)
        engine = await self._around.containers.open()
        with containers.service_errors():
            container = await self._around.containers.create_aside(engine, self.spec, ("-",))
            try:
                return await self._exists_in(engine, container, path)
            finally:
                await asyncio.shield(containers.remove(engine, container))

    async def _run_aside(
        self, argv: tuple[str, ...], timeout_s: float | None, limit: int
    ) -> executing.Outcome:
        """Run a command where the container is not yet: in one of its own, alike."""
        engine = await self._around.containers.open()
        kept = containercommands.Kept(limit)
        with containers.service_errors():
            container = await self._around.containers.create_aside(engine, self.spec, argv)
            ended = asyncio.Event()
            try:
                splitter = dialing.Splitter(kept.take)
                line = await dialing.dial(
                    engine,
                    f"POST /containers/{container}/attach?stream=1&stdout=1&stderr=1",
                    splitter.take,
                    ended.set,
                )
                with contextlib.closing(line):
                    await engine.call(engine.api.start, container)
                    async with asyncio.timeout(timeout_s):
                        await ended.wait()
                    said = await engine.call(engine.api.wait, container)
                return kept.outcome(int(said["StatusCode"]))
            except TimeoutError:
                return kept.outcome(None)
            finally:
                await asyncio.shield(containers.remove(engine, container))

    def signal(self, number: int) -> None:
        """See `drivers.Driver`."""
        self._around.containers.send(self._signal(number))

    async def _signal(self, number: int) -> None:
        engine = await self._around.containers.open()
        await engine.call(engine.api.kill, self.reference, number)

    def hurry(self) -> None:
        """See `drivers.Driver`."""
        self._is_hurried = True
        self._watch.wake()

    async def end(self, timeout_s: float, command: Callable[[], Awaitable[None]] | None) -> str:
        """See `drivers.Driver`."""
        watch = self._watch
        if not watch.has_started or watch.has_ended:
            return ""
        watch.is_ours_to_end = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        if not self._is_hurried:
            if command is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(deadline):
                        await command()
            else:
                problem = await self._kill(self.spec.stop_signal)
                if problem:
                    return problem
            if await watch.wait_ended(deadline - loop.time(), lambda: self._is_hurried):
                await watch.drain()
                return ""
        problem = await self._kill(9)
        if problem or await watch.wait_ended(_KILL_LIMIT_S, bool):
            await watch.drain()
            return problem
        return f"its container {self.reference[:12]} was killed and does not end"

    async def _kill(self, number: int) -> str:
        """Send a signal; wait a while for an engine that is away. Return why it was not sent."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (_AWAY_LIMIT_S / 2 if self._is_hurried else _AWAY_LIMIT_S)
        while not self._watch.has_ended:
            try:
                engine = await self._around.containers.open()
                await engine.call(engine.api.kill, self.reference, number)
            except engines.Refused as error:
                if error.status not in (404, 409):
                    return f"its container cannot be ended: {error.explanation}"
                await self._watch.look(engine, is_after=True)
            except errors.StackError as error:
                if loop.time() > deadline:
                    return (
                        f"its container {self.reference[:12]} cannot be ended:"
                        f" {self._around.containers.away or error.what}"
                    )
                await asyncio.sleep(0.1)
                continue
            break
        return ""

    async def drain(self) -> None:
        """See `drivers.Driver`."""
        await super().drain()
        if self.exit_code in (126, 127):
            self._explain_missing()
        if not self._watch.is_ours_to_end:
            with contextlib.suppress(errors.StackError):
                await self._watch.tell_more(await self._around.containers.open())

    def _explain_missing(self) -> None:
        """Say it where the init process of the engine could not become the program.

        Raises:
            ServiceError: it could not.
        """
        last = self._around.keeper.tail(self.spec.name, 1)
        if last and last[0].startswith("[FATAL tini") and self.spec.argv:
            missing = last[0].partition(": ")[2] or "it cannot be run"
            what = "was not found in" if "No such file" in missing else "cannot be run in"
            raise errors.ServiceError(
                "start.no-program",
                f'program "{self.spec.argv[0]}" {what} its image',
                why=last[0],
                do="name a program that the image has, with its full path if need be",
            )

    def close(self) -> None:
        """See `drivers.Driver`."""
        if self._feed is not None:
            self._feed.close()
        super().close()
