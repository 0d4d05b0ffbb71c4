"""A program for tests that misbehaves as its first argument says; standard library only."""

import os
import signal
import socket
import sys
import time
from pathlib import Path


def ignore_term() -> None:
    """Live on, whatever one is told."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ignoring", flush=True)
    time.sleep(1000)


def daemonize(folder: str) -> None:
    """Leave a grandchild in a session of its own, then serve; both write their pids."""
    _detach(folder, lambda: time.sleep(1000))
    print("detached", flush=True)
    time.sleep(1000)


def daemonize_stubborn(folder: str) -> None:
    """The same, ignoring TERM in both."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    daemonize(folder)


def daemonize_unmarked(folder: str) -> None:
    """Leave a grandchild that overwrote its environment; its output still goes to the logs."""

    def live() -> None:
        _overwrite_environ()
        _note(folder, "overwritten")
        time.sleep(1000)

    _detach(folder, live, keeps_output=True)
    print("detached", flush=True)
    time.sleep(1000)


def leave_daemon(folder: str) -> None:
    """Leave a grandchild and exit with 0 at once, as old daemons do."""
    _detach(folder, lambda: time.sleep(1000))


def hydra(folder: str) -> None:
    """Be many, each of which lives for a moment and starts the next one in a new session."""
    for _ in range(3):
        if os.fork() == 0:
            _grow()
    _note(folder, "hydra")
    print("growing", flush=True)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1000)


def _grow() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    until = time.monotonic() + 60  # a failing test must not leave them for ever
    while time.monotonic() < until:
        os.setsid()
        if os.fork() > 0:
            os._exit(0)
        time.sleep(0.0002)
    os._exit(0)


def listen(host: str, port: str, delay_s: str = "0") -> None:
    """Listen somewhere after a while."""
    time.sleep(float(delay_s))
    with socket.create_server((host, int(port))):
        time.sleep(1000)


def flood() -> None:
    """Write binary to standard error without an end."""
    block = bytes(range(256)) * 256
    while True:
        os.write(2, block)


def _detach(folder: str, live: object, *, keeps_output: bool = False) -> None:
    assert callable(live)
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    if not keeps_output:
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
    os.chdir("/")
    _note(folder, "daemon")
    live()
    os._exit(0)


def _note(folder: str, name: str) -> None:
    part = Path(folder, f"{name}.part")
    part.write_text(str(os.getpid()))
    part.rename(Path(folder, name))


def _overwrite_environ() -> None:
    """Do as PostgreSQL's and Redis's children do to show their title in ps."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[47]), int(fields[48])
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(start)
        memory.write(b" " * (end - start))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
