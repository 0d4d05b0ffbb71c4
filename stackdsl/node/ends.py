"""What is wished of a replica that lives, and how its starts end."""

import signal
from typing import Literal

from stackdsl.model.data import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What someone wants of a replica that lives. ``limit_s`` caps the stop timeout, ``is_bare``
    leaves hooks and stop commands out (both when the controller is gone)."""

    kind: Literal["stop", "restart", "fail"]
    reason: str = ""
    at_once: bool = False
    limit_s: float | None = None
    is_bare: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a start ended. ``is_hopeless``: another start could not fare better. ``ready_for_s``:
    how long it had been ready. ``is_stuck``: what was started is not gone."""

    state: Literal["completed", "failed", "stopped", "restart"]
    exit_code: int | None = None
    reason: str = ""
    why: str = ""
    do: str = ""
    lines: tuple[str, ...] = ()
    output: str | None = None
    is_hopeless: bool = False
    is_stuck: bool = False
    ready_for_s: float = 0.0


def describe_exit(code: int | None) -> str:
    """Return an exit code in words: ``exited with 3``, ``was killed by SIGKILL``."""
    if code is None:
        return "ended; its exit status cannot be known"
    if code > 128:
        try:
            return f"was killed by {signal.Signals(code - 128).name}"
        except ValueError:
            return f"exited with {code}"
    return f"exited with {code}"


def of_wish(wish: Wish, exit_code: int | None = None) -> End:
    """Return the end of a start that was stopped or is to be followed by another."""
    return End(
        state="restart" if wish.kind == "restart" else "stopped",
        exit_code=exit_code,
        reason=wish.reason,
    )
