"""`doctor` and `explain`: what this machine can do, what an error code means."""

import asyncio
import sys
from typing import Any

from stackdsl.cli import streams
from stackdsl.model import errors
from stackdsl.views import lines

_MARKS = {
    "ok": ("✔ ok", "green"),
    "limited": ("◐ limited", "yellow"),
    "missing": ("✘ missing", "red"),
    "optional": ("· optional", "dim"),
}


def doctor(*, as_json: bool) -> int:
    """Print what this machine has and lacks; return 3 if local runs lack something, else 0."""
    from stackdsl.session import looking

    found, seen = asyncio.run(looking.examine())
    is_ok = all(one.state != "missing" for one in found)
    if as_json:
        streams.print_json(
            {
                "ok": is_ok,
                "checks": [
                    {"name": one.name, "state": one.state, "detail": one.detail, "do": one.do}
                    for one in found
                ],
                "facts": looking.facts_json(seen),
            }
        )
    else:
        paint = streams.paint_for(sys.stdout)
        rows: list[list[lines.Cell]] = []
        for one in found:
            rows.append([_MARKS[one.state], one.name, one.detail])
            if one.do:
                rows.append(["", "", (f"do  {one.do}", "dim")])
        print(lines.align(rows, paint), end="")
    return 0 if is_ok else 3


def explain(code: str, *, as_json: bool) -> int:
    """Print what an error code means; return the exit code."""
    from stackdsl.views import explanations

    found = explanations.find(code)
    if found is None:
        near = explanations.find_near(code)
        raise errors.UsageError(
            "usage.unknown-code",
            f'cannot explain "{code}": there is no such error code',
            why=f"near: {', '.join(near)}" if near else "",
            do="give the code that stands last in an error, such as plan.cycle",
        )
    row: dict[str, Any] = {"code": code, "means": found.means, "do": found.do}
    if as_json:
        streams.print_json(row)
        return 0
    paint = streams.paint_for(sys.stdout)
    print(f"{paint(code, 'bold')}: {found.means}\n  {paint('do', 'dim')}  {found.do}")
    return 0
