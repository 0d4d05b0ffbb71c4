"""Watching source files as editors and tools really change them."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from stackdsl.node import inotify, watching
from tests.waiting import eventually_async

SOON_S = 0.02


class Seen:
    """Collects what a watcher tells."""

    def __init__(self) -> None:
        self.changes: list[watching.Change] = []
        self.told = asyncio.Event()

    def __call__(self, change: watching.Change) -> None:
        self.changes.append(change)
        self.told.set()

    async def next(self, within_s: float = 2.0) -> watching.Change:
        async with asyncio.timeout(within_s):
            await self.told.wait()
        self.told.clear()
        return self.changes[-1]

    async def nothing(self, within_s: float = 0.15) -> None:
        with pytest.raises(TimeoutError):
            await self.next(within_s)


@pytest.fixture
async def seen() -> Seen:
    return Seen()


@pytest.fixture
async def watcher(seen: Seen) -> AsyncIterator[watching.Watcher]:
    watcher = watching.Watcher(seen)
    yield watcher
    watcher.close()


@pytest.fixture
def app(tmp_path: Path) -> Path:
    app = tmp_path / "app"
    (app / "pkg").mkdir(parents=True)
    (app / "main.py").write_text("print(1)\n")
    (app / "pkg" / "deep.py").write_text("x = 1\n")
    return app


def replace_by_rename(path: Path) -> None:
    new = path.with_name(f"{path.name}.k2x9")
    new.write_text("new\n")
    os.replace(new, path)


def save_as_vim(path: Path) -> None:
    swap = path.with_name(f".{path.name}.swp")
    swap.write_text("swap")
    path.with_name("4913").write_text("")
    path.with_name("4913").unlink()
    os.rename(path, f"{path}~")
    path.write_text("new\n")
    os.unlink(f"{path}~")
    swap.unlink()


def write_in_place(path: Path) -> None:
    path.write_text("new\n")


@pytest.mark.parametrize("save", [write_in_place, replace_by_rename, save_as_vim])
@pytest.mark.parametrize("watched", [".", "main.py"])
async def test_a_saved_file_is_told_once_and_soon(
    watcher: watching.Watcher, seen: Seen, app: Path, save: Callable[[Path], None], watched: str
) -> None:
    watcher.set("api", [str(app / watched)])
    for _ in range(3):
        save(app / "main.py")
        written = time.monotonic()
        change = await seen.next()
        took_s = time.monotonic() - written

        assert change == watching.Change(name="api", paths=(str(app / "main.py"),))
        assert took_s < SOON_S
    await seen.nothing()
    assert len(seen.changes) == 3


async def test_several_files_saved_together_are_told_together(
    watcher: watching.Watcher, seen: Seen, app: Path
) -> None:
    watcher.set("api", [str(app)])
    for number in range(20):
        (app / f"new-{number:02}.py").write_text("x")
        await asyncio.sleep(0.002)

    await seen.next()
    await seen.nothing()

    assert {path for one in seen.changes for path in one.paths} == {
        str(app / f"new-{number:02}.py") for number in range(20)
    }
    assert len(seen.changes) <= 2


async def test_reading_and_opening_are_no_changes(
    watcher: watching.Watcher, seen: Seen, app: Path
) -> None:
    watcher.set("api", [str(app)])
    (app / "main.py").read_text()
    os.close(os.open(app / "main.py", os.O_RDWR))
    (app / "main.py").chmod(0o600)

    await seen.nothing()


async def test_what_tools_and_editors_make_is_no_change(
    watcher: watching.Watcher, seen: Seen, app: Path
) -> None:
    watcher.set("api", [str(app)])
    for folder in (".git", "__pycache__", "node_modules", ".venv"):
        (app / folder).mkdir()
        (app / folder / "a.py").write_text("x")
    (app / ".main.py.swp").write_text("x")
    (app / "main.py~").write_text("x")
    (app / "gone.tmp").write_text("x")
    (app / "gone.tmp").unlink()

    await seen.nothing()


async def test_a_file_that_is_deleted_is_a_change(
    watcher: watching.Watcher, seen: Seen, app: Path
) -> None:
    watcher.set("api", [str(app)])
    (app / "pkg" / "deep.py").unlink()

    assert (await seen.next()).paths == (str(app / "pkg" / "deep.py"),)


async def test_new_folders_are_watched_with_what_is_in_them(
    watcher: watching.Watcher, seen: Seen, app: Path
) -> None:
    watcher.set("api", [str(app)])
    (app / "a" / "b").mkdir(parents=True)
    (app / "a" / "b" / "c.py").write_text("1")
    assert (await seen.next()).paths == (str(app / "a" / "b" / "c.py"),)

    (app / "a" / "b" / "c.py").write_text("22")
    assert (await seen.next()).paths == (str(app / "a" / "b" / "c.py"),)


async def test_a_folder_that_is_moved_away_and_back_is_watched_again(
    watcher: watching.Watcher, seen: Seen, app: Path
) -> None:
    watcher.set("api", [str(app)])
    app.rename(app.with_name("aside"))
    assert len((await seen.next()).paths) == 2
    app.with_name("aside").rename(app)
    assert len((await seen.next()).paths) == 2

    (app / "main.py").write_text("newer")
    assert (await seen.next()).paths == (str(app / "main.py"),)


async def test_a_path_may_come_into_being_later(
    watcher: watching.Watcher, seen: Seen, tmp_path: Path
) -> None:
    wanted = tmp_path / "not" / "yet" / "there.py"
    watcher.set("api", [str(wanted)])
    wanted.parent.mkdir(parents=True)
    await asyncio.sleep(0.1)
    wanted.write_text("x")

    assert (await seen.next()).paths == (str(wanted),)


async def test_a_link_that_is_pointed_elsewhere_is_a_change(
    watcher: watching.Watcher, seen: Seen, tmp_path: Path
) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "a.py").write_text(version * 3)
    current = tmp_path / "current"
    current.symlink_to("1")
    watcher.set("api", [str(current)])
    (tmp_path / "new").symlink_to("2")
    os.replace(tmp_path / "new", current)
    assert (await seen.next()).paths == (str(current / "a.py"),)

    (tmp_path / "2" / "a.py").write_text("3")
    assert (await seen.next()).paths == (str(current / "a.py"),)


async def test_a_linked_file_changes_with_what_it_links_to(
    watcher: watching.Watcher, seen: Seen, app: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link.py"
    link.symlink_to(app / "main.py")
    watcher.set("api", [str(link)])
    (app / "main.py").write_text("newer")

    assert (await seen.next()).paths == (str(link),)


async def test_each_service_is_told_of_what_it_watches(
    watcher: watching.Watcher, seen: Seen, app: Path
) -> None:
    watcher.set("api", [str(app)])
    watcher.set("worker", [str(app / "pkg")])
    watcher.set("other", [str(app / "pkg")])
    watcher.set("other", [])
    (app / "pkg" / "deep.py").write_text("newer")

    async def both() -> bool:
        return {one.name for one in seen.changes} == {"api", "worker"}

    await eventually_async(both)
    (app / "main.py").write_text("newer")
    await asyncio.sleep(0.1)
    assert [one.name for one in seen.changes][2:] == ["api"]


async def test_a_service_that_writes_what_it_watches_is_not_restarted_for_ever(
    watcher: watching.Watcher, seen: Seen, app: Path
) -> None:
    watcher.set("api", [str(app)])
    for number in range(watching.LOOP_RESTARTS + 1):
        watcher.mark_starting("api")
        (app / "state.db").write_text("x" * number)
        change = await seen.next()
        watcher.mark_started("api")
        assert bool(change.gave_up) == (number == watching.LOOP_RESTARTS)

    assert str(app / "state.db") in change.gave_up
    (app / "main.py").write_text("newer")
    await seen.nothing()


async def test_saving_often_is_no_loop(watcher: watching.Watcher, seen: Seen, app: Path) -> None:
    watcher.set("api", [str(app)])
    for number in range(10):
        (app / "main.py").write_text("x" * number)
        assert not (await seen.next()).gave_up


async def test_without_inotify_changes_are_found_by_looking(
    watcher: watching.Watcher, seen: Seen, app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: inotify.Inotify) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(inotify.Inotify, "__init__", refuse)
    monkeypatch.setattr(watching, "POLL_S", 0.02)
    watcher.set("api", [str(app)])
    (app / "main.py").write_text("newer")

    assert (await seen.next()).paths == (str(app / "main.py"),)
