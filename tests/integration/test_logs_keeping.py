"""Upkeep of logs: bounds on disk, times of lines, what survives."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stackdsl.node import following, logs, sightings
from tests.waiting import eventually_async

MEBIBYTE = 1024 * 1024
LINE = b"x" * 99 + b"\n"


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[logs.LogKeeper]:
    keeper = logs.LogKeeper(str(tmp_path), MEBIBYTE)
    yield keeper
    keeper.close()


def blocks(path: Path) -> int:
    return path.stat().st_blocks * 512


async def until_idle(keeper: logs.LogKeeper) -> None:
    async def look() -> bool:
        return keeper.is_idle

    await eventually_async(look)


async def test_streams_are_private_files_that_are_appended_to(
    keeper: logs.LogKeeper, tmp_path: Path
) -> None:
    for _ in range(2):
        for fd in keeper.open("api"):
            os.write(fd, b"a line\n")
            assert not os.get_inheritable(fd)
            os.close(fd)

    for stream in ("out", "err"):
        log = tmp_path / "logs" / f"api.{stream}"
        assert log.read_bytes() == b"a line\n" * 2
        assert log.stat().st_mode & 0o777 == 0o600


async def test_the_head_is_given_back_while_offsets_stay_true(
    keeper: logs.LogKeeper, tmp_path: Path
) -> None:
    out, err = keeper.open("api")
    log = tmp_path / "logs" / "api.out"
    most = 0
    for _ in range(100):
        os.write(out, LINE * 1000)
        await asyncio.sleep(0.006)  # a writer of 16 MB/s, so that upkeep can follow
        most = max(most, blocks(log))
    await until_idle(keeper)

    assert log.stat().st_size == 10_000_000
    assert blocks(log) + blocks(tmp_path / "logs" / "api.out.idx") <= MEBIBYTE
    assert most <= MEBIBYTE + MEBIBYTE // 2
    assert keeper.read_from("api", "out", 9_999_900) == LINE
    os.close(out)
    os.close(err)


async def test_upkeep_sleeps_when_nothing_is_written_and_wakes_at_once(
    keeper: logs.LogKeeper,
) -> None:
    out, err = keeper.open("api")
    await until_idle(keeper)
    grown = asyncio.Event()
    end = keeper.on_growth(lambda _name, _stream: grown.set())

    os.write(err, b"a line\n")

    async with asyncio.timeout(0.05):
        await grown.wait()
    end()
    os.close(out)
    os.close(err)


async def test_tail_merges_both_streams_in_the_order_seen(keeper: logs.LogKeeper) -> None:
    out, err = keeper.open("api")
    for fd, text in ((out, b"one\n"), (err, b"two\n"), (out, b"three\n"), (err, b"half")):
        os.write(fd, text)
        keeper.tail("api")  # looks, so that each is seen at a time of its own

    assert keeper.tail("api") == ("one", "two", "three", "half")
    assert keeper.tail("api", 2) == ("three", "half")
    os.close(out)
    os.close(err)


async def test_tail_shows_only_the_current_start(keeper: logs.LogKeeper) -> None:
    out, err = keeper.open("api")
    os.write(out, b"earlier\n")
    keeper.mark_start("api")
    os.write(out, b"now\n")

    assert keeper.tail("api") == ("now",)
    assert keeper.start_offsets("api") == (8, 0)
    os.close(out)
    os.close(err)


async def test_tail_survives_binary_and_cuts_long_lines(keeper: logs.LogKeeper) -> None:
    out, err = keeper.open("api")
    os.write(err, b"\xff\xfe\0\x80\n" + b"y" * 5000 + b"\n")

    binary, long = keeper.tail("api")

    assert "\ufffd" in binary
    assert long == "y" * 2000 + "…"
    os.close(out)
    os.close(err)


async def test_a_program_that_empties_its_log_is_noticed(
    keeper: logs.LogKeeper, tmp_path: Path
) -> None:
    out, err = keeper.open("api")
    os.write(out, LINE * 100)
    keeper.mark_start("api")
    keeper.tail("api")
    os.truncate(tmp_path / "logs" / "api.out", 0)  # as open("/dev/stdout", "w") does
    os.write(out, b"anew\n")

    assert keeper.tail("api") == ("anew",)
    assert keeper.start_offsets("api") == (0, 0)
    os.close(out)
    os.close(err)


async def test_a_node_that_comes_later_goes_on_where_the_earlier_one_ended(tmp_path: Path) -> None:
    first = logs.LogKeeper(str(tmp_path), MEBIBYTE)
    out, err = first.open("api")
    os.write(out, LINE * 5000)
    first.close()
    os.write(out, LINE * 20000)
    second = logs.LogKeeper(str(tmp_path), MEBIBYTE)
    second.adopt()
    await until_idle(second)

    log = tmp_path / "logs" / "api.out"
    assert log.stat().st_size == 2_500_000
    assert blocks(log) <= MEBIBYTE
    second.close()
    os.close(out)
    os.close(err)


async def test_a_full_disk_under_the_times_of_lines_is_told_once_and_costs_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    keeper = logs.LogKeeper(str(tmp_path), MEBIBYTE, told.append)
    out, err = keeper.open("api")

    def refuse(_fd: int, _data: bytes, _offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", refuse)
    for _ in range(3):
        os.write(out, LINE)
        keeper.tail("api")

    assert len(told) == 1
    assert os.strerror(errno.ENOSPC) in told[0]
    assert keeper.tail("api") == ("x" * 99,) * 3
    keeper.close()
    os.close(out)
    os.close(err)


async def test_a_full_disk_under_the_output_is_told_though_nothing_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    keeper = logs.LogKeeper(str(tmp_path), MEBIBYTE, told.append)
    fields = list(os.statvfs(tmp_path))
    fields[3] = fields[4] = 0  # f_bfree, f_bavail
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result(fields))
    for name in ("api", "db"):
        for fd in keeper.open(name):
            os.close(fd)
    keeper.close()

    assert len(told) == 1
    assert os.strerror(errno.ENOSPC) in told[0]


async def test_an_index_cut_short_by_a_full_disk_is_mended(
    keeper: logs.LogKeeper, tmp_path: Path
) -> None:
    out, err = keeper.open("api")
    os.write(out, LINE)
    keeper.tail("api")
    index = tmp_path / "logs" / "api.out.idx"
    index.write_bytes(index.read_bytes() + b"\1" * 7)
    os.write(out, LINE)
    keeper.tail("api")

    assert index.stat().st_size == 2 * sightings.PAIR.size
    assert [chunk.data for chunk in following.LogReader(str(tmp_path)).read_all()] == [LINE, LINE]
    os.close(out)
    os.close(err)


async def test_forgetting_a_replica_deletes_its_logs(
    keeper: logs.LogKeeper, tmp_path: Path
) -> None:
    for fd in keeper.open("api"):
        os.write(fd, LINE)
        os.close(fd)
    keeper.tail("api")

    keeper.forget("api")

    assert list((tmp_path / "logs").iterdir()) == []


async def test_times_of_short_lines_count_into_the_bound(tmp_path: Path) -> None:
    keeper = logs.LogKeeper(str(tmp_path), 64 * 1024)
    out, err = keeper.open("api")
    log, index = (tmp_path / "logs" / f"api.out{suffix}" for suffix in ("", ".idx"))
    for number in range(10_000):
        os.write(out, b"%9d\n" % number)
        keeper.tail("api", 0)
        if number % 1000 == 0:
            assert blocks(log) + blocks(index) <= 64 * 1024 + 2 * 4096

    assert index.stat().st_size == 10_000 * sightings.PAIR.size
    assert keeper.tail("api", 2) == ("     9998", "     9999")
    keeper.close()
    os.close(out)
    os.close(err)
