"""How an uplink shapes its packets: for `tc netem` where the kernel has it, else for our own pipe.

Laws: no I/O. Jitter keeps the order: it wanders, as a queue somewhere on the way would.
"""

import random
from typing import Any

from stackdsl.lab import topologies
from stackdsl.model.data import dataclass

BUFFER_S = 0.05  # what waits for a slow uplink, as routers at home have it
LEAST_BUFFER_BYTES = 32 * 1024
NETEM_LIMIT = 100_000  # packets; its own 1000 would lose some at 100 Mbit/s and 100 ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What one direction of an uplink does to packets."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    rate_bps: float | None = None


def of_site(site: topologies.Site) -> Shape:
    """Return the shape of each direction of a site's uplink."""
    return Shape(
        delay_s=site.delay_s, jitter_s=site.jitter_s, loss=site.loss, rate_bps=site.rate_bps
    )


def wire_ends(number: int) -> tuple[str, str]:
    """Return the ends of a site's uplink, the site's and the internet's."""
    return f"in-{number}", f"out-{number}"


def netem_words(shape: Shape) -> list[str]:
    """Return what comes after ``tc qdisc add dev X root``. Source: tc-netem(8)."""
    words = ["netem", "limit", str(NETEM_LIMIT)]
    if shape.delay_s:
        words += ["delay", f"{shape.delay_s * 1e6:.0f}us"]
        if shape.jitter_s:
            words.append(f"{shape.jitter_s * 1e6:.0f}us")
    if shape.loss:
        words += ["loss", "random", f"{shape.loss * 100:g}%"]
    if shape.rate_bps:
        words += ["rate", f"{shape.rate_bps:.0f}bit"]
    return words


class Timetable:
    """When each packet leaves: takes arrivals in order, gives departures in order."""

    def __init__(self, shape: Shape, dice: random.Random) -> None:
        self._shape = shape
        self._dice = dice
        self._free_s = 0.0  # when the uplink has sent what it took
        self._last_s = 0.0
        self._slot = -1
        self._ends = (0.0, 0.0)
        self._slot_s = max(4 * shape.jitter_s, 0.001)
        rate = shape.rate_bps
        self._buffer_s = max(BUFFER_S, LEAST_BUFFER_BYTES * 8 / rate) if rate else 0.0

    def departure(self, arrived_s: float, size_bytes: int) -> float | None:
        """Return when a packet leaves at the far end; None: it is lost."""
        shape = self._shape
        if shape.loss and self._dice.random() < shape.loss:
            return None
        leaves_s = arrived_s
        if shape.rate_bps:
            began_s = max(arrived_s, self._free_s)
            if began_s - arrived_s > self._buffer_s:
                return None
            leaves_s = self._free_s = began_s + size_bytes * 8 / shape.rate_bps
        leaves_s += shape.delay_s
        if shape.jitter_s:
            leaves_s += self._wander(arrived_s)
        leaves_s = self._last_s = max(leaves_s, self._last_s)
        return leaves_s

    def _wander(self, now_s: float) -> float:
        """Return an offset within plus and minus the jitter that changes slowly enough for no
        packet to overtake another."""
        slot = int(now_s / self._slot_s)
        if slot != self._slot:
            first = self._ends[1] if slot == self._slot + 1 else self._dice.uniform(-1, 1)
            self._slot, self._ends = slot, (first, self._dice.uniform(-1, 1))
        share = now_s / self._slot_s - slot
        return self._shape.jitter_s * (self._ends[0] * (1 - share) + self._ends[1] * share)


def to_words(shape: Shape) -> list[Any]:
    """Return a shape as JSON-able values, for another process."""
    return [shape.delay_s, shape.jitter_s, shape.loss, shape.rate_bps]
