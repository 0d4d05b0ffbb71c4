"""Start, stop, memory and idleness of 200 native services."""

import statistics
import time
from pathlib import Path

from bench import fleets, peers
from bench.figures import Figure, interleave, medians

COUNT = 200
ROUNDS = 7
PEER_ROUNDS = 3
IDLE_S = 2.0


def main() -> list[Figure]:
    """Measure the floor and stackdsl in turn, then each peer."""
    stops: dict[str, list[float]] = {"floor": [], "stackdsl": []}
    looks: list[tuple[float, float]] = []

    def floor() -> float:
        with fleets.launch(fleets.floor, COUNT) as fleet:
            stops["floor"].append(fleet.stop())
            return fleet.start_s

    def ours() -> float:
        with fleets.launch(fleets.stack, COUNT) as fleet:
            looks.append(look(fleet.owner.pid) if len(looks) < PEER_ROUNDS else looks[-1])
            stops["stackdsl"].append(fleet.stop())
            return fleet.start_s

    starts = medians(interleave({"floor": floor, "stackdsl": ours}, ROUNDS))
    stop = medians(stops)
    ratio = starts["stackdsl"] / starts["floor"]
    return [
        Figure(name=f"start of {COUNT}, to the floor", ratio=ratio, bound=2.5, detail=text(starts)),
        *against_peers(starts["stackdsl"]),
        Figure(
            name=f"stop of {COUNT}, to the floor",
            ratio=stop["stackdsl"] / stop["floor"],
            bound=1.5,
            detail=text(stop),
        ),
        Figure(
            name="memory (PSS) of controller and node",
            ratio=statistics.median(megabytes for megabytes, _ in looks),
            bound=60,
            unit="MB",
        ),
        Figure(
            name=f"context switches in {IDLE_S:g} s of idling",
            ratio=statistics.median(switches for _, switches in looks),
            bound=0,
            unit="",
        ),
    ]


def against_peers(ours_s: float) -> list[Figure]:
    """Compare with each peer: less than 1 is sooner."""

    def measure(prepare: fleets.Prepare) -> float:
        with fleets.launch(prepare, COUNT) as fleet:
            return fleet.start_s

    variants = {name: lambda p=p: measure(p) for name, p in peers.available().items()}
    found = medians(interleave(variants, PEER_ROUNDS))
    return [
        Figure(
            name=f"start of {COUNT}, to {name}",
            ratio=ours_s / peer_s,
            bound=1.0,
            detail=f"{name} {peer_s * 1000:.0f} ms",
        )
        for name, peer_s in found.items()
    ]


def text(found: dict[str, float]) -> str:
    """Return medians for people."""
    return ", ".join(f"{name} {value * 1000:.0f} ms" for name, value in found.items())


def look(owner: int) -> tuple[float, float]:
    """Return megabytes and context switches while idle, of the owner and its Python children."""
    time.sleep(1.0)  # views and imports that come after the start are part of what stays
    pids = [owner, *python_children(owner)]
    before = sum(map(switches, pids))
    time.sleep(IDLE_S)
    idle = sum(map(switches, pids)) - before
    return sum(map(pss_megabytes, pids)), idle


def python_children(pid: int) -> list[int]:
    """Return the descendants that run Python: the node, and what it may have."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            if "python" in Path(f"/proc/{child}/exe").readlink().name:
                found.append(child)
            found += python_children(child)
    return found


def pss_megabytes(pid: int) -> float:
    """Return a process's share of memory. Source: proc_pid_smaps(5)."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("Pss:")) / 1024


def switches(pid: int) -> int:
    """Return how often a process's threads were put on a processor anew."""
    return sum(
        int(row.split()[1])
        for status in Path(f"/proc/{pid}/task").glob("*/status")
        for row in status.read_text().splitlines()
        if "ctxt_switches" in row
    )
