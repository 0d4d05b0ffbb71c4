"""How soon a command answers: help, and the check of a stack, against importing typer alone."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import fleets
from bench.figures import Figure, interleave, medians

ROUNDS = 21
SERVICES = 20


def main() -> list[Figure]:
    """Measure `--help` and `validate`."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "twenty.py"
        file.write_text(stack_of(SERVICES))
        times = medians(
            interleave(
                {
                    "typer": timed([sys.executable, "-c", "import typer"]),
                    "help": timed([fleets.STACKDSL, "--help"]),
                    "validate": timed([fleets.STACKDSL, "validate", str(file)]),
                },
                ROUNDS,
            )
        )
    detail = f"import typer {times['typer'] * 1000:.0f} ms"
    return [
        Figure(name="--help", ratio=times["help"] / times["typer"], bound=1.2, detail=detail),
        Figure(
            name=f"validate of {SERVICES} services",
            ratio=times["validate"] / times["typer"],
            bound=2.5,
            detail=detail,
        ),
    ]


def stack_of(count: int) -> str:
    """Return a stack as an author writes it: each service needs the two before it."""
    rows = ["from stackdsl import Me, Ref, http, service", ""]
    for n in range(count):
        before = "".join(f"s{m}: Ref, " for m in range(max(0, n - 2), n))
        rows += [
            f'@service(port={8000 + n}, ready=http("/healthz"), env={{"LEVEL": "{n}"}})',
            f"def s{n}({before}me: Me):",
            '    return ["serve", "--bind", me.bind, "--port", str(me.port)]',
            "",
        ]
    return "\n".join(rows)


def timed(argv: Sequence[str]) -> Callable[[], float]:
    """Return a measurement of a command that must succeed."""

    def measure() -> float:
        begin = time.monotonic()
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return time.monotonic() - begin

    return measure
