"""What a benchmark hands back, how runs are interleaved, and the table that people see."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

NOISE = 1.02  # what the medians of two runs of the same differ by


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured thing: ``ratio`` in ``unit`` against ``bound`` (None: only told).

    ``is_at_least``: the bound is the least that is wanted, not the most.
    """

    name: str
    ratio: float
    bound: float | None = None
    detail: str = ""
    unit: str = "x"
    is_at_least: bool = False

    def is_kept(self, noise: float = NOISE) -> bool:
        """Whether the bound holds, noise granted."""
        if self.bound is None:
            return True
        if self.is_at_least:
            return self.ratio * noise >= self.bound
        return self.ratio <= self.bound * noise


def interleave(variants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure each variant once per round, in turn, so that the machine's moods hit all alike."""
    found: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, measure in variants.items():
            found[name].append(measure())
    return found


def medians(found: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the median of each variant."""
    return {name: statistics.median(values) for name, values in found.items()}


def print_header() -> None:
    """Print the head of the table."""
    print(f"{'':2}{'what':52} {'measured':>12} {'bound':>9}  detail", flush=True)


def print_row(figure: Figure) -> None:
    """Print one figure."""
    bound = ""
    if figure.bound is not None:
        bound = f"{'>=' if figure.is_at_least else '<='} {figure.bound:g}"
    mark = "✓" if figure.is_kept(1.0) else "~" if figure.is_kept() else "✗"
    measured = f"{figure.ratio:.3g} {figure.unit}"
    print(f"{mark:2}{figure.name:52} {measured:>12} {bound:>9}  {figure.detail}", flush=True)
