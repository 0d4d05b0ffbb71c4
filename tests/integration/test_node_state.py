"""The journal on disk: written before effects, readable by the next node, clear when it is not."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackdsl.model import errors, services, specs
from stackdsl.node import journal
from tests.worlds import native


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path)


@contextlib.contextmanager
def altered(folder: str, *statements: str) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(f"{folder}/{journal.NAME}")) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()
    yield


async def test_what_was_intended_is_on_disk_before_anything_is_noted(folder: str) -> None:
    opened = journal.open_journal(folder, print)
    spec = native.spec("api", "serve", "--port", "1", digest="d1")
    opened.intend([spec])
    with contextlib.closing(journal.open_journal(folder, print)) as another:
        (row,) = another.rows()
    assert (row.spec, row.state, row.pid) == (spec, "waiting", None)
    opened.close()


async def test_what_was_noted_is_read_by_the_next(folder: str) -> None:
    opened = journal.open_journal(folder, print)
    opened.intend([native.spec("api", "serve")])
    opened.note("api", state="ready", pid=7, start_ticks=99, restarts=2)
    opened.close()
    with contextlib.closing(journal.open_journal(folder, print)) as another:
        (row,) = another.rows()
    assert (row.state, row.pid, row.start_ticks, row.restarts) == ("ready", 7, 99, 2)
    assert row.boot == another.boot


async def test_a_spec_with_all_its_fields_comes_back_as_it_was(folder: str) -> None:
    spec = native.spec(
        "api",
        "sh",
        "-c",
        "echo \udcff é",
        env=(("A", "1"), ("B", None)),
        limits=services.Limits(cpu=0.5, files=10),
        restart=services.Restart(on="always"),
        hooks=(("before_start", ("true",)),),
        files=(specs.RenderedFile(path="a", text="b"),),
    )
    with contextlib.closing(journal.open_journal(folder, print)) as opened:
        opened.intend([spec])
        assert opened.rows()[0].spec == spec


async def test_secrets_are_not_written(folder: str) -> None:
    opened = journal.open_journal(folder, print, ('hun"ter2',))
    opened.intend([native.spec("api", "serve", env=(("PASSWORD", 'hun"ter2'),))])
    (row,) = opened.rows()
    assert row.spec.env == (("PASSWORD", "***"),)
    assert not row.is_whole
    opened.close()
    for file in Path(folder).iterdir():
        assert b"ter2" not in file.read_bytes()


async def test_only_its_owner_may_read_it(folder: str) -> None:
    journal.open_journal(folder, print).close()
    assert Path(folder, journal.NAME).stat().st_mode & 0o077 == 0


async def test_a_newer_version_is_named(folder: str) -> None:
    journal.open_journal(folder, print).close()
    with altered(folder, "PRAGMA user_version = 99"), pytest.raises(errors.UsageError) as caught:
        journal.open_journal(folder, print)
    assert caught.value.code == "state.newer"
    assert "99" in caught.value.why


async def test_a_damaged_file_is_told(folder: str) -> None:
    Path(folder, journal.NAME).write_bytes(b"this is no database" * 100)
    with pytest.raises(errors.HostError) as caught:
        journal.open_journal(folder, print)
    assert caught.value.code == "state.corrupt"
    assert "stackdsl clean" in caught.value.do


async def test_a_row_that_cannot_be_read_is_told(folder: str) -> None:
    with contextlib.closing(journal.open_journal(folder, print)) as opened:
        opened.intend([native.spec("api", "serve")])
    with (
        altered(folder, 'UPDATE replicas SET spec = \'{"$": "specs.Nonsense"}\''),
        contextlib.closing(journal.open_journal(folder, print)) as opened,
        pytest.raises(errors.HostError) as caught,
    ):
        opened.rows()
    assert caught.value.code == "state.corrupt"


async def fill(opened: journal.Journal) -> None:
    """Let the database have no room left: SQLite then answers as on a full disk."""
    opened._db.execute("PRAGMA max_page_count = 1")


async def test_nothing_may_start_on_a_full_disk(folder: str) -> None:
    with contextlib.closing(journal.open_journal(folder, print)) as opened:
        await fill(opened)
        with pytest.raises(errors.HostError) as caught:
            opened.intend([native.spec("api", "x" * 100_000)])
    assert caught.value.code == "state.disk-full"


async def test_a_full_disk_is_told_once_when_states_cannot_be_noted(folder: str) -> None:
    told: list[str] = []
    with contextlib.closing(journal.open_journal(folder, told.append)) as opened:
        opened.intend([native.spec("api", "serve")])
        await fill(opened)
        for _ in range(3):
            opened.note("api", output="x" * 100_000)
        opened.commit()
    assert len(told) == 1
    assert told[0].endswith("the disk is full")


async def test_a_node_refuses_a_damaged_journal_and_goes_on_serving(state_home: Path) -> None:
    run = native.identity(state_home)
    Path(run.folder).mkdir(parents=True)
    Path(run.folder, journal.NAME).write_bytes(b"this is no database" * 100)
    async with native.running(None) as living:
        with pytest.raises(errors.HostError) as caught:
            await living.node.begin(run)
        assert caught.value.code == "state.corrupt"
        Path(run.folder, journal.NAME).unlink()
        assert await living.node.begin(run) == ()


async def test_a_folder_of_an_earlier_run_is_taken_over_and_cleared(state_home: Path) -> None:
    earlier = native.identity(state_home, run_id="tearlier", crash="adopt")
    async with native.running(earlier) as first:
        await first.node.start([native.spec("api", "sleep", "1000")])
        pid = (await first.until("api", "ready")).pid
        first.node.close()
        await first.wait()
    assert pid is not None
    async with native.running(native.identity(state_home)) as second:
        assert second.stands == ()
        assert native.alive([pid]) == []
