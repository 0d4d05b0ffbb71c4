"""Ending everything of a run whose controller and node are both gone, by marks alone."""

import contextlib
import os
import select
import signal
import time

from stackdsl.node import cgroups, marks

_ROUND_S = 0.05
_LOOKS = 2


def reap_marked(run_id: str, folder: str, grace_s: float, *, limit_s: float = 10.0) -> list[int]:
    """End everything that carries a run's marks: TERM, KILL after ``grace_s``, until none is left.

    Blocks the caller. Processes that start others while they are killed are followed; what is left
    after ``limit_s`` more (it may not be signalled, or hangs in the kernel) is returned.
    """
    found = marks.find_marked(run_id, folder)
    for pid in found:
        _signal(pid, signal.SIGTERM)
        _signal(pid, signal.SIGCONT)
    if found and grace_s > 0:
        _wait(found, grace_s)
    deadline = time.monotonic() + limit_s
    # One look may miss a process that starts its successor meanwhile.
    looks_left = _LOOKS
    while looks_left and time.monotonic() < deadline:
        cgroups.kill_all(run_id)
        found = marks.find_marked(run_id, folder)
        for pid in found:
            _signal(pid, signal.SIGKILL)
        looks_left = _LOOKS if found else looks_left - 1
        _wait(found, _ROUND_S)
    cgroups.remove_all(run_id)
    return found


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _wait(pids: list[int], within_s: float) -> None:
    """Return when all have ended, or time is up."""
    poll = select.poll()
    waiting = set()
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            continue
        poll.register(fd, select.POLLIN)
        waiting.add(fd)
    deadline = time.monotonic() + within_s
    while waiting and (left := deadline - time.monotonic()) > 0:
        for fd, _ in poll.poll(left * 1000):
            poll.unregister(fd)
            os.close(fd)
            waiting.discard(fd)
    for fd in waiting:
        os.close(fd)
