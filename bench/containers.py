"""20 containers running: a stack of them against the raw engine API called from 20 threads."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import fleets
from bench.figures import Figure
from tests import engines

COUNT = 20
PAIRS = 7
RAW = """
import os
import sys
from concurrent.futures import ThreadPoolExecutor
import docker

api = docker.APIClient(os.environ["DOCKER_HOST"], version="auto", max_pool_size=20)
network = api.create_network("raw", "bridge")["Id"]

def start(number):
    made = api.create_container(
        sys.argv[1], ["sleep", "1000"], name=f"raw-{number}", labels={"bench": "raw"},
        host_config=api.create_host_config(network_mode="raw", init=True),
    )
    api.start(made["Id"])

with ThreadPoolExecutor(20) as pool:
    list(pool.map(start, range(int(sys.argv[2]))))
"""
STACK = """
from stackdsl import Service, docker
for n in range({count}):
    Service(name=f"s{{n}}", runs_on=docker("{image}"), command=["sleep", "1000"])
"""


def main() -> list[Figure]:
    """Measure pairs, from the command to the return of its last start."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    pairs = []
    with engines.running() as engine:
        environment = fleets.environment(folder) | {"DOCKER_HOST": engine.url}
        (folder / "raw.py").write_text(RAW)
        (folder / "stack.py").write_text(STACK.format(count=COUNT, image=engines.BUSYBOX))
        try:
            for _ in range(PAIRS):
                raw = start_raw(engine, folder, environment)
                pairs.append((start_stack(folder, environment), raw))
        finally:
            shutil.rmtree(folder)
    ratios = sorted(ours / raw for ours, raw in pairs)
    ours, raw = sorted(pairs)[len(pairs) // 2]
    return [
        Figure(
            name=f"{COUNT} containers running, to the raw engine API",
            ratio=ratios[len(ratios) // 2],
            bound=1.15,
            detail=f"{ours:.2f} s to {raw:.2f} s, median of {PAIRS} pairs",
        )
    ]


def start_raw(engine: engines.Engine, folder: Path, environment: dict[str, str]) -> float:
    """Return the seconds that a program of the raw calls takes; what it made is removed."""
    seconds = run([sys.executable, "raw.py", engines.BUSYBOX, str(COUNT)], folder, environment)
    for made in engine.api.containers(all=True, filters={"label": "bench=raw"}):
        engine.api.remove_container(made["Id"], force=True)
    engine.api.remove_network("raw")
    return seconds


def start_stack(folder: Path, environment: dict[str, str]) -> float:
    """Return the seconds until `start` returns; the stack is stopped then."""
    seconds = run([fleets.STACKDSL, "start", "stack.py"], folder, environment)
    run([fleets.STACKDSL, "stop", "stack"], folder, environment)
    return seconds


def run(argv: list[str], folder: Path, environment: dict[str, str]) -> float:
    """Run a command to its end; return the seconds."""
    begin = time.monotonic()
    done = subprocess.run(
        argv, cwd=folder, env=environment, check=False, capture_output=True, text=True,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr[-2000:]}")
    return time.monotonic() - begin


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    from bench import figures as table

    for row in main():
        table.print_row(row)
