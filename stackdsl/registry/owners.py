"""Owners: a process told apart from a later one with the same pid, by its start time."""

import os

from stackdsl.model.data import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A process: pid and start time in clock ticks after boot (proc(5), field 22 of stat)."""

    pid: int
    start: int

    @property
    def is_alive(self) -> bool:
        """Whether that very process lives (a zombie does not)."""
        return start_time(self.pid) == self.start != 0


def start_time(pid: int) -> int:
    """Return the start time of a living process in clock ticks after boot, or 0."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def this_process() -> Owner:
    """Return the calling process."""
    return Owner(pid=os.getpid(), start=start_time(os.getpid()))
