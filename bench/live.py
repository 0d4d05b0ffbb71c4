"""What the live view of `run` takes of a core: 50 services that log a line a second each, a flood,
and nothing at all."""

import contextlib
import fcntl
import os
import pty
import shutil
import signal
import statistics
import struct
import subprocess
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench import fleets
from bench.figures import Figure

COUNT = 50
SAMPLES = 3
WINDOW_S = 5.0
DEADLINE_S = 60.0
ROWS, COLUMNS = 40, 120
STACK = """
from stackdsl import Service
for n in range({count}):
    Service(name=f"s{{n}}", command=["sh", "-c", {program!r}])
"""
TALKING = (
    "n=0; while sleep 1; do n=$((n+1)); echo line $n of a service that has something to say; done"
)
QUIET = "exec sleep 1000"
FLOODING = "exec yes a line of a flood that nobody could ever read as fast as it comes"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Terminal:
    """A terminal that is read at once, as a quick one does, and counts what it was sent."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.sent_bytes = 0
        self.newest = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the other side was closed
            while data := os.read(self._ours, 65536):
                self.sent_bytes += len(data)
                self.newest = (self.newest + data)[-65536:]

    def close(self) -> None:
        """Give the terminal back."""
        os.close(self.theirs)
        self._reader.join(5)
        os.close(self._ours)


@contextlib.contextmanager
def running(program: str, count: int) -> Iterator[tuple[int, Terminal]]:
    """Run a stack on a terminal; yield the pid of who draws, once all of it is ready."""
    folder = Path(tempfile.mkdtemp(prefix="live-"))
    (folder / "stack.py").write_text(STACK.format(count=count, program=program))
    terminal = Terminal()
    run = subprocess.Popen(
        [fleets.STACKDSL, "run", "stack.py"],
        cwd=folder,
        env=fleets.environment(folder) | {"TERM": "xterm-256color"},
        stdin=terminal.theirs, stdout=terminal.theirs, stderr=terminal.theirs,
        start_new_session=True,
    )  # fmt: skip
    try:
        wait_until_ready(terminal, count)
        yield run.pid, terminal
    finally:
        run.send_signal(signal.SIGINT)
        run.wait(30)
        terminal.close()
        shutil.rmtree(folder)


def wait_until_ready(terminal: Terminal, count: int) -> None:
    """Return when the view says that all are ready."""
    deadline = time.monotonic() + DEADLINE_S
    while f"{count} of {count} ready".encode() not in terminal.newest:
        if time.monotonic() > deadline:
            raise RuntimeError(f"cannot bench: not ready in {DEADLINE_S} s: {terminal.newest!r}")
        time.sleep(0.05)
    time.sleep(1)  # the first moment is not the rest of it


def cpu_s(pid: int) -> float:
    """Return the seconds of a core that a process has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def measure(program: str, count: int) -> tuple[float, float]:
    """Return the share of a core that who draws takes, and the bytes a second that it sends."""
    with running(program, count) as (pid, terminal):
        shares: list[float] = []
        sent = terminal.sent_bytes
        for _ in range(SAMPLES):
            begin, used = time.monotonic(), cpu_s(pid)
            time.sleep(WINDOW_S)
            shares.append((cpu_s(pid) - used) / (time.monotonic() - begin))
        return statistics.median(shares), (terminal.sent_bytes - sent) / SAMPLES / WINDOW_S


def main() -> list[Figure]:
    """Measure the run's own process: the view, and whatever else it does meanwhile."""
    found = {
        f"{COUNT} services, a line a second each": measure(TALKING, COUNT),
        f"{COUNT} services, silent": measure(QUIET, COUNT),
        "a service that floods its log": measure(FLOODING, 1),
    }
    return [
        Figure(
            name=f"live view, {name}, of a core",
            ratio=share * 100,
            bound=5.0,
            unit="%",
            detail=f"{sent / 1000:.1f} kB a second to a terminal of {COLUMNS}x{ROWS}",
        )
        for name, (share, sent) in found.items()
    ]
