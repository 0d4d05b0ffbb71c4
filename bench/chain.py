"""A chain of 20 services, each started when the one before it listens."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import fleets
from bench.figures import Figure, interleave, medians

COUNT = 20
ROUNDS = 5


def main() -> list[Figure]:
    """Measure chains of programs that listen at once, and 100 ms after their start."""
    folder = Path(tempfile.mkdtemp(prefix="listener-"))
    try:
        listener = build(folder)
        return [at_once(listener), patient(listener)]
    finally:
        shutil.rmtree(folder)


def build(folder: Path) -> str:
    """Compile the listener: Python would need longer to start than a link may take."""
    program = folder / "listener"
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise RuntimeError("cannot bench chains: there is no C compiler; do: install gcc")
    source = Path(__file__).with_name("listener.c")
    subprocess.run([compiler, "-O1", "-o", str(program), str(source)], check=True)
    return str(program)


def at_once(listener: str) -> Figure:
    """Measure milliseconds a link when each program listens at once."""
    found = medians(measure(listener, 0))
    link = {name: value * 1000 / (COUNT - 1) for name, value in found.items()}
    return Figure(
        name=f"chain of {COUNT}, ready at once, a link",
        ratio=link["stackdsl"],
        bound=4.0,
        unit="ms",
        detail=f"{link['stackdsl'] / link['floor']:.2f} x the floor ({link['floor']:.2f} ms)",
    )


def patient(listener: str) -> Figure:
    """Measure the whole against the sum when each program needs 100 ms."""
    found = medians(measure(listener, 100_000))
    total = COUNT * 0.1
    return Figure(
        name=f"chain of {COUNT}, 100 ms each, to the sum",
        ratio=found["stackdsl"] / total,
        bound=1.05,
        detail=f"floor {found['floor'] / total:.3f} x",
    )


def measure(listener: str, delay_us: int) -> dict[str, list[float]]:
    """Return seconds from the first program's begin until the last one listens."""

    def floor(folder: Path, count: int) -> Sequence[str]:
        script = str(Path(__file__).with_name("floor_chain.py"))
        return [sys.executable, script, str(count), str(delay_us), listener, str(folder)]

    def stack(folder: Path, count: int) -> Sequence[str]:
        rows = ["from stackdsl import Service"]
        for n in range(count):
            needs = [f"s{n - 1:02}"] if n else []
            argv = [listener, str(delay_us), f"{folder}/words/s{n:02}"]
            rows.append(f'Service(name="s{n:02}", port=7100, needs={needs}, command={argv})')
        (folder / "chain.py").write_text("\n".join(rows) + "\n")
        return [fleets.STACKDSL, "run", "chain.py"]

    variants = {"floor": lambda: chain(floor), "stackdsl": lambda: chain(stack)}
    return interleave(variants, ROUNDS)


def chain(prepare: fleets.Prepare) -> float:
    """Run one chain."""
    with fleets.launch(prepare, COUNT) as fleet:
        words = [word.read_text().split() for word in (fleet.folder / "words").iterdir()]
        return (max(int(w[2]) for w in words) - min(int(w[1]) for w in words)) / 1e9
