"""Images: whether they can be had, and having them: found, pulled or built.

Laws: one image is made by one thread at a time, different ones side by side; progress is told at
most five times a second; what the registry or a Dockerfile says is shown in its own words.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from stackdsl.model import errors, reports, specs
from stackdsl.node import contexts, engines

FINGERPRINT = "stackdsl.fingerprint"
_LINES = 20
_LOOK_TIMEOUT_S = 8.0
_PROGRESS_EVERY_S = 0.2
_MB = 1_000_000
# The classic builder's, around what a step writes to standard error.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_BRING = "see to the network, or bring the image into the engine yourself: docker pull, docker load"

Report = Callable[[reports.Report], None]


async def find_missing(
    engine: engines.Engine, wanted: Iterable[specs.Image]
) -> tuple[tuple[str, str], ...]:
    """Return (reference, why, after a new line what to do) of the images that can neither be found,
    built nor pulled; nothing is changed, and registries get a few seconds."""
    asked = {each.reference: each for each in wanted}
    faults = await engines.at_once(_find_fault(engine, each) for each in asked.values())
    return tuple(sorted((ref, why) for ref, why in zip(asked, faults, strict=True) if why))


async def _find_fault(engine: engines.Engine, image: specs.Image) -> str:
    if image.build is not None:
        return contexts.find_fault(image.build)
    is_here = await _inspect(engine, image.reference) is not None
    if is_here and image.pull != "always":
        return ""
    if image.pull == "never":
        do = 'have it made first (docker pull, docker load), or take pull="never" out'
        return f'the engine does not have it, and pull="never"\n{do}'
    return await _ask_registry(engine, image.reference)


async def _ask_registry(engine: engines.Engine, reference: str) -> str:
    """Return why an image cannot be pulled and on the next line what to do, "" if it can."""
    try:
        async with asyncio.timeout(_LOOK_TIMEOUT_S):
            await engine.call(engine.api.inspect_distribution, reference)
    except TimeoutError:
        return f"its registry did not answer within {_LOOK_TIMEOUT_S:g} s\n{_BRING}"
    except engines.Refused as error:
        refusal = explain_pull(reference, error.explanation)
        return f"{refusal.why}\n{refusal.do}"
    except engines.Unreached:
        raise
    except errors.HostError as error:
        return error.what  # a reference that is none
    return ""


async def _inspect(engine: engines.Engine, reference: str) -> Mapping[str, Any] | None:
    """Return what the engine knows of an image, None if it does not have it."""
    try:
        found: Mapping[str, Any] = await engine.call(engine.api.inspect_image, reference)
    except engines.Refused as error:
        if error.status in (400, 404):
            return None
        raise
    return found


class Images:
    """The images of one node. ``report`` takes progress; it is called in the loop's thread."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._turns: dict[str, asyncio.Lock] = {}

    async def prepare(self, engine: engines.Engine, image: specs.Image) -> str:
        """Have an image in the engine; return its id.

        Raises:
            ServiceError: it cannot be pulled or built.
            HostError: the engine is not reached.
        """
        async with self._turns.setdefault(image.reference, asyncio.Lock()):
            progress = _Progress(image.reference, self._report)
            try:
                return await self._prepare(engine, image, progress)
            finally:
                progress.is_given_up = True

    async def _prepare(
        self, engine: engines.Engine, image: specs.Image, progress: "_Progress"
    ) -> str:
        found = await _inspect(engine, image.reference)
        if image.build is not None:
            if found is None or image.pull == "always" or not _is_of(found, image.build):
                await self._build(engine, image, image.build, progress)
                found = await _inspect(engine, image.reference)
        elif image.pull == "always" or (found is None and image.pull == "missing"):
            await self._pull(engine, image.reference, progress)
            found = await _inspect(engine, image.reference)
        if found is None:
            raise errors.ServiceError(
                "start.no-image",
                f'cannot use image "{image.reference}": the engine does not have it',
                why=f'pull="{image.pull}"',
                do='give pull="missing", or make the image first',
            )
        return str(found["Id"])

    async def _pull(self, engine: engines.Engine, reference: str, progress: "_Progress") -> None:
        try:
            await engine.call(partial(_pull, engine.api, reference, progress))
        except engines.Refused as error:
            raise explain_pull(reference, error.explanation) from error

    async def _build(
        self,
        engine: engines.Engine,
        image: specs.Image,
        build: specs.Build,
        progress: "_Progress",
    ) -> None:
        try:
            await engine.call(partial(_build, engine.api, image, build, progress))
        except engines.Refused as error:
            if error.status == 400:  # it does not even begin
                raise _explain_build(image, build, "", error.explanation, ()) from error
            raise


def _is_of(found: Mapping[str, Any], build: specs.Build) -> bool:
    """Tell whether an image was built from what stands there now."""
    labels = (found.get("Config") or {}).get("Labels") or {}
    return bool(build.fingerprint) and labels.get(FINGERPRINT) == _mark(build)


def _mark(build: specs.Build) -> str:
    import hashlib  # only stacks that build pay for it

    text = repr((build.fingerprint, build.dockerfile, build.args, build.target))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class _GivenUpError(Exception):
    """Nobody waits for the image any longer."""


class _Progress:
    """Tells how far an image is, from whatever thread, never too often."""

    def __init__(self, subject: str, report: Report) -> None:
        self.is_given_up = False
        self._subject = subject
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._told_at = 0.0
        self._text = ""
        self._is_waiting = False

    def tell(self, text: str) -> None:
        """Say how far it is; what is said last is told in any case: it may take long.

        Raises:
            _GivenUpError: nobody waits for it.
        """
        if self.is_given_up:
            raise _GivenUpError
        self._text = text[:200]
        if not self._is_waiting:
            self._is_waiting = True
            pause_s = max(0.0, self._told_at + _PROGRESS_EVERY_S - time.monotonic())
            self._loop.call_soon_threadsafe(self._loop.call_later, pause_s, self._pass_on)

    def _pass_on(self) -> None:
        self._is_waiting = False
        self._told_at = time.monotonic()
        if not self.is_given_up:
            told = reports.ProgressReport(
                subject=self._subject, text=self._text, time_ns=time.time_ns()
            )
            self._report(told)


def _pull(api: Any, reference: str, progress: _Progress) -> None:
    """Pull an image; blocks. Source: "Pull", Docker Engine API, /images/create."""
    layers: dict[str, tuple[int, int]] = {}
    progress.tell("pulling")
    for event in api.pull(*_split(reference), stream=True, decode=True):
        if "error" in event:
            raise explain_pull(reference, event["error"])
        size = event.get("progressDetail") or {}
        if event.get("status") == "Downloading" and size.get("total"):
            layers[event["id"]] = (int(size["current"]), int(size["total"]))
        elif event.get("status") in ("Download complete", "Pull complete"):
            total = layers.get(event["id"], (0, 0))[1]
            layers[event["id"]] = (total, total)
        progress.tell(_describe(layers.values()))


def _split(reference: str) -> tuple[str, str]:
    """Return repository and tag (or digest); without a tag it is "latest", as for people."""
    repository, digest, number = reference.partition("@")
    if digest:
        return repository, number
    repository, colon, tag = reference.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (reference, "latest")


def _describe(layers: Iterable[tuple[int, int]]) -> str:
    done, total = (sum(numbers) for numbers in zip(*layers, strict=True)) if layers else (0, 0)
    return f"pulling {done / _MB:.0f} of {total / _MB:.0f} MB" if total else "pulling"


def _build(api: Any, image: specs.Image, build: specs.Build, progress: _Progress) -> None:
    """Build an image; blocks. Source: "Build an image", Docker Engine API, /build.

    Raises:
        ServiceError: the Dockerfile fails.
    """
    fault = contexts.find_fault(build)
    if fault:
        raise _explain_build(image, build, "", fault, ())
    progress.tell("sending the context")
    said: deque[str] = deque(maxlen=_LINES)
    step = ""
    for event in api.build(
        path=build.context,
        dockerfile=build.dockerfile,
        tag=image.reference,
        buildargs=dict(build.args),
        target=build.target,
        labels={FINGERPRINT: _mark(build)} if build.fingerprint else None,
        pull=image.pull == "always",
        rm=True,
        forcerm=True,
        decode=True,
    ):
        fault = event.get("error") or event.get("message")
        if fault:
            raise _explain_build(image, build, step, fault, said)
        text = str(event.get("stream", event.get("status", "")))
        for line in _COLOUR.sub("", text).splitlines():
            if line.startswith("Step "):
                step = line
            if line.strip():
                said.append(line.rstrip())
        progress.tell(step or "building")


def _explain_build(
    image: specs.Image, build: specs.Build, step: str, fault: str, said: Iterable[str]
) -> errors.ServiceError:
    """Say which step failed, with what it wrote last."""
    do = f"correct {contexts.path_of_dockerfile(build)}; `docker build {build.context}` repeats it"
    if "buildkit" in fault.lower():
        do = "the engine's classic builder builds it: build it yourself with buildx, and give the"
        do += " image by its name"
    return errors.ServiceError(
        "start.build-failed",
        f'cannot build image "{image.reference}": {" ".join(fault.split())}',
        why=step and f"it failed in {step[0].lower()}{step[1:]}",
        do=do,
        lines=tuple(said),
    )


_REFUSALS = (
    (
        ("manifest unknown", "not found", "name unknown"),
        "start.no-image",
        "the registry does not have it",
        "correct its name or tag, or build it: docker(build=…)",
    ),
    (
        ("unauthorized", "denied", "no basic auth", "authentication"),
        "start.image-denied",
        "the registry does not have it, or wants a login",
        "correct its name, or log in: docker login {registry}",
    ),
    (
        ("no such host", "refused", "timeout", "dial tcp", "unreachable", "deadline"),
        "start.no-registry",
        "the registry is not reached",
        _BRING,
    ),
    (
        ("no space left",),
        "host.engine-full",
        "the engine's disk is full",
        "make room: docker system prune",
    ),
    (("",), "start.no-image", "the registry refuses it", "see what it says"),
)


def explain_pull(reference: str, said: str) -> errors.ServiceError:
    """Return the error of a pull that a registry (or the way to it) refused with these words."""
    words = said.lower()
    code, fact, do = next(rest for keys, *rest in _REFUSALS if any(key in words for key in keys))
    registry = reference.partition("/")[0] if "/" in reference else ""
    return errors.ServiceError(
        code,
        f'cannot pull image "{reference}": {fact}',
        why=f"{fact}: {' '.join(said.split())}",
        do=do.format(registry=registry).rstrip(),
    )
