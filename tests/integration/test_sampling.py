"""Sampling: the newest lines of each log, however much was written, and nothing twice."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stackdsl.session import sampling


class World:
    """A run's folder with logs, and a sampler of it."""

    def __init__(self, folder: Path) -> None:
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.grown = asyncio.Event()
        self.sampler = sampling.Sampler(str(folder), ["hunter2"], self.grown.set)

    def write(self, name: str, text: str) -> None:
        with (self.logs / name).open("a") as log:
            log.write(text)

    async def take(self) -> list[tuple[str, str]]:
        """Wait for growth, then take what there is."""
        async with asyncio.timeout(5):
            while not (taken := self.sampler.take()):
                await self.grown.wait()
                self.grown.clear()
        return taken


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    made.write("api.out", "one\ntwo\n")
    made.sampler.open()
    yield made
    made.sampler.close()


async def test_what_is_there_is_taken_at_once_and_only_once(world: World) -> None:
    assert world.sampler.take() == [("api", "one"), ("api", "two")]
    assert world.sampler.take() == []


async def test_growth_is_told_and_taken(world: World) -> None:
    world.sampler.take()
    world.write("api.out", "three\n")

    assert await world.take() == [("api", "three")]


async def test_a_log_that_appears_later_is_taken_up(world: World) -> None:
    world.sampler.take()
    world.write("db.err", "late\n")

    assert await world.take() == [("db", "late")]


async def test_a_line_is_taken_when_it_is_whole(world: World) -> None:
    world.write("api.out", "half")
    world.sampler.take()
    world.write("api.out", " and half\n")

    assert await world.take() == [("api", "half and half")]


async def test_of_a_flood_only_the_newest_lines_are_read(world: World) -> None:
    world.sampler.take()
    world.write("api.out", "".join(f"line {n}\n" for n in range(100_000)))
    taken = await world.take()

    assert taken[-1] == ("api", "line 99999")
    assert len(taken) <= sampling.LINES_MAX
    assert all(line.startswith("line ") for _, line in taken)


async def test_a_log_that_was_emptied_is_read_from_its_begin(world: World) -> None:
    world.sampler.take()
    (world.logs / "api.out").write_text("new\n")

    assert await world.take() == [("api", "new")]


async def test_a_log_that_is_gone_is_no_fault(world: World) -> None:
    (world.logs / "api.out").unlink()

    assert world.sampler.take() == []


async def test_secrets_are_masked(world: World) -> None:
    world.sampler.take()
    world.write("api.out", "the word is hunter2\n")

    assert await world.take() == [("api", "the word is ***")]


async def test_a_line_that_has_no_end_yet_is_told_apart_from_whole_ones(world: World) -> None:
    world.write("api.out", "10 %\r50 %\r")

    assert world.sampler.take() == [("api", "one"), ("api", "two")]
    assert world.sampler.unfinished() == {"api": "50 %"}

    world.write("api.out", "done\n")
    assert (await world.take())[-1][1].endswith("done")
    assert world.sampler.unfinished() == {}


async def test_a_line_without_end_that_grows_and_grows_shows_its_last_part(world: World) -> None:
    world.write("api.out", "." * 20_000 + "here")
    world.sampler.take()
    text = world.sampler.unfinished()["api"]

    assert text.startswith("…")
    assert text.endswith("here")
    assert len(text) < 100


async def test_a_secret_is_hidden_before_it_is_written_to_its_end(world: World) -> None:
    world.write("api.out", "password: hunt")
    world.sampler.take()

    assert world.sampler.unfinished() == {"api": "password: "}
