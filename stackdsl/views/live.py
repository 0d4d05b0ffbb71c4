"""The frame of a live view: a head, a row a replica, failures, the newest lines, a foot.

A frame is a list of rows, never more than the height, each at most as wide as the terminal.
"""

from collections.abc import Sequence

from stackdsl.views import lines, liveruns, livetables, livetexts, statuses

FAILURES_SHOWN = 3
# Below this height there is only the head and the table; below the next no titles either.
HEIGHT_FOR_LINES = 10
HEIGHT_FOR_TITLES = 16
# Below this width not even the first columns have room.
NARROW = 40
# So many rows of failures and lines are enough while replicas have no room.
BELOW_ENOUGH = 14


def format_frame(
    run: liveruns.LiveRun,
    paint: lines.Paint,
    *,
    now_s: float,
    width: int,
    height: int,
    foot: Sequence[str],
) -> list[str]:
    """Return the frame; ``foot`` are the texts of the last row, the first one is the dearest."""
    head = _format_head(run, paint, now_s, width)
    end = paint(livetexts.clip(" · ".join(_fit(foot, width)), width), "dim")
    room = height - 2
    if room < 1:
        return [head, end][:height]
    inner: list[str] = []
    if height >= HEIGHT_FOR_TITLES:
        columns = livetables.choose_columns(list(run.rows.values()), width)
        inner.append(livetables.format_head(columns, paint, width))
    # a third for what stands below, less where the table needs it, more where it leaves it
    below = max(min(height // 3, BELOW_ENOUGH), 3) + 1 if height >= HEIGHT_FOR_LINES else 0
    inner += livetables.format_rows(
        run, paint, now_s=now_s, width=width, room=room - len(inner) - below
    )
    if below:
        inner += _format_below(run, paint, width, room - len(inner))
    inner += [""] * (room - len(inner))
    if width < NARROW:
        inner = [livetexts.clip(row, width) for row in inner]
    return [head, *inner, end]


def _format_below(run: liveruns.LiveRun, paint: lines.Paint, width: int, room: int) -> list[str]:
    """Return what failed, then the newest lines of all."""
    failures = _format_failures(run, paint, width, room // 2)
    return [
        *failures,
        _format_rule(paint, width),
        *_format_lines(run, paint, width, room - len(failures) - 1),
    ]


def _fit(foot: Sequence[str], width: int) -> list[str]:
    """Return as many texts of the foot as there is room for; the first in any case."""
    kept = list(foot)
    while len(kept) > 1 and livetexts.measure(" · ".join(kept)) > width:
        kept.pop()
    return kept


def _format_head(run: liveruns.LiveRun, paint: lines.Paint, now_s: float, width: int) -> str:
    symbol, colour = statuses.SYMBOLS.get(run.run_state, ("·", ""))
    rows = list(run.rows.values())
    counted = liveruns.count_states(rows)
    done = counted.get("ready", 0) + counted.get("completed", 0)
    first = f"{symbol} {run.run} {run.run_state}"
    told = [livetexts.say_age(now_s - run.began_s)]
    if run.run_state in ("stopping", "stopped"):
        told.append(f"{counted.get('stopped', 0)} of {len(rows)} stopped")
    else:
        told.append(f"{done} of {len(rows)} ready")
    told += [
        f"{counted[state]} {state}"
        for state in ("failed", "restarting", "unready")
        if counted.get(state)
    ]
    if run.note:
        told.append(run.note)
    rest = livetexts.clip(" · ".join(told), width - livetexts.measure(first) - 2)
    shown = livetexts.clip(first, width)
    return paint(shown, f"bold {colour}".strip()) + (f"  {rest}" if rest else "")


def _format_failures(run: liveruns.LiveRun, paint: lines.Paint, width: int, room: int) -> list[str]:
    """Return what failed, with its last lines and its place in the author's file."""
    failed = [row for row in run.rows.values() if row.state == "failed"]
    if not failed or room < 2:
        return []
    shown = failed[: min(FAILURES_SHOWN, room // 2)]
    each = room // len(shown) - 1
    told: list[str] = []
    for row in shown:
        first = livetexts.clean(f"✘ {row.name}: {livetables.say_end(row)}", has_colours=False)
        place = f"  {row.where.partition(' @')[0]}" if row.where else ""
        text = livetexts.clip(first, max(width - livetexts.measure(place), width // 2))
        rest = livetexts.clip(place, width - livetexts.measure(text))
        told.append(paint(text, "bold red") + paint(rest, "dim"))
        last = (row.failure or tuple(row.last_lines))[-each:] if each > 0 else ()
        for line in last:
            clean = livetexts.clean(line, has_colours=paint.is_on)
            told.append(paint("  | ", "dim") + livetexts.clip(clean, width - 4))
    return told


def _format_rule(paint: lines.Paint, width: int) -> str:
    title = "── newest lines "
    return paint(livetexts.clip(title + "─" * max(width - len(title), 0), width), "dim")


def _format_lines(run: liveruns.LiveRun, paint: lines.Paint, width: int, room: int) -> list[str]:
    if room <= 0:
        return []
    newest = list(run.lines)[-room:]
    return format_lines(newest, run, paint, width)


def format_lines(
    written: Sequence[tuple[str, str]], run: liveruns.LiveRun, paint: lines.Paint, width: int
) -> list[str]:
    """Return lines of output as rows, each with who wrote it in front."""
    prefixes = lines.Prefixes(list(run.rows), paint)
    size = prefixes.width + 3
    rows: list[str] = []
    for name, line in written:
        if name == liveruns.OURS:
            rows.append(paint(livetexts.clip(f"{'':{prefixes.width}} ! {line}", width), "yellow"))
            continue
        clean = livetexts.clean(line, has_colours=paint.is_on)
        if size >= width:
            rows.append(livetexts.clip(clean, width))
        else:
            rows.append(prefixes[name] + livetexts.clip(clean, width - size))
    return rows
