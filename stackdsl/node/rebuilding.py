"""Images of watched containers: built anew where their sources have changed, before the restart.

Laws: what runs goes on until its next image is there; what changes during a build is built after
it; nothing is built on for what was stopped.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from stackdsl.model import errors, specs
from stackdsl.node import contexts, supervising, surroundings

_LINES = 10


class Rebuilder:
    """Builds for the replicas of one node. ``prepare`` has an image made; ``restart`` is called
    with a replica that has its new image, and why. ``builds`` are those under way, by replica: to
    be cancelled by whoever stops one."""

    def __init__(
        self,
        around: surroundings.Surroundings,
        replicas: Mapping[str, supervising.Replica],
        prepare: Callable[[specs.Image], Awaitable[str]],
        restart: Callable[[supervising.Replica, str], None],
        builds: dict[str, asyncio.Task[None]],
    ) -> None:
        self._around = around
        self._replicas = replicas
        self._prepare = prepare
        self._restart = restart
        self._builds = builds
        self._reasons: dict[str, str] = {}

    def begin(self, name: str, reason: str, group: asyncio.TaskGroup) -> None:
        """Build for a replica; once more after the build that is under way, if there is one."""
        self._reasons[name] = reason
        if name not in self._builds:
            self._builds[name] = group.create_task(self._work(name), name=f"build for {name}")

    async def _work(self, name: str) -> None:
        replica = self._replicas[name]
        made: specs.Image | errors.StackError | None = None
        reason = ""
        while name in self._reasons:
            reason = self._reasons.pop(name)
            try:
                made = await self._build(replica)
            except errors.StackError as error:
                made = error
        del self._builds[name]
        if isinstance(made, specs.Image):
            replica.take_image(made)
            self._restart(replica, reason)
        elif made is not None:
            self._around.trouble("build-failed", describe(name, made, is_alive=replica.is_alive))
            replica.tell_aside(made)

    async def _build(self, replica: supervising.Replica) -> specs.Image:
        """Have a replica's image built from what its context holds now; return it."""
        assert replica.spec.container is not None
        image = replica.spec.container.image
        assert image.build is not None
        if not contexts.find_fault(image.build):  # else who builds it says so
            mark = await self._take_fingerprint(image, image.build.context)
            image = replace(image, build=replace(image.build, fingerprint=mark))
        await self._prepare(image)
        return image

    async def _take_fingerprint(self, image: specs.Image, context: str) -> str:
        """Return that of a context with all Dockerfiles that the run uses of it, as in plans."""
        containers = (one.spec.container for one in self._replicas.values())
        builds = (one.image.build for one in containers if one is not None)
        found = {
            contexts.path_of_dockerfile(build)
            for build in builds
            if build is not None and build.context == context
        }
        engine = await self._around.engine.get()
        try:
            return await engine.call(contexts.take_fingerprint, context, sorted(found))
        except OSError as error:
            raise errors.ServiceError(
                "start.build-failed",
                f'cannot build image "{image.reference}": {error.strerror}: {error.filename}',
                do="let it be read, or leave it out of the context (.dockerignore)",
            ) from error


def describe(name: str, error: errors.StackError, *, is_alive: bool) -> str:
    """Return the words for a build that failed; the first line says what becomes of the replica."""
    rest = "what runs goes on" if is_alive else "it is not started"
    parts = (f'"{name}": {error.what}; {rest}', error.why, *error.lines[-_LINES:])
    return "\n".join(part for part in parts if part)
