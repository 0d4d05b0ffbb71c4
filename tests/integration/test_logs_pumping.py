"""Carrying the output of pipes and terminals into logs."""

import asyncio
import os
import pty
import subprocess
import sys
from pathlib import Path

from stackdsl.node import pumping


def open_log(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def start(*argv: str, stdout: int) -> subprocess.Popen[bytes]:
    """Start a program whose output nobody else holds."""
    child = subprocess.Popen(argv, stdout=stdout)
    os.close(stdout)
    return child


async def test_all_that_a_program_writes_into_a_pipe_reaches_the_log(tmp_path: Path) -> None:
    source, sink = os.pipe()
    ended = asyncio.Event()
    log = tmp_path / "log"
    pumping.Pump(source, open_log(log), on_end=ended.set)
    program = "import os\nfor i in range(20000): os.write(1, b'%099d\\n' % i)"
    child = start(sys.executable, "-c", program, stdout=sink)

    async with asyncio.timeout(20):
        await ended.wait()

    child.wait()
    assert log.read_bytes() == b"".join(b"%099d\n" % i for i in range(20000))


async def test_a_program_may_reopen_its_pipe_through_dev_stdout(tmp_path: Path) -> None:
    source, sink = os.pipe()
    ended = asyncio.Event()
    log = tmp_path / "log"
    pumping.Pump(source, open_log(log), on_end=ended.set)
    child = start("sh", "-c", "echo one; echo two >/dev/stdout; echo three", stdout=sink)

    async with asyncio.timeout(5):
        await ended.wait()

    child.wait()
    assert log.read_bytes() == b"one\ntwo\nthree\n"


async def test_a_terminal_ends_when_its_last_program_does(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    ended = asyncio.Event()
    log = tmp_path / "log"
    pumping.Pump(master, open_log(log), on_end=ended.set)
    child = start("sh", "-c", "test -t 1 && echo terminal", stdout=slave)

    async with asyncio.timeout(5):
        await ended.wait()

    child.wait()
    assert log.read_bytes() == b"terminal\r\n"


async def test_closing_carries_what_is_there_first(tmp_path: Path) -> None:
    source, sink = os.pipe()
    log = tmp_path / "log"
    pump = pumping.Pump(source, open_log(log))
    os.write(sink, b"last words\n")

    pump.close()

    assert log.read_bytes() == b"last words\n"
    assert pump.is_ended
    os.close(sink)


async def test_a_full_disk_is_told_once_and_does_not_hold_the_program_up() -> None:
    source, sink = os.pipe()
    told: list[str] = []
    ended = asyncio.Event()
    pumping.Pump(
        source, os.open("/dev/full", os.O_WRONLY), on_end=ended.set, on_trouble=told.append
    )
    child = start("head", "-c", "2000000", "/dev/zero", stdout=sink)

    async with asyncio.timeout(5):
        await ended.wait()

    assert child.wait() == 0
    assert len(told) == 1
