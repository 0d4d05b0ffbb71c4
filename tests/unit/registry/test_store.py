import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from stackdsl.model import errors
from stackdsl.registry import owners, store


def make(root: Path, run: str = "shop", **changes: object) -> store.Record:
    record = store.new_record(
        run, "abc", stack="shop", file="/x/shop.py", folder=str(root / run), crash=("reap", 0.0)
    )
    return replace(record, **changes)  # type: ignore[arg-type] # a test's own fields


def test_a_claimed_run_is_found_by_others(tmp_path: Path) -> None:
    first, second = store.Store(str(tmp_path)), store.Store(str(tmp_path))
    assert first.claim(make(tmp_path)) is None
    assert [record.run for record in second.records()] == ["shop"]


def test_a_name_owned_by_another_living_process_is_refused(tmp_path: Path) -> None:
    books = store.Store(str(tmp_path))
    parent = owners.Owner(pid=os.getppid(), start=owners.start_time(os.getppid()))
    assert books.claim(make(tmp_path, controller=parent)) is None
    owner = books.claim(make(tmp_path, run_id="other"))
    assert owner is not None
    assert owner.controller == parent


def test_of_two_that_adopt_the_same_run_at_once_only_one_gets_it(tmp_path: Path) -> None:
    books = store.Store(str(tmp_path))
    parent = owners.Owner(pid=os.getppid(), start=owners.start_time(os.getppid()))
    assert books.claim(make(tmp_path, controller=parent)) is None
    owner = books.claim(make(tmp_path))  # with the run_id that both read before
    assert owner is not None
    assert owner.controller == parent


def test_a_name_whose_owner_is_dead_is_taken_over(tmp_path: Path) -> None:
    books = store.Store(str(tmp_path))
    books.claim(make(tmp_path, controller=owners.Owner(pid=os.getpid(), start=1)))
    assert books.claim(make(tmp_path)) is None


def test_overlapping_blocks_are_refused(tmp_path: Path) -> None:
    books = store.Store(str(tmp_path))
    books.claim(make(tmp_path, "a"))
    books.claim(make(tmp_path, "b"))
    assert books.claim_block("a", (100, 199))
    assert not books.claim_block("b", (150, 250))
    assert books.claim_block("b", (200, 250))
    assert books.claim_block("a", (100, 199))


def test_a_state_file_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(errors.UsageError) as caught:
        store.Store(str(tmp_path)).records()
    assert caught.value.code == "state.newer"
    assert path.read_bytes() == before


def test_a_damaged_state_file_is_refused_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(errors.UsageError) as caught:
        store.Store(str(tmp_path)).records()
    assert caught.value.code == "state.corrupt"
    assert str(path) in caught.value.what
    assert path.read_bytes() == b"no database" * 100


def test_only_the_user_may_read_the_state(tmp_path: Path) -> None:
    books = store.Store(str(tmp_path / "state"))
    books.claim(make(tmp_path))
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state" / "runs.db").stat().st_mode & 0o777 == 0o600
