"""Images: looked for before a plan, pulled and built with progress, refused in clear words."""

import base64
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from stackdsl.model import errors, facts, reports, specs
from stackdsl.model.requests import Wanted
from stackdsl.node import engines, images, surveying
from tests import engines as tests_engines

# `htpasswd -Bbn tester sesame`
HTPASSWD = "tester:$2b$04$q6QYb.0wA.9R2Tc3l4CpWO1WHVcyGiIPH.a5wSN1hLc6iKVC.DsRa\n"


@pytest.fixture
async def node_engine(engine: tests_engines.Engine) -> AsyncIterator[engines.Engine]:
    found = await engines.connect(os.environ)
    yield found
    found.close()


@pytest.fixture
def told() -> list[reports.Report]:
    return []


@pytest.fixture
def maker(told: list[reports.Report]) -> images.Images:
    return images.Images(told.append)


@pytest.fixture
def context(tmp_path: Path, engine: tests_engines.Engine) -> Iterator[Path]:
    """A context whose image is gone at the end."""
    (tmp_path / "Dockerfile").write_text("FROM busybox:local\nCOPY word /word\nRUN cat /word\n")
    (tmp_path / "word").write_text("one\n")
    yield tmp_path
    for each in engine.api.images():
        if "built:test" in (each["RepoTags"] or ()):
            engine.api.remove_image("built:test", force=True)


def built(context: Path, fingerprint: str = "", **fields: str) -> specs.Image:
    build = specs.Build(context=str(context), fingerprint=fingerprint, **fields)  # type: ignore[arg-type]  # a test's own fields
    return specs.Image(reference="built:test", build=build)


def texts(told: list[reports.Report]) -> list[str]:
    return [each.text for each in told if isinstance(each, reports.ProgressReport)]


async def survey(wanted: Wanted) -> facts.HostFacts:
    access = engines.Access(os.environ)
    try:
        return await surveying.survey(wanted, access)
    finally:
        access.close()


async def fingerprint_of(context: Path) -> str:
    wanted = Wanted(images=(built(context),), has_engine=True)
    seen = await survey(wanted)
    return dict(seen.builds)[str(context)]


async def why_missing(image: specs.Image) -> str:
    wanted = Wanted(images=(image,), has_engine=True)
    seen = await survey(wanted)
    assert seen.engine is not None
    assert seen.engine.problem == ""
    return dict(seen.images_missing).get(image.reference, "")


async def refused(
    maker: images.Images, node_engine: engines.Engine, image: specs.Image
) -> errors.StackError:
    with pytest.raises(errors.ServiceError) as caught:
        await maker.prepare(node_engine, image)
    return caught.value


async def test_an_image_that_is_there_is_not_missing(engine: tests_engines.Engine) -> None:
    assert await why_missing(specs.Image(reference="busybox:local")) == ""


async def test_an_image_that_may_not_be_pulled_is_missing(engine: tests_engines.Engine) -> None:
    why = await why_missing(specs.Image(reference="nothing:here", pull="never"))
    assert 'pull="never"' in why


async def test_an_image_that_a_registry_has_is_not_missing(
    registry: tests_engines.Registry,
) -> None:
    reference = registry.push("busybox:local", "box:there")
    assert await why_missing(specs.Image(reference=reference)) == ""


async def test_an_image_that_a_registry_has_not_is_missing(
    registry: tests_engines.Registry,
) -> None:
    why = await why_missing(specs.Image(reference=f"{registry.address}/nothing:here"))
    assert "does not have it" in why


async def test_an_image_whose_registry_is_not_there_is_missing(
    engine: tests_engines.Engine,
) -> None:
    why = await why_missing(specs.Image(reference="127.0.0.1:9/box:1"))
    assert "not reached" in why
    assert "docker load" in why.partition("\n")[2]


async def test_a_context_without_a_dockerfile_is_told_with_what_is_there(
    context: Path,
) -> None:
    (context / "Dockerfile").rename(context / "Dockerfile.dev")
    why = await why_missing(built(context))
    assert "is not there" in why
    assert '"Dockerfile.dev"' in why


async def test_the_fingerprint_changes_with_what_is_sent_and_with_nothing_else(
    context: Path,
) -> None:
    (context / ".dockerignore").write_text("# not these\n*.log\n")
    first = await fingerprint_of(context)
    (context / "run.log").write_text("noise")
    os.utime(context / "word", (1, 1))
    assert await fingerprint_of(context) == first
    (context / "word").write_text("two\n")
    assert await fingerprint_of(context) != first


async def test_an_image_is_pulled(
    maker: images.Images,
    node_engine: engines.Engine,
    registry: tests_engines.Registry,
    told: list[reports.Report],
) -> None:
    reference = registry.push("busybox:local", "box:1")
    try:
        made = await maker.prepare(node_engine, specs.Image(reference=reference))
        assert made == registry.engine.api.inspect_image("busybox:local")["Id"]
        assert any(text.startswith("pulling") for text in texts(told))
    finally:
        registry.engine.api.remove_image(reference)


async def test_a_pull_that_the_registry_refuses_says_so(
    maker: images.Images, node_engine: engines.Engine, registry: tests_engines.Registry
) -> None:
    error = await refused(
        maker, node_engine, specs.Image(reference=f"{registry.address}/nothing:here")
    )
    assert error.code == "start.no-image"
    assert "does not have it" in error.what


async def test_a_pull_from_nowhere_says_that_the_registry_is_not_reached(
    maker: images.Images, node_engine: engines.Engine
) -> None:
    error = await refused(maker, node_engine, specs.Image(reference="127.0.0.1:9/box:1"))
    assert error.code == "start.no-registry"


async def test_pull_always_asks_though_the_image_is_there(
    maker: images.Images, node_engine: engines.Engine, engine: tests_engines.Engine
) -> None:
    engine.api.tag("busybox:local", "127.0.0.1:9/box", "1")
    try:
        image = specs.Image(reference="127.0.0.1:9/box:1", pull="always")
        assert (await refused(maker, node_engine, image)).code == "start.no-registry"
    finally:
        engine.api.remove_image("127.0.0.1:9/box:1")


async def test_an_image_is_built_with_its_steps_told(
    context: Path,
    maker: images.Images,
    node_engine: engines.Engine,
    engine: tests_engines.Engine,
    told: list[reports.Report],
) -> None:
    made = await maker.prepare(node_engine, built(context))
    assert engine.api.inspect_image("built:test")["Id"] == made
    assert "sending the context" in texts(told)


async def test_a_step_that_takes_long_is_told(
    context: Path, maker: images.Images, node_engine: engines.Engine, told: list[reports.Report]
) -> None:
    (context / "Dockerfile").write_text(
        f"FROM busybox:local\nRUN echo {os.urandom(4).hex()} && sleep 1\n"
    )
    await maker.prepare(node_engine, built(context))
    assert any(each.startswith("Step 2/2") for each in texts(told)), texts(told)


async def test_an_image_that_was_built_from_the_same_is_not_built_again(
    context: Path,
    maker: images.Images,
    node_engine: engines.Engine,
    told: list[reports.Report],
) -> None:
    image = built(context, await fingerprint_of(context))
    first = await maker.prepare(node_engine, image)
    told.clear()
    assert await maker.prepare(node_engine, image) == first
    assert texts(told) == []


async def test_an_image_is_built_anew_when_its_context_has_changed(
    context: Path, maker: images.Images, node_engine: engines.Engine
) -> None:
    first = await maker.prepare(node_engine, built(context, await fingerprint_of(context)))
    (context / "word").write_text("two\n")
    second = await maker.prepare(node_engine, built(context, await fingerprint_of(context)))
    assert second != first


async def test_a_dockerfile_that_fails_shows_its_step_and_its_last_lines(
    context: Path, maker: images.Images, node_engine: engines.Engine
) -> None:
    (context / "Dockerfile").write_text(
        "FROM busybox:local\nRUN echo before && echo sorry >&2 && exit 7\n"
    )
    error = await refused(maker, node_engine, built(context))
    assert error.code == "start.build-failed"
    assert "returned a non-zero code: 7" in error.what
    assert "step 2/2" in error.why
    assert "sorry" in error.lines  # and not in the builder's colours


async def test_a_dockerfile_that_cannot_be_read_says_where(
    context: Path, maker: images.Images, node_engine: engines.Engine
) -> None:
    (context / "Dockerfile").write_text("FROM busybox:local\nRUNN true\n")
    error = await refused(maker, node_engine, built(context))
    assert "RUNN" in error.what


async def test_arguments_reach_the_build(
    context: Path, maker: images.Images, node_engine: engines.Engine, engine: tests_engines.Engine
) -> None:
    (context / "Dockerfile").write_text("FROM busybox:local\nARG WORD\nENV WORD=$WORD\n")
    await maker.prepare(node_engine, built(context, args=(("WORD", "hello"),)))  # type: ignore[arg-type]  # any field of Build
    assert "WORD=hello" in engine.api.inspect_image("built:test")["Config"]["Env"]


async def test_one_image_asked_for_twice_is_made_once(
    context: Path, maker: images.Images, node_engine: engines.Engine, told: list[reports.Report]
) -> None:
    image = built(context, await fingerprint_of(context))
    first, second = await engines.at_once(maker.prepare(node_engine, image) for _ in range(2))
    assert first == second
    assert texts(told).count("sending the context") == 1


async def test_a_registry_that_asks_for_a_login_says_so(
    engine: tests_engines.Engine, maker: images.Images, node_engine: engines.Engine
) -> None:
    with tests_engines.serving(engine, users=HTPASSWD) as closed:
        error = await refused(maker, node_engine, specs.Image(reference=f"{closed.address}/box:1"))
    assert error.code == "start.image-denied"
    assert f"docker login {closed.address}" in error.do


async def test_a_login_of_the_docker_command_is_used(
    engine: tests_engines.Engine,
    maker: images.Images,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tests_engines.serving(engine, users=HTPASSWD) as closed:
        reference = closed.push("busybox:local", "box:1", username="tester", password="sesame")
        login = base64.b64encode(b"tester:sesame").decode()
        text = json.dumps({"auths": {closed.address: {"auth": login}}})
        (tmp_path / "config.json").write_text(text)
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        assert await why_missing(specs.Image(reference=reference)) == ""
        found = await engines.connect(os.environ)
        try:
            await maker.prepare(found, specs.Image(reference=reference))
        finally:
            found.close()
            engine.api.remove_image(reference)
