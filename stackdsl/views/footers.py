"""The lines that stay below a run in front: its state, what is not ready yet, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stackdsl.views import lines, statuses

ROWS_MAX = 6
_QUIET = {"waiting", "ready", "completed", "stopped"}


@dataclass(slots=True, kw_only=True)
class Known:
    """What is known of one replica now; ``probe`` is what was last seen of its probe."""

    name: str
    state: str = "waiting"
    since_s: float = 0.0
    reason: str = ""
    probe: str = ""


def format_footer(
    run: str,
    state: str,
    replicas: Mapping[str, Known],
    paint: lines.Paint,
    *,
    now_s: float,
    width: int,
    height: int,
) -> list[str]:
    """Return the lines, each shorter than ``width``: what is under way, then the run itself."""
    busy = [one for one in replicas.values() if one.state not in _QUIET]
    busy.sort(key=lambda one: (one.state != "failed", one.since_s))
    room = max(min(ROWS_MAX, height // 3), 1)
    rows = [_format_one(one, paint, now_s=now_s, width=width) for one in busy[:room]]
    if len(busy) > room:
        rows.append(paint(f"  and {len(busy) - room} more", "dim"))
    return [*rows, _format_run(run, state, list(replicas.values()), paint, width)]


def _format_one(one: Known, paint: lines.Paint, *, now_s: float, width: int) -> str:
    symbol, colour = statuses.SYMBOLS.get(one.state, ("·", ""))
    age = lines.say_duration(now_s - one.since_s)
    head = f"  {symbol} {one.name} {one.state}"
    why = one.reason or one.probe if one.state != "starting" else one.probe or one.reason
    rest = f" {age}" + (f": {why.splitlines()[0]}" if why else "")
    text = lines.cut(head + rest, width - 1)
    return paint(text[: len(head)], colour) + paint(text[len(head) :], "dim")


def _format_run(
    run: str, state: str, replicas: Sequence[Known], paint: lines.Paint, width: int
) -> str:
    symbol, colour = statuses.SYMBOLS.get(state, ("·", ""))
    done = sum(one.state in ("ready", "completed") for one in replicas)
    advice = "Ctrl-C once more stops at once" if state == "stopping" else "Ctrl-C stops it"
    head = f"{symbol} {run} {state}"
    is_told = state != "stopping" and done < len(replicas)
    count = f"  {done} of {len(replicas)} ready" if is_told else ""
    text = lines.cut(f"{head}{count}  {advice}", width - 1)
    return paint(text[: len(head)], f"bold {colour}".strip()) + paint(text[len(head) :], "dim")
