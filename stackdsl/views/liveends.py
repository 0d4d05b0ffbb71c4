"""What a live view leaves in the terminal: the last lines of output, how the run was, its end."""

from stackdsl.views import lines, live, liveruns, livetables, livetexts, statuses

LINES_LEFT = 10
# So many replicas are listed one by one; of more only those that did not just stop.
ROWS_LEFT = 12


def format_end(
    run: liveruns.LiveRun,
    paint: lines.Paint,
    *,
    now_s: float,
    width: int,
    is_left: bool = False,
) -> str:
    """Return the block that is printed once the view is closed, without its last line end.

    ``is_left``: the run goes on.
    """
    rows = list(run.rows.values())
    listed = rows
    if len(rows) > ROWS_LEFT:
        listed = [row for row in rows if row.state in ("failed", "restarting", "unready")]
    written = [one for one in run.lines if one[0] != liveruns.OURS and not is_left][-LINES_LEFT:]
    told = live.format_lines(written, run, paint, width)
    if written:
        told.append("")
    told.append(_format_end_of_run(run, paint, now_s, is_left=is_left))
    columns = livetables.choose_columns(rows, width)
    told += [f"  {_format_row(row, columns, paint, width - 2)}" for row in listed]
    if len(listed) < len(rows):
        left = [row for row in rows if row not in listed]
        counted = liveruns.count_states(left).items()
        told.append(f"  {', '.join(f'{count} {state}' for state, count in counted)}")
    told.append(paint(f"  all output: stackdsl logs {run.run}", "dim"))
    return "\n".join(told)


def _format_end_of_run(
    run: liveruns.LiveRun, paint: lines.Paint, now_s: float, *, is_left: bool
) -> str:
    rows = list(run.rows.values())
    has_failed = any(row.state == "failed" for row in rows)
    is_done = bool(rows) and all(row.state == "completed" for row in rows)
    state = run.run_state
    if not is_left:
        state = "failed" if has_failed else "completed" if is_done else "stopped"
    symbol, colour = statuses.SYMBOLS.get(state, ("·", ""))
    head = paint(f"{symbol} {run.run} {state}", f"bold {colour}".strip())
    if is_left:
        return f"{head}, and goes on: stackdsl stop {run.run} ends it"
    head += f" after {lines.say_duration(now_s - run.began_s)}"
    if run.ready_s is not None:
        head += f", was ready after {lines.say_duration(run.ready_s - run.began_s)}"
    return head


def _format_row(
    row: liveruns.Row, columns: livetables.Columns, paint: lines.Paint, width: int
) -> str:
    symbol, colour = statuses.SYMBOLS.get(row.state, ("·", ""))
    parts = [
        livetexts.fill(row.name, columns.name),
        paint(livetexts.fill(f"{symbol} {row.state}", livetables.STATE_WIDTH), colour),
    ]
    used = columns.name + livetables.STATE_WIDTH + 2 * len(livetables.GAP)
    told = []
    if row.restarts:
        told.append(f"{row.restarts} restart" + ("s" if row.restarts > 1 else ""))
    if row.state == "failed":
        told.insert(0, livetables.say_end(row))
    text = livetexts.clip(livetexts.clean("; ".join(told), has_colours=False), width - used)
    return livetables.GAP.join([*parts, text]).rstrip()
