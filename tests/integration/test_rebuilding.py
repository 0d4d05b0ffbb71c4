"""Watched sources of an image: a change is built, then run; a failed build replaces nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stackdsl.model import reports, specs
from tests import engines
from tests.waiting import eventually_async
from tests.worlds import containing, native

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("engine")]
IMAGE = "watched:test"
DOCKERFILE = "FROM busybox:local\nCOPY word /word\n"
SERVE = "trap 'exit 0' TERM; cat /word; while :; do sleep 0.1; done"
WITHIN_S = 30.0


@pytest.fixture
def context(tmp_path: Path, engine: engines.Engine) -> Iterator[Path]:
    """A context, whose images are gone at the end."""
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "word").write_text("one\n")
    yield folder
    if any(IMAGE in (each["RepoTags"] or ()) for each in engine.api.images()):
        engine.api.remove_image(IMAGE, force=True)
    engine.api.prune_images({"dangling": True})


async def start(living: native.NativeNode, context: Path) -> reports.StateReport:
    image = specs.Image(reference=IMAGE, build=specs.Build(context=str(context)))
    await living.node.prepare_image(image)
    spec = containing.sh(
        "web", SERVE, container_fields={"image": image}, watch=(str(context),), digest="1"
    )
    await living.node.start([spec])
    return await living.until("web", "ready")


async def word_in(living: native.NativeNode) -> str:
    return (await living.node.execute("web", ("cat", "/word"))).stdout


async def test_a_change_of_the_sources_is_built_and_run(state_home: Path, context: Path) -> None:
    async with native.running(native.identity(state_home)) as living:
        first = await start(living, context)
        (context / "word").write_text("two\n")
        second = await living.until("web", "ready", times=2, within_s=WITHIN_S)

        assert await word_in(living) == "two\n"
        assert second.container != first.container
        again = next(one for one in living.of("web") if one.state == "restarting")
        assert again.reason == f"watched file {context}/word changed"


async def test_a_build_that_fails_leaves_what_runs_as_it_is_and_is_told(
    state_home: Path, context: Path
) -> None:
    async with native.running(native.identity(state_home)) as living:
        first = await start(living, context)
        (context / "Dockerfile").write_text(DOCKERFILE + "RUN echo no flour; false\n")
        told = await living.until_seen(
            lambda one: isinstance(one, reports.HostReport) and one.what == "build-failed",
            within_s=WITHIN_S,
        )

        assert isinstance(told, reports.HostReport)
        assert told.detail.startswith(f'"web": cannot build image "{IMAGE}"')
        assert "what runs goes on" in told.detail
        assert "no flour" in told.detail
        last = await living.until("web", "ready", times=2)
        assert last.reason.startswith(f'cannot build image "{IMAGE}"')
        assert (last.container, last.pid, last.restarts) == (first.container, first.pid, 0)


async def test_sources_that_are_mended_are_built_and_run(state_home: Path, context: Path) -> None:
    async with native.running(native.identity(state_home)) as living:
        await start(living, context)
        (context / "Dockerfile").unlink()
        await living.until_seen(
            lambda one: isinstance(one, reports.HostReport) and one.what == "build-failed",
            within_s=WITHIN_S,
        )
        (context / "word").write_text("three\n")
        (context / "Dockerfile").write_text(DOCKERFILE)

        log = state_home / "runs" / "shop" / "logs" / "web.out"

        async def is_new() -> bool:
            return log.read_text() == "one\nthree\n"

        assert await eventually_async(is_new, within_s=WITHIN_S)


async def test_what_is_stopped_during_a_build_stays_stopped(
    state_home: Path, context: Path
) -> None:
    async with native.running(native.identity(state_home)) as living:
        await start(living, context)
        (context / "Dockerfile").write_text(DOCKERFILE + "RUN sleep 2\n")
        await living.until_seen(
            lambda one: isinstance(one, reports.ProgressReport) and "sleep" in one.text,
            within_s=WITHIN_S,
        )
        await living.node.stop(["web"])
        (context / "Dockerfile").write_text(DOCKERFILE)
        await living.node.prepare_image(
            specs.Image(reference=IMAGE, build=specs.Build(context=str(context)))
        )

        assert living.states("web")[-1] == "stopped"
