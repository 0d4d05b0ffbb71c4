"""The containers of one run in the engine: created once each, watched by one stream of events.

Laws: everything made carries the run's labels; the engine restarts nothing by itself. While the
engine is away nothing is known, and nothing is concluded.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, Protocol

from stackdsl.model import errors, reports, specs
from stackdsl.model.requests import RunIdentity
from stackdsl.node import dialing, enginekeeping, engines, recipes

_ACTIONS = ("die", "kill", "oom", "destroy", "health_status")
_LEAST_PAUSE_S = 0.05
_MOST_PAUSE_S = 1.0
_NAME_TAKEN_TRIES = 100
_NAME_TAKEN_PAUSE_S = 0.1


class Watched(Protocol):
    """Whoever wants to know of a container."""

    def note_event(self, action: str, attributes: dict[str, str], time_ns: int) -> None:
        """Take note of what the engine tells."""

    def note_away(self, reason: str) -> None:
        """Take note that the engine is not reached."""

    async def come_back(self) -> None:
        """Find out what has become of it while the engine was away."""


class Containers:
    """See the module. Nothing is connected before `open`."""

    def __init__(
        self,
        keeper: enginekeeping.EngineKeeper,
        identity: RunIdentity,
        report: Callable[[reports.Report], None],
    ) -> None:
        self.away = ""
        self._keeper = keeper
        self._identity = identity
        self._report = report
        self._watched: dict[str, Watched] = {}
        self._known: dict[str, tuple[str, str]] = {}
        self._volumes: set[str] = set()
        self._turn = asyncio.Lock()
        self._back = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._line: dialing.Line | None = None
        self._lost = asyncio.Event()
        self._rest = b""
        self._sent: set[asyncio.Task[None]] = set()

    # --- the engine -----------------------------------------------------------------------------

    async def open(self) -> engines.Engine:
        """Return the engine; from then on its events are followed.

        Raises:
            ServiceError: it is not reached, or may not be used.
        """
        with service_errors():
            engine = await self._keeper.get()
            async with self._turn:
                if self._following is None:
                    self._line = await self._listen(engine, time.time_ns())
                    self._back.set()
                    # Held until `close`: it is no one replica's, and outlives each of them.
                    self._following = asyncio.get_running_loop().create_task(
                        self._follow(engine), name="follow the engine"
                    )
        return engine

    async def wait_reached(self, told: Callable[[str], None]) -> None:
        """Wait until the engine is there; ``told`` is told why it is not."""
        pause_s = _LEAST_PAUSE_S
        while self._following is None:
            try:
                await self.open()
            except errors.ServiceError as error:
                told(error.why or error.what)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _MOST_PAUSE_S)
        if self.away:
            told(self.away)
        await self._back.wait()

    async def _listen(self, engine: engines.Engine, since_ns: int) -> dialing.Line:
        import urllib.parse  # not on the way to a native start

        filters = json.dumps({"type": ["container"], "event": list(_ACTIONS)})
        query = urllib.parse.urlencode(
            {"filters": filters, "since": f"{since_ns // 10**9}.{since_ns % 10**9:09d}"}
        )
        self._lost.clear()
        self._rest = b""
        return await dialing.dial(engine, f"GET /events?{query}", self._take_events, self._lost.set)

    async def _follow(self, engine: engines.Engine) -> None:
        while True:
            try:
                await self._come_back(engine)
            except Exception as error:  # noqa: BLE001  # a fault of ours: told, and followed on
                detail = f"{type(error).__name__}: {error}"
                now = time.time_ns()
                self._report(reports.HostReport(what="internal", detail=detail, time_ns=now))
                self._lost.set()
                await asyncio.sleep(_MOST_PAUSE_S)

    async def _come_back(self, engine: engines.Engine) -> None:
        """Wait until the engine is lost, then until it is there again; ask for all that ended."""
        await self._lost.wait()
        lost_ns = time.time_ns()
        self._note_away(f'the engine at "{engine.endpoint.url}" is not reached')
        pause_s = _LEAST_PAUSE_S
        while True:
            try:
                self._line = await self._listen(engine, lost_ns)
                break
            except errors.HostError:
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _MOST_PAUSE_S)
        self.away = ""
        self._report(reports.HostReport(what="engine-back", detail="", time_ns=time.time_ns()))
        self._back.set()
        async with asyncio.TaskGroup() as group:
            for one in tuple(self._watched.values()):
                group.create_task(one.come_back(), name="find out what has become of it")

    def note_unreached(self) -> None:
        """Take note that a call did not come through: the engine may end while its events go on."""
        if self._line is not None and not self.away:
            self._line.end()

    def _note_away(self, reason: str) -> None:
        self.away = reason
        self._back.clear()
        self._report(reports.HostReport(what="engine-away", detail=reason, time_ns=time.time_ns()))
        for one in tuple(self._watched.values()):
            one.note_away(reason)

    def _take_events(self, data: bytes) -> None:
        *rows, self._rest = (self._rest + data).split(b"\n")
        for row in rows:
            if not row.strip():
                continue
            event = json.loads(row)
            watched = self._watched.get(event["Actor"]["ID"])
            if watched is not None:
                attributes = event["Actor"].get("Attributes") or {}
                watched.note_event(event["Action"], attributes, int(event["timeNano"]))

    def watch(self, container: str, watched: Watched) -> None:
        """Tell ``watched`` of a container from now on."""
        self._watched[container] = watched

    def unwatch(self, container: str, watched: Watched) -> None:
        """Tell it no longer."""
        if self._watched.get(container) is watched:
            del self._watched[container]

    # --- containers -----------------------------------------------------------------------------

    def labels_of(self, spec: specs.ServiceSpec) -> dict[str, str]:
        """Return what a replica's container carries."""
        identity = self._identity
        return enginekeeping.labels(identity.run_id, identity.run, identity.folder, spec.name)

    async def obtain(self, engine: engines.Engine, spec: specs.ServiceSpec) -> str:
        """Return the id of a replica's container, not running: the one that is there if nothing
        has changed in it, else a new one.

        Raises:
            ServiceError: the engine refuses, or another's container has its name.
        """
        with service_errors():
            recipe = recipes.compose(engine.api, spec, self.labels_of(spec))
            known, digest = self._known.get(spec.name, ("", ""))
            if known and digest == recipe.digest:
                return known
            if known:
                await self.remove(engine, spec.name)
            await self._make_volumes(engine, spec)
            container = await self._create(engine, recipe)
        self._known[spec.name] = (container, recipe.digest)
        return container

    async def create_aside(
        self, engine: engines.Engine, spec: specs.ServiceSpec, argv: tuple[str, ...]
    ) -> str:
        """Create a container for one command beside a replica that does not run; return its id."""
        recipe = recipes.compose_aside(engine.api, spec, argv, self.labels_of(spec))
        await self._make_volumes(engine, spec)
        return await self._create(engine, recipe)

    async def _create(self, engine: engines.Engine, recipe: recipes.Recipe) -> str:
        for _ in range(_NAME_TAKEN_TRIES):
            try:
                made = await engine.call(
                    engine.api.create_container_from_config,
                    recipe.config,
                    recipe.name,
                    recipe.platform,
                )
                return str(made["Id"])
            except engines.Refused as error:
                if error.status != 409:
                    raise
                found = await self._clear_name(engine, recipe, error)
                if found:
                    return found
        raise errors.ServiceError(
            "run.container-stuck",
            f'its container cannot be made: an earlier "{recipe.name}" is not removed',
            do=f"see what the engine says: docker rm -f {recipe.name}",
        )

    async def _clear_name(
        self, engine: engines.Engine, recipe: recipes.Recipe, refusal: engines.Refused
    ) -> str:
        """Return whose name it is if that will do; else make room, or wait for it."""
        try:
            found = await engine.call(engine.api.inspect_container, recipe.name)
        except engines.Refused:
            await asyncio.sleep(_NAME_TAKEN_PAUSE_S)  # it was just being removed
            return ""
        carried = found["Config"]["Labels"] or {}
        if (
            carried.get(enginekeeping.RUN) != self._identity.run_id
            and carried.get(enginekeeping.FOLDER) != self._identity.folder
        ):
            raise errors.ServiceError(
                "start.container-name",
                f'its container cannot be named "{recipe.name}": another has that name',
                why=refusal.explanation,
                do=f"remove that one: docker rm -f {recipe.name}",
            )
        status = found["State"]["Status"]
        is_same = recipe.digest and carried.get(enginekeeping.CONFIG) == recipe.digest
        if is_same and status in ("created", "exited"):
            return str(found["Id"])
        if status in ("removing", "dead"):
            await asyncio.sleep(_NAME_TAKEN_PAUSE_S)
        else:
            await remove(engine, str(found["Id"]))
        return ""

    async def _make_volumes(self, engine: engines.Engine, spec: specs.ServiceSpec) -> None:
        assert spec.container is not None
        for mount in spec.container.mounts:
            if mount.kind != "named" or mount.source in self._volumes:
                continue
            identity = self._identity
            carried = {
                enginekeeping.VOLUME: mount.source,
                enginekeeping.NAME: identity.run,
                enginekeeping.FOLDER: identity.folder,
            }
            await engine.call(engine.api.create_volume, mount.source, labels=carried)
            self._volumes.add(mount.source)

    def lose(self, name: str) -> None:
        """Take note that someone else has removed a replica's container."""
        self._known.pop(name, None)

    async def remove(self, engine: engines.Engine, name: str) -> None:
        """Remove a replica's container, with the volumes that only it has."""
        known = self._known.pop(name, None)
        if known is not None:
            await remove(engine, known[0])

    async def forget(self, wanted: Iterable[specs.ServiceSpec]) -> None:
        """Remove the containers of replicas that are wanted no more."""
        named = [(one.name, one.container.name) for one in wanted if one.container is not None]
        if not named:
            return
        engine = await self._keeper.get()
        for name, _ in named:
            self._known.pop(name, None)
        await engines.at_once(remove(engine, container) for _, container in named)

    async def remove_all(self) -> None:
        """Remove every container of the run, whoever of us made it.

        Raises:
            HostError: the engine is not reached, or refuses.
        """
        if self._following is None and enginekeeping.read_note(self._identity.folder) is None:
            return
        engine = await self._keeper.get()
        self._known.clear()
        found = await engine.call(
            engine.api.containers,
            all=True,
            filters={"label": f"{enginekeeping.RUN}={self._identity.run_id}"},
        )
        await engines.at_once(remove(engine, str(each["Id"])) for each in found)

    def has_container(self, name: str) -> bool:
        """Whether a replica has a container, running or not."""
        return name in self._known

    def ask(self, watched: Watched) -> None:
        """Find out what has become of a container whose output has ended."""
        self.send(watched.come_back())

    def send(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that nobody waits for."""
        # Held until done: who asks is a callback and has no group to let it live in.
        task = asyncio.get_running_loop().create_task(_try(work), name="send to the engine")
        self._sent.add(task)
        task.add_done_callback(self._sent.discard)

    def close(self) -> None:
        """Follow no longer."""
        for task in self._sent:
            task.cancel()
        if self._following is not None:
            self._following.cancel()
        if self._line is not None:
            self._line.close()


async def remove(engine: engines.Engine, container: str) -> None:
    """Remove a container with the volumes that only it has; one that is gone is fine.

    Raises:
        HostError: the engine is not reached, or refuses.
    """
    try:
        await engine.call(engine.api.remove_container, container, v=True, force=True)
    except engines.Refused as error:
        if error.status not in (404, 409):  # it is gone, or going
            raise


async def _try(work: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(errors.StackError):
        await work


@contextlib.contextmanager
def service_errors() -> Iterator[None]:
    """Let what the engine says of a container be the replica's error."""
    try:
        yield
    except engines.Unreached as error:
        raise errors.ServiceError(
            "run.engine-away",
            "its container cannot be worked with: the engine is not reached",
            why=error.what,
            do=error.do,
        ) from error
    except engines.Refused as error:
        if "no command specified" in error.explanation.lower():
            raise errors.ServiceError(
                "start.no-command",
                "the image has no command of its own",
                why=f"the engine says: {error.explanation}",
                do="return one from the body",
            ) from error
        raise errors.ServiceError(
            "start.container-refused" if error.status in (400, 404) else "run.container-refused",
            f"the engine refuses: {error.explanation}",
            why=error.why,
            do=_advise(error),
        ) from error
    except errors.HostError as error:
        raise errors.ServiceError(
            "run.engine-away", error.what, why=error.why, do=error.do
        ) from error


def _advise(error: engines.Refused) -> str:
    said = error.explanation.lower()
    if "port is already allocated" in said or "address already in use" in said:
        return "end what holds that port (`docker ps`, `ss -ltnp`), or give it another"
    if "executable file not found" in said or "no such file or directory" in said:
        return "correct the command that the body returns, or the image: it has no such program"
    if "no such image" in said:
        return "pull or build the image; pull= of docker(…) says when we do"
    return error.do
