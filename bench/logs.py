"""A million lines of 100 bytes: what upkeep and a following reader cost, and their speed."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.figures import Figure, interleave, medians
from stackdsl.node import following, logs

LINES = 1_000_000
LIMIT_BYTES = 64 * 1024 * 1024
ROUNDS = {"write": 5, "stdio": 9}  # a burst is over so soon that one tick of anyone shows
WRITER_C = r"""
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
    char line[100];
    struct timespec a, b;
    long lines = 1000000;
    memset(line, 'x', 99);
    line[99] = '\n';
    clock_gettime(CLOCK_MONOTONIC, &a);
    if (argv[1][0] == 'w') {
        for (long i = 0; i < lines; i++)
            if (write(1, line, 100) != 100) return 1;
    } else {
        for (long i = 0; i < lines; i++)
            if (fwrite(line, 1, 100, stdout) != 100) return 1;
        fflush(stdout);
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    fprintf(stderr, "%.6f\n", (b.tv_sec - a.tv_sec) + (b.tv_nsec - a.tv_nsec) / 1e9);
    return 0;
}
"""
WRITER_PY = """
import os, sys, time
line = b"x" * 99 + b"\\n"
begin = time.monotonic()
if sys.argv[1] == "write":
    for _ in range(1000000): os.write(1, line)
else:
    for _ in range(24415): os.write(1, line * 41)
    os.write(1, line * (1000000 - 24415 * 41)) if 1000000 > 24415 * 41 else None
print(f"{time.monotonic() - begin:.6f}", file=sys.stderr)
"""


class Bench:
    """The writer, and what was seen beside its times."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer = build_writer(folder)
        self.got: dict[str, list[int]] = {"write": [], "stdio": []}
        self.told: list[int] = []
        self.blocks: list[int] = []

    def alone(self, mode: str) -> float:
        """Return the writer's seconds straight to a file."""
        path = self.folder / "alone"
        try:
            return self.write(mode, path)
        finally:
            path.unlink()

    def kept(self, mode: str, *, is_followed: bool) -> float:
        """Return the writer's seconds with upkeep, and a reader in a process of its own."""
        run = self.folder / "run"
        (run / "logs").mkdir(parents=True)
        log = run / "logs" / "api.out"
        log.touch()
        try:
            with contextlib.ExitStack() as helpers:
                helpers.enter_context(helping("keep", run))
                reader = helpers.enter_context(helping("follow", run)) if is_followed else None
                taken = self.write(mode, log)
                if reader is not None:
                    got, lost = map(int, reader.communicate(b"", timeout=30)[0].split())
                    self.got[mode].append(got)
                    self.told.append(got + lost)
            self.blocks.append(log.stat().st_blocks * 512)
            return taken
        finally:
            shutil.rmtree(run)

    def write(self, mode: str, path: Path) -> float:
        """Run the writer into a file; return the seconds that it measured itself."""
        with open(path, "ab") as sink:
            done = subprocess.run(
                [*self.writer, mode], stdout=sink, stderr=subprocess.PIPE, check=True
            )
        return float(done.stderr)


def build_writer(folder: Path) -> list[str]:
    """Return the command of the writer: compiled where there is a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return [sys.executable, "-c", WRITER_PY]
    (folder / "writer.c").write_text(WRITER_C)
    subprocess.run([compiler, "-O2", "-o", folder / "writer", folder / "writer.c"], check=True)
    return [str(folder / "writer")]


@contextlib.contextmanager
def helping(role: str, run: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of this file's roles until its standard input ends."""
    command = [sys.executable, "-m", "bench.logs", role, str(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as helper:
        assert helper.stdout is not None
        helper.stdout.readline()  # it is up
        time.sleep(0.4)  # and has fallen quiet, as it is when a service starts to write
        yield helper
        if helper.stdin is not None and not helper.stdin.closed:
            helper.stdin.close()
        helper.wait(30)


async def until_input_ends() -> None:
    """Return when standard input has ended."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, ended.set)
    print("up", flush=True)
    await ended.wait()
    asyncio.get_running_loop().remove_reader(0)


async def keep(run: str) -> None:
    """Keep the logs of a run up, as its node does."""
    keeper = logs.LogKeeper(run, LIMIT_BYTES, lambda text: print(text, file=sys.stderr))
    for fd in keeper.open("api"):
        os.close(fd)
    await until_input_ends()
    keeper.close()


async def follow(run: str) -> None:
    """Follow the logs of a run; print how many lines came, and how many were told as lost."""
    reader = following.LogReader(run)
    lines = lost = 0

    async def count() -> None:
        nonlocal lines, lost
        async for chunk in reader.follow():
            lines += chunk.data.count(b"\n")
            lost += chunk.lost_bytes // 100

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(count(), name="count")
        await until_input_ends()
        reader.stop()
    print(lines, lost, flush=True)


def read_speed(bench: Bench) -> float:
    """Return the seconds to read a million lines that lie there."""
    run = bench.folder / "read"
    (run / "logs").mkdir(parents=True)
    bench.write("stdio", run / "logs" / "api.out")
    begin = time.monotonic()
    read = following.LogReader(str(run)).read_all()
    lines = sum(chunk.data.count(b"\n") for chunk in read)
    taken = time.monotonic() - begin
    shutil.rmtree(run)
    if lines != LINES:
        raise RuntimeError(f"cannot bench: {lines} lines were read of {LINES}")
    return taken


def main() -> list[Figure]:
    """Measure both ways of writing, alone, kept and followed, in turn."""
    folder = Path(tempfile.mkdtemp(prefix="logs-"))
    figures: list[Figure] = []
    try:
        bench = Bench(folder)
        for mode, bound in (("write", 1.1), ("stdio", 1.4)):
            found = medians(
                interleave(
                    {
                        "alone": partial(bench.alone, mode),
                        "kept": partial(bench.kept, mode, is_followed=False),
                        "followed": partial(bench.kept, mode, is_followed=True),
                    },
                    ROUNDS[mode],
                )
            )
            detail = ", ".join(f"{name} {value * 1000:.0f} ms" for name, value in found.items())
            figures.extend(
                Figure(
                    name=f"1,000,000 lines by {mode}, {name}, to a plain file",
                    ratio=found[name] / found["alone"],
                    bound=bound,
                    detail=detail,
                )
                for name in ("kept", "followed")
            )
        speed = medians(interleave({"read": lambda: read_speed(bench)}, 5))["read"]
    finally:
        shutil.rmtree(folder)
    figures.append(
        Figure(
            name="lines read, to 2,000,000 a second",
            ratio=LINES / speed / 2_000_000,
            bound=1.0,
            is_at_least=True,
            detail=f"{LINES / speed / 1e6:.1f} million lines a second",
        )
    )
    figures.append(
        Figure(
            name="lines that a follower got, of those written",
            ratio=min(bench.got["write"]) / LINES,
            bound=1.0,
            is_at_least=True,
            detail=f"least of {len(bench.got['write'])} runs, written one by one",
        )
    )
    figures.append(
        Figure(
            name="lines of a burst that a follower got or was told of",
            ratio=min(bench.told) / LINES,
            bound=1.0,
            is_at_least=True,
            detail=f"got at least {min(bench.got['stdio'])}; the rest was beyond the bound on disk",
        )
    )
    figures.append(
        Figure(
            name="disk used by the log, to its bound",
            ratio=max(bench.blocks) / LIMIT_BYTES,
            bound=1.0,
            detail=f"{LINES * 100 / 1e6:.0f} MB written, {max(bench.blocks) / 1e6:.0f} MB on disk",
        )
    )
    return figures


if __name__ == "__main__":
    if len(sys.argv) == 3:
        asyncio.run({"keep": keep, "follow": follow}[sys.argv[1]](sys.argv[2]))
    else:
        from bench import figures as table

        for row in main():
            table.print_row(row)
