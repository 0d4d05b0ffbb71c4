"""Reading logs from any process: every line once, in order, as it comes."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from stackdsl.node import following, logs
from tests.waiting import eventually_async


class Follower:
    """Collects what a reader yields, in a task of the test's."""

    def __init__(self, reader: following.LogReader) -> None:
        self.reader = reader
        self.chunks: list[following.Chunk] = []

    async def follow(self, **options: int) -> None:
        async for chunk in self.reader.follow(**options):
            self.chunks.append(chunk)

    def text(self, name: str | None = None) -> bytes:
        return b"".join(chunk.data for chunk in self.chunks if name in (None, chunk.name))

    async def until(self, text: bytes) -> None:
        async def look() -> bool:
            return text in self.text()

        await eventually_async(look)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path


@pytest.fixture
async def keeper(folder: Path) -> AsyncIterator[logs.LogKeeper]:
    keeper = logs.LogKeeper(str(folder), 64 * 1024 * 1024)
    yield keeper
    keeper.close()


@pytest.fixture
def writing(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that writes 200,000 numbered lines, one write each."""
    program = "import os\nfor i in range(200000): os.write(1, b'%07d %091d\\n' % (i, 0))"
    with open(folder / "logs" / "api.out", "ab") as log:
        child = subprocess.Popen([sys.executable, "-c", program], stdout=log)
    yield child
    child.kill()
    child.wait()


def write(folder: Path, name: str, text: bytes) -> None:
    with open(folder / "logs" / name, "ab") as log:
        log.write(text)


def test_without_a_folder_there_is_nothing_to_read(tmp_path: Path) -> None:
    assert list(following.LogReader(str(tmp_path)).read_all()) == []


async def test_streams_are_merged_by_the_time_they_were_seen(
    folder: Path, keeper: logs.LogKeeper
) -> None:
    for name in ("b", "a", "c"):
        for fd in keeper.open(name):
            os.write(fd, name.encode() + b"\n")
            os.close(fd)
            keeper.tail(name)

    read = following.LogReader(str(folder)).read_all()

    assert [(one.name, one.stream) for one in read] == [
        ("b", "out"), ("b", "err"), ("a", "out"), ("a", "err"), ("c", "out"), ("c", "err"),
    ]  # fmt: skip


async def test_since_leaves_out_what_was_seen_before(folder: Path, keeper: logs.LogKeeper) -> None:
    out, err = keeper.open("api")
    os.write(out, b"early\nhal")
    keeper.tail("api")
    since_ns = time.time_ns()
    os.write(out, b"f\nlate\n")
    keeper.tail("api")

    read = following.LogReader(str(folder)).read_all(since_ns=since_ns)

    assert b"".join(one.data for one in read) == b"half\nlate\n"
    os.close(out)
    os.close(err)


def test_tail_gives_the_last_lines_of_each_replica(folder: Path) -> None:
    write(folder, "a.out", b"1\n2\n3\n")
    write(folder, "b.out", b"4\n5\npart")
    write(folder, "c.out", b"6\n")
    write(folder, "d.out", b"x" * 400_000 + b"\n7\n")

    read = list(following.LogReader(str(folder)).read_all(tail=2))

    text = {name: b"".join(one.data for one in read if one.name == name) for name in "abc"}
    assert text == {"a": b"2\n3\n", "b": b"5\npart", "c": b"6\n"}
    assert b"".join(one.data for one in read if one.name == "d") == b"x" * 400_000 + b"\n7\n"


def test_only_the_names_asked_for_are_read(folder: Path) -> None:
    write(folder, "a.out", b"1\n")
    write(folder, "b.out", b"2\n")

    assert [one.name for one in following.LogReader(str(folder), {"b"}).read_all()] == ["b"]


@pytest.mark.parametrize("has_upkeep", [True, False])
async def test_a_burst_is_followed_to_its_last_line_in_order(
    folder: Path, writing: subprocess.Popen[bytes], has_upkeep: bool
) -> None:
    keeper = logs.LogKeeper(str(folder), 64 * 1024 * 1024)
    if has_upkeep:
        keeper.adopt()
    follower = Follower(following.LogReader(str(folder)))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follower.follow(), name="follow")
        await follower.until(b"0199999 ")
        follower.reader.stop()
    keeper.close()

    assert all(one.data.endswith(b"\n") for one in follower.chunks)
    lines = follower.text().splitlines()
    assert [int(line[:7]) for line in lines] == list(range(200_000))
    times = [one.time_ns for one in follower.chunks]
    assert times == sorted(times)


async def test_what_a_quiet_log_gets_is_seen_soon(folder: Path) -> None:
    write(folder, "api.out", b"first\n")
    follower = Follower(following.LogReader(str(folder)))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follower.follow(), name="follow")
        await follower.until(b"first\n")
        await asyncio.sleep(0.15)  # beyond the quiet after which polling ends
        written = time.monotonic()
        write(folder, "api.out", b"second\n")
        await follower.until(b"second\n")
        assert time.monotonic() - written < 0.1
        follower.reader.stop()


async def test_a_line_without_an_end_is_held_until_it_ends_or_reading_does(folder: Path) -> None:
    follower = Follower(following.LogReader(str(folder)))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follower.follow(), name="follow")
        write(folder, "api.out", b"one\nhal")
        await follower.until(b"one\n")
        assert follower.text() == b"one\n"
        write(folder, "api.out", b"f\nrest")
        await follower.until(b"half\n")
        follower.reader.stop()

    assert [one.data for one in follower.chunks] == [b"one\n", b"half\n", b"rest"]


async def test_logs_of_new_replicas_are_followed_as_they_appear(folder: Path) -> None:
    follower = Follower(following.LogReader(str(folder)))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follower.follow(), name="follow")
        for number in range(5):
            write(folder, f"load-{number}.out", b"hello from %d\n" % number)
            await follower.until(b"from %d\n" % number)
        follower.reader.stop()


async def test_following_may_begin_before_the_folder_is_there(tmp_path: Path) -> None:
    follower = Follower(following.LogReader(str(tmp_path)))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follower.follow(), name="follow")
        await asyncio.sleep(0)
        (tmp_path / "logs").mkdir()
        write(tmp_path, "api.out", b"hello\n")
        await follower.until(b"hello\n")
        follower.reader.stop()


async def test_tail_of_none_follows_only_what_comes(folder: Path) -> None:
    write(folder, "api.out", b"old\n")
    follower = Follower(following.LogReader(str(folder)))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follower.follow(tail=0), name="follow")
        await asyncio.sleep(0.02)
        write(folder, "api.out", b"new\n")
        await follower.until(b"new\n")
        follower.reader.stop()

    assert follower.text() == b"new\n"


async def test_a_log_that_its_program_empties_is_followed_from_its_start(folder: Path) -> None:
    follower = Follower(following.LogReader(str(folder)))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follower.follow(), name="follow")
        write(folder, "api.out", b"a long first line\n")
        await follower.until(b"first line\n")
        os.truncate(folder / "logs" / "api.out", 0)
        write(folder, "api.out", b"anew\n")
        await follower.until(b"anew\n")
        follower.reader.stop()


async def test_a_log_that_is_deleted_and_made_again_is_followed_on(folder: Path) -> None:
    follower = Follower(following.LogReader(str(folder)))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follower.follow(), name="follow")
        write(folder, "api.out", b"first life\n")
        await follower.until(b"first life\n")
        (folder / "logs" / "api.out").unlink()
        write(folder, "api.out", b"the second life is longer\n")
        await follower.until(b"longer\n")
        follower.reader.stop()

    assert follower.text() == b"first life\nthe second life is longer\n"


async def test_a_reader_that_was_overtaken_is_told_how_much_it_lost(folder: Path) -> None:
    line = b"x" * 99 + b"\n"
    keeper = logs.LogKeeper(str(folder), 1024 * 1024)
    out, err = keeper.open("api")
    os.write(out, line)
    reader = following.LogReader(str(folder))
    chunks: list[following.Chunk] = []
    async for chunk in reader.follow():
        chunks.append(chunk)
        if len(chunks) == 1:  # a slow reader: the log grows beyond its bound meanwhile
            for _ in range(100):
                os.write(out, line * 1000)
                keeper.tail("api")
            reader.stop()
    keeper.close()
    os.close(out)
    os.close(err)

    lost = sum(one.lost_bytes for one in chunks)
    assert lost > 8_000_000
    assert lost + sum(len(one.data) for one in chunks) == 10_000_100
    assert all(row == line for one in chunks for row in one.data.splitlines(keepends=True))


def test_zeros_that_a_program_writes_are_data(folder: Path) -> None:
    write(folder, "api.out", b"\0" * 10000 + b"\n")

    assert b"".join(one.data for one in following.LogReader(str(folder)).read_all()) == (
        b"\0" * 10000 + b"\n"
    )
