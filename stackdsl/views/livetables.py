"""The table of a live view: a row a replica, the pressing ones first where not all have room."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stackdsl.views import lines, liveruns, livetexts, livewaits, statuses

GAP = "  "
NAME_MAX = 20
STATE_WIDTH = 12
AGE_WIDTH = 6
# With so much left for the last column every column has room of its own; with less, what a
# service waits for takes the place of an address that nobody can use yet.
DETAIL_ENOUGH = 32
# With less than that, it is told less well where a service runs; with less still, not at all.
DETAIL_MIN = 20
_SERVING = ("ready", "unready", "stopping")


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """How wide each column is; 0 for one that is left out."""

    name: int
    age: int
    restarts: int
    target: int
    address: int
    is_wide: bool

    @property
    def used(self) -> int:
        """Where the last column begins."""
        sizes = (self.name, STATE_WIDTH, self.age, self.restarts, self.target, self.address)
        return sum(size + len(GAP) for size in sizes if size)


def choose_columns(rows: Sequence[liveruns.Row], width: int) -> Columns:
    """Return the columns that a width has room for, those with something to tell."""
    targets = {row.target for row in rows}
    has_target = width >= 70 and targets != {"local"}
    target = max((len(row.target) for row in rows), default=0) if has_target else 0
    short = max((len(shorten_target(row.target)) for row in rows), default=0) if has_target else 0
    address = max((len(row.addresses) for row in rows), default=0) if width >= 60 else 0
    name_max = NAME_MAX if width >= 60 else 12
    narrow = Columns(
        name=max(len("SERVICE"), *(min(len(row.name), name_max) for row in rows)),
        age=AGE_WIDTH if width >= 40 else 0,
        restarts=3 if width >= 60 and any(row.restarts for row in rows) else 0,
        target=min(short, 18 if width >= 96 else 12),
        address=min(address, 26 if width >= 96 else 30),
        is_wide=False,
    )
    wide = replace(narrow, target=min(target, 24), address=min(address, 46), is_wide=True)
    if width - wide.used >= DETAIL_ENOUGH:
        return wide
    return narrow if width - narrow.used >= DETAIL_MIN else replace(narrow, target=0)


def shorten_target(target: str) -> str:
    """Return where a service runs in a word: an image without the registry that it comes from."""
    if not target.startswith("docker "):
        return target
    image = target.removeprefix("docker ").partition(" on ")[0]
    return image.rstrip("/").rpartition("/")[2] or target


def format_head(columns: Columns, paint: lines.Paint, width: int) -> str:
    """Return the titles of the columns."""
    cells = [
        ("SERVICE", columns.name),
        ("STATE", STATE_WIDTH),
        ("FOR", columns.age),
        ("↻", columns.restarts),
        ("WHERE", columns.target),
        ("ADDRESS", columns.address),
    ]
    shown = [livetexts.fill(text, size) for text, size in cells if size]
    last = "LAST LINE, OR WHAT IT WAITS FOR"
    shown.append(last if len(last) <= width - columns.used else "LAST LINE")
    return paint(livetexts.clip(GAP.join(shown), width), "dim")


def format_row(
    row: liveruns.Row,
    columns: Columns,
    waits: livewaits.Waits,
    paint: lines.Paint,
    *,
    now_s: float,
    width: int,
) -> str:
    """Return one replica's row, ``width`` cells wide at most."""
    symbol, colour = statuses.SYMBOLS.get(row.state, ("·", ""))
    name_colour = "bold" if row.state == "failed" else ""
    left: list[tuple[str, int, str]] = [
        (row.name, columns.name, name_colour),
        (f"{symbol} {row.state}", STATE_WIDTH, colour),
        (livetexts.say_age(now_s - row.since_s), columns.age, "dim"),
        (str(row.restarts or ""), columns.restarts, "yellow"),
        (row.target if columns.is_wide else shorten_target(row.target), columns.target, "dim"),
    ]
    if columns.is_wide or (row.addresses and row.state in _SERVING):
        left.append((row.addresses, columns.address, "" if row.state in _SERVING else "dim"))
    parts: list[str] = []
    used = 0
    for text, size, shade in left:
        if not size:
            continue
        parts.append(paint(livetexts.fill(text, min(size, width - used)), shade))
        used += size + len(GAP)
    text, shade = say_detail(row, waits)
    shown = livetexts.clip(livetexts.clean(text, has_colours=False), width - used)
    return (GAP.join(parts) + GAP + paint(shown, shade)).rstrip() if shown else GAP.join(parts)


def say_detail(row: liveruns.Row, waits: livewaits.Waits) -> tuple[str, str]:
    """Return what there is to tell of a replica in its state, and the colour for it."""
    last = row.last_line
    reason = row.reason.partition("\n")[0]
    told: tuple[str, str]
    match row.state:
        case "waiting":
            told = waits.say(row.name), "dim"
        case "starting":
            told = waits.progress_of(row.name) or row.probe or reason or last, "yellow"
        case "failed":
            told = say_end(row), "red"
        case "restarting" | "unready":
            told = reason or row.probe or last, "yellow"
        case "stopping" | "stopped":
            told = reason, "dim"
        case _:
            told = last, "dim" if row.state == "completed" else ""
    return told


def say_end(row: liveruns.Row) -> str:
    """Return why a replica ended, its exit code included."""
    reason = row.reason.partition("\n")[0] or "it failed"
    if row.exit_code is not None and str(row.exit_code) not in reason:
        reason += f" (exit code {row.exit_code})"
    return reason


def format_rows(
    run: liveruns.LiveRun, paint: lines.Paint, *, now_s: float, width: int, room: int
) -> list[str]:
    """Return the rows: all in the plan's order if there is room, else the most pressing ones and
    a count of the others."""
    rows: Sequence[liveruns.Row] = list(run.rows.values())
    columns = choose_columns(rows, width)
    left: Sequence[liveruns.Row] = ()
    if len(rows) > room:
        ordered = liveruns.sort_rows(rows)
        rows, left = ordered[: max(room - 1, 0)], ordered[max(room - 1, 0) :]
    shown = [format_row(r, columns, run.waits, paint, now_s=now_s, width=width) for r in rows]
    if left:
        counted = ", ".join(f"{n} {state}" for state, n in liveruns.count_states(left).items())
        shown.append(paint(livetexts.clip(f"… and {len(left)} more: {counted}", width), "dim"))
    return shown
