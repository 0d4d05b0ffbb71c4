"""A disk that is really full, a small one of its own: under logs, journal and the store of runs."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import COMMAND, Cli
from tests.waiting import eventually
from tests.worlds import native

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 and not os.environ.get("CI"), reason="needs root: it mounts a small disk"
)

NOISY = """
    @service()
    def noisy():
        return ["sh", "-c", "while :; do echo 1234567890123456789012345678901234567890; done"]

    @service()
    def quiet():
        return ["sleep", "1000"]
"""


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, state_home: Path) -> Iterator[Path]:
    """State is kept on a disk of 3 MiB."""
    place = Path(tempfile.mkdtemp(prefix="sd-full-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place], check=True)
    monkeypatch.setenv("XDG_STATE_HOME", str(place))
    yield place
    subprocess.run([COMMAND, "clean", "--all"], capture_output=True, check=False)
    subprocess.run(["umount", place], check=True)
    place.rmdir()


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return filler
    return filler


def is_full(disk: Path) -> bool:
    return os.statvfs(disk).f_bavail == 0


def test_a_run_whose_logs_fill_the_disk_tells_it_goes_on_and_is_stopped(
    cli: Cli, write_stack: Callable[..., Path], disk: Path
) -> None:
    stack = write_stack(NOISY)
    cli("start", stack)
    eventually(lambda: is_full(disk), within_s=20)

    def told() -> bool:
        return "No space left on device" in cli("events", "shop").stdout

    eventually(told, within_s=10)
    assert cli.states() == {"noisy": "ready", "quiet": "ready"}
    assert cli("exec", "quiet", "--", "echo", "here").stdout == "here\n"
    cli("stop", "shop")
    assert cli.json("ps") == []
    cli("clean")


def test_on_a_full_disk_nothing_starts_and_what_is_there_can_be_looked_at(
    cli: Cli, write_stack: Callable[..., Path], disk: Path
) -> None:
    stack = write_stack(NOISY)
    fill(disk)
    for command in ("run", "start"):
        done = cli(command, stack, code=3)
        assert "the disk is full" in done.stderr or "No space left" in done.stderr
    (disk / "filler").unlink()
    cli("start", stack, "quiet")
    cli("stop", "shop")
    fill(disk)
    cli("ps")
    cli("logs", "shop")
    cli("clean")


def test_what_is_left_of_a_killed_run_on_a_full_disk_is_ended_by_clean(
    cli: Cli, write_stack: Callable[..., Path], disk: Path
) -> None:
    cli("start", write_stack(NOISY))
    pids = [row["pid"] for row in cli.services().values()]
    controller = next(row["pid"] for row in cli.json("ps"))
    node = int(Path(f"/proc/{controller}/task/{controller}/children").read_text().split()[0])
    for pid in (controller, node):
        os.kill(pid, 9)
    eventually(lambda: is_full(disk), within_s=20)
    cli("clean")
    assert not native.alive(pids)
    assert cli.json("ps") == []
