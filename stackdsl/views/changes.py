"""What a change of a living run does, service by service, with its causes."""

from stackdsl.model import plans
from stackdsl.views import lines

_MARKS = {
    "add": ("+ start", "green"),
    "restart": ("~ restart", "yellow"),
    "remove": ("- stop", "red"),
    "keep": ("= keep", "dim"),
}


def list_changes(steps: tuple[plans.Step, ...]) -> list[tuple[str, str, str]]:
    """Return (what, replica, cause) for each replica that the steps are about: "add", "restart",
    "remove" or "keep"; changes first, then what is kept, each by name."""
    stopped = {step.subject: step.cause for step in steps if isinstance(step, plans.StopService)}
    begun = {
        step.subject: step.cause
        for step in steps
        if isinstance(step, plans.StartService | plans.RunTask)
    }
    kept = {step.subject: step.cause for step in steps if isinstance(step, plans.KeepService)}
    rows = [("remove", name, cause) for name, cause in stopped.items() if name not in begun]
    rows += [
        ("restart" if name in stopped else "add", name, stopped.get(name, cause))
        for name, cause in begun.items()
    ]
    rows += [("keep", name, cause) for name, cause in kept.items() if name not in begun]
    order = list(_MARKS)
    return sorted(rows, key=lambda row: (row[0] == "keep", row[1], order.index(row[0])))


def format_changes(steps: tuple[plans.Step, ...], paint: lines.Paint) -> str:
    """Return the changes as a table; many that are kept are counted, not listed."""
    rows = list_changes(steps)
    changed = [row for row in rows if row[0] != "keep"]
    kept = [row for row in rows if row[0] == "keep"]
    if not changed:
        return paint("= nothing to change: all run as wanted", "dim") if kept else ""
    listed = changed + (kept if len(kept) <= 8 else [])
    cells: list[list[lines.Cell]] = [
        [_MARKS[what], name, (cause, "dim") if what == "keep" else cause]
        for what, name, told in listed
        for cause in (told.removeprefix(f"{name}: ").removeprefix(f"{name} "),)
    ]
    text = lines.align(cells, paint)
    if len(kept) > 8:
        text += paint(f"= keep     {len(kept)} others as they are", "dim") + "\n"
    return text.rstrip("\n")
