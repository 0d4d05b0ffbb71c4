"""Many small programs, each of which says its own word: by whom they are started and stopped.

A program's word is a file that begins with its pid; its time is the file's. What counts is the time
from the command to the newest word, interpreter and imports included.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

STACKDSL = str(Path(sys.executable).with_name("stackdsl"))
DEADLINE_S = 60.0

Prepare = Callable[[Path, int], Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Programs under way, and who started them."""

    folder: Path
    owner: "subprocess.Popen[bytes]"
    start_s: float

    def pids(self) -> list[int]:
        """Return the pids of the programs that live."""
        words = [word.read_text().split() for word in (self.folder / "words").iterdir()]
        return [int(word[0]) for word in words if word and is_ours(int(word[0]))]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Signal the owner; return the seconds until it and all programs are gone."""
        pids = [self.owner.pid, *self.pids()]
        watched = [os.pidfd_open(pid) for pid in pids]
        poll = select.poll()
        for fd in watched:
            poll.register(fd, select.POLLIN)
        begin = time.monotonic()
        self.owner.send_signal(number)
        left = len(watched)
        # not Popen.wait: with a limit it looks ever more seldom, at last every 50 ms
        while left:
            ended = poll.poll(DEADLINE_S * 1000)
            if not ended:
                raise RuntimeError(f"{self.owner.args!r}: {left} processes did not end")
            for fd, _ in ended:
                poll.unregister(fd)
            left -= len(ended)
        taken_s = time.monotonic() - begin
        for fd in watched:
            os.close(fd)
        self.owner.wait(DEADLINE_S)
        return taken_s


def is_ours(pid: int) -> bool:
    """Whether a pid still is one of ours: numbers are used again."""
    try:
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return argv[0].rpartition(b"/")[2] in (b"sh", b"sleep", b"listener")


def program(folder: Path, n: int | str) -> str:
    """Return the shell text of one program."""
    return f"echo $$ >{folder}/words/s{n}; exec sleep 1000"


def environment(folder: Path) -> dict[str, str]:
    """Return an environment with state of its own."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"XDG_STATE_HOME": str(folder / "state"), "XDG_RUNTIME_DIR": str(folder)}


@contextlib.contextmanager
def launch(prepare: Prepare, count: int) -> Iterator[Fleet]:
    """Start a fleet and wait for every word; afterwards nothing of it is left.

    ``prepare`` writes what the owner needs into a folder and returns its command line.
    """
    folder = Path(tempfile.mkdtemp(prefix="fleet-"))
    (folder / "words").mkdir()
    argv = prepare(folder, count)
    errors = os.open(folder / "stderr", os.O_CREAT | os.O_WRONLY)
    begin = time.time_ns()
    owner = subprocess.Popen(
        argv,
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
    )
    os.close(errors)
    try:
        newest = wait_for_words(folder, owner, count)
        fleet = Fleet(folder=folder, owner=owner, start_s=(newest - begin) / 1e9)
        yield fleet
    finally:
        end(folder, owner)


def wait_for_words(folder: Path, owner: "subprocess.Popen[bytes]", count: int) -> int:
    """Return the time of the newest word, in nanoseconds, once all are there."""
    deadline = time.monotonic() + DEADLINE_S
    while len(list((folder / "words").iterdir())) < count:
        if owner.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{owner.args!r}: {(folder / 'stderr').read_text()[-2000:]}")
        time.sleep(0.02)
    return max(word.stat().st_mtime_ns for word in (folder / "words").iterdir())


def end(folder: Path, owner: "subprocess.Popen[bytes]") -> None:
    """Give everything back, whatever state it is in."""
    fleet = Fleet(folder=folder, owner=owner, start_s=0)
    if owner.poll() is None:
        owner.terminate()
        try:
            owner.wait(10)
        except subprocess.TimeoutExpired:
            owner.kill()
            owner.wait()
    for pid in fleet.pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder)


def floor(folder: Path, count: int) -> Sequence[str]:
    """Prepare the floor."""
    script = Path(__file__).with_name("floor_start.py")
    return [sys.executable, str(script), str(count), f"{folder}/words"]


def stack(folder: Path, count: int) -> Sequence[str]:
    """Prepare a stack of independent services."""
    (folder / "fleet.py").write_text(
        "from stackdsl import Service\n"
        f"for n in range({count}):\n"
        f"""    Service(name=f"s{{n}}", command=["sh", "-c", f"{program(folder, "{n}")}"])\n"""
    )
    return [STACKDSL, "run", "fleet.py"]
