"""Statuses as people and programs read them: JSON, tables, one line for each change of state."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from stackdsl.model import plans, states
from stackdsl.views import lines

SYMBOLS: dict[str, tuple[str, str]] = {
    "waiting": ("○", "dim"),
    "starting": ("◌", "yellow"),
    "running": ("◌", "yellow"),
    "ready": ("●", "green"),
    "unready": ("◐", "yellow"),
    "degraded": ("◐", "yellow"),
    "restarting": ("↻", "yellow"),
    "completed": ("✔", "green"),
    "failed": ("✘", "red"),
    "stopping": ("◌", "dim"),
    "stopped": ("■", "dim"),
    "adopted": ("●", "yellow"),
    "ending": ("◌", "dim"),
}


def status_json(status: states.RunStatus) -> dict[str, Any]:
    """Return a run's status as JSON values."""
    return {
        "run": status.run,
        "stack": status.stack,
        "state": status.state,
        "since": status.since,
        "services": [service_json(one) for one in status.services],
        "hosts": [
            {"name": one.name, "state": one.state, "reason": one.reason} for one in status.hosts
        ],
        "links": [
            {
                "from": one.source,
                "to": one.target,
                "port": one.port,
                "kind": one.kind,
                "address": one.address,
                "state": one.state,
            }
            for one in status.links
        ],
    }


def service_json(one: states.ServiceStatus) -> dict[str, Any]:
    """Return one replica's status as JSON values; ``addresses`` by the port's name."""
    return {
        "name": one.name,
        "kind": one.kind,
        "service": one.service,
        "index": one.index,
        "state": one.state,
        "host": one.host,
        "target": one.target,
        "pid": one.pid,
        "container": one.container,
        "addresses": dict(one.addresses),
        "restarts": one.restarts,
        "since": one.since,
        "exit_code": one.exit_code,
        "reason": one.reason,
    }


def state_cell(state: str) -> lines.Cell:
    """Return a state with its symbol, as a cell of a table."""
    symbol, colour = SYMBOLS.get(state, ("·", ""))
    return f"{symbol} {state}", colour


def addresses_of(one: states.ServiceStatus, plan: plans.Plan | None) -> tuple[str, ...]:
    """Return where a replica is found: as a URL where a scheme is known; then what is published."""
    schemes: dict[str, str | None] = {}
    published: list[str] = []
    if plan is not None:
        planned = plan.service(one.name)
        if planned is not None:
            schemes = {port.name: port.scheme for port in planned.ports}
            published = find_published(plan, planned)
    told = [
        f"{schemes[name]}://{address}" if schemes.get(name) else address
        for name, address in one.addresses
    ]
    return (*told, *published)


def find_published(plan: plans.Plan, planned: plans.PlannedService) -> list[str]:
    """Return where else a replica is found: what `publish=` and forwards have opened for it."""
    own = {(port.host, port.told_port) for port in planned.ports}
    targets = {(port.bound_host, port.bound_port): port.scheme for port in planned.ports}
    targets |= {(port.target_host, port.target_port): port.scheme for port in planned.ports}
    inside = {port.bound_port: port.scheme for port in planned.ports}
    boxed = planned.container.publishes if planned.container is not None else ()
    by_engine = [
        (f"{scheme}://" if scheme else "") + f"{one.host}:{one.port}"
        for one in boxed
        if (one.host, one.port) not in own
        for scheme in (inside.get(one.target),)
    ]
    return by_engine + [
        (f"{scheme}://" if scheme else "") + f"{forward.listen_host}:{forward.listen_port}"
        for host, forwards in plan.forwards
        for forward in forwards
        if host == planned.host
        and forward.subject in (planned.name, planned.service)
        and (forward.listen_host, forward.listen_port) not in own
        for scheme in (next((targets[t] for t in forward.targets if t in targets), None),)
    ]


def format_status(
    status: states.RunStatus,
    paint: lines.Paint,
    *,
    now: datetime,
    plan: plans.Plan | None = None,
    width: int | None = None,
) -> str:
    """Return a run's status as a head line and a table."""
    symbol, colour = SYMBOLS.get(status.state, ("·", ""))
    age = lines.say_duration(age_s(status.since, now))
    head = f"{paint(f'{symbol} {status.run}', f'bold {colour}')}  {status.state} for {age}\n"
    rows = [_status_row(one, plan, now) for one in status.services]
    head_row: list[str] = ["SERVICE", "STATE", "FOR", "PID", "ADDRESS", "NOTE"]
    if any(one.container for one in status.services):
        head_row.insert(4, "CONTAINER")
        for row, one in zip(rows, status.services, strict=True):
            row.insert(4, (one.container or "")[:12])
    table = lines.align(rows, paint, head=tuple(head_row), width=width)
    lost = "".join(
        f"{paint('✘', 'red')} host {one.name} is {one.state}: {one.reason}\n"
        for one in status.hosts
        if one.state != "connected"
    )
    return head + table + lost


def _status_row(
    one: states.ServiceStatus, plan: plans.Plan | None, now: datetime
) -> list[lines.Cell]:
    notes = []
    if one.restarts:
        notes.append(f"{one.restarts} restart" + ("s" if one.restarts > 1 else ""))
    if one.reason and one.state not in ("ready", "completed"):
        notes.append(lines.tame_first(one.reason))
    return [
        one.name,
        state_cell(one.state),
        "" if one.state == "waiting" else lines.say_duration(age_s(one.since, now)),
        str(one.pid or ""),
        ", ".join(addresses_of(one, plan)),
        "; ".join(notes),
    ]


def age_s(since: str, now: datetime) -> float:
    """Return how long ago a time (RFC 3339) was, in seconds; 0 for none."""
    return (now - datetime.fromisoformat(since)).total_seconds() if since else 0.0


def format_summary(
    status: states.RunStatus,
    paint: lines.Paint,
    *,
    took_s: float,
    ready_s: dict[str, float],
    plan: plans.Plan | None = None,
    advice: str = "",
) -> str:
    """Return the block that is printed when everything is ready: each service, its state, where
    it is, how long it took (``ready_s`` by name, if known)."""
    count = sum(one.kind == "service" for one in status.services)
    tasks = len(status.services) - count
    what = say_count(count, "service") + (f" and {say_count(tasks, 'task')}" if tasks else "")
    symbol, colour = SYMBOLS.get(status.state, ("·", ""))
    head = f"{paint(f'{symbol} {status.run}', f'bold {colour}')} is {status.state}: {what}"
    head += f" in {lines.say_duration(took_s)}"
    rows: list[list[lines.Cell]] = []
    for one in status.services:
        took = ready_s.get(one.name)
        rows.append(
            [
                f"  {one.name}",
                state_cell(one.state),
                (lines.say_duration(took) if took is not None else "", "dim"),
                ", ".join(addresses_of(one, plan)),
            ]
        )
    tail = f"{advice}\n" if advice else ""
    return f"{head}\n{lines.align(rows, paint)}{tail}"


def say_count(count: int, word: str) -> str:
    """Return a number of things in words: "1 service", "3 services"."""
    return f"{count} {word}" + ("" if count == 1 else "s")


def _run_cell(state: str) -> lines.Cell:
    if state == "adopted":  # nobody has taken it back yet: the word would mislead
        symbol, colour = SYMBOLS[state]
        return f"{symbol} no controller", colour
    return state_cell(state)


def format_runs(rows: Sequence[dict[str, Any]], paint: lines.Paint, *, now: datetime) -> str:
    """Return the table of `ps` from its JSON values."""
    cells: list[list[lines.Cell]] = [
        [
            row["run"],
            _run_cell(row["state"]),
            lines.say_duration(age_s(row["since"], now)),
            str(row["pid"] or ""),
            row["file"] or "",
        ]
        for row in rows
    ]
    return lines.align(cells, paint, head=("RUN", "STATE", "AGE", "CONTROLLER", "FILE"))
