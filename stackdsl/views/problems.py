"""Errors and warnings as people read them, and what each error code means."""

from collections.abc import Sequence
from typing import Any

from stackdsl.model import causes, errors, plans
from stackdsl.views import lines

_LINE = "  | "  # what stands before each line of a program's output


def format_error(error: errors.StackError, paint: lines.Paint) -> str:
    """Return an error's printed form (several: a blank line between), without the last line end."""
    return "\n\n".join(_format_one(one, paint) for one in errors.flatten(error))


def _format_one(error: errors.StackError, paint: lines.Paint) -> str:
    first, *rest = map(_tame_row, error.text().split("\n"))
    if not paint.is_on:
        return "\n".join([first, *rest])
    return "\n".join([paint(first, "bold red"), *(_paint_row(row, paint) for row in rest)])


def _tame_row(row: str) -> str:
    head = _LINE if row.startswith(_LINE) else ""
    return head + lines.tame(row.removeprefix(head))


def _paint_row(row: str, paint: lines.Paint) -> str:
    label, text = row[:9], row[9:]
    match label.strip():
        case "do":
            return paint(label, "dim") + paint(text, "bold")
        case "where" | "why" | "code":
            return paint(label, "dim") + text
        case _ if row.startswith(_LINE):
            return paint(_LINE, "dim") + row.removeprefix(_LINE)
        case _:
            return row


def format_warning(notice: plans.Notice, paint: lines.Paint) -> str:
    """Return a plan's warning in the form of an error, marked as a warning."""
    rows = [paint("warning: ", "bold yellow") + notice.what]
    for label, value in (("where", notice.where), ("why", notice.why), ("do", notice.do)):
        if value:
            first, *rest = value.splitlines()
            rows.append(paint(f"  {label:<6} ", "dim") + first)
            rows.extend(f"         {line}" for line in rest)
    rows.append(paint("  code   ", "dim") + notice.code)
    return "\n".join(rows)


def format_explanation(one: causes.Explanation, paint: lines.Paint) -> str:
    """Return why something is as it is: the headline, the chain, what was seen, what to do."""
    head, *rest = [lines.tame(row) for row in one.text().splitlines()]
    if not paint.is_on:
        return "\n".join([head, *rest])
    colour = "bold green" if one.is_well else "bold red" if one.exit_code else "bold yellow"
    return "\n".join([paint(head, colour), *(_paint_row(row, paint) for row in rest)])


def explanation_json(one: causes.Explanation) -> dict[str, Any]:
    """Return why something is as it is as JSON values; the root is the last of its causes."""
    return {
        "run": one.run,
        "service": one.name,
        "headline": one.headline,
        "is_past": one.is_past,
        "also": list(one.affects),
        "causes": [
            {
                "subject": cause.subject,
                "kind": cause.kind,
                "state": cause.state,
                "since": cause.since or None,
                "why": cause.why,
                "evidence": list(cause.evidence),
                "do": cause.do,
            }
            for cause in one.causes
        ],
    }


def errors_json(found: Sequence[errors.StackError]) -> list[dict[str, Any]]:
    """Return errors as JSON values."""
    return [one.fields() for error in found for one in errors.flatten(error)]


def notices_json(notices: Sequence[plans.Notice]) -> list[dict[str, Any]]:
    """Return a plan's warnings as JSON values."""
    return [
        {"code": one.code, "what": one.what, "where": one.where, "why": one.why, "do": one.do}
        for one in notices
    ]
