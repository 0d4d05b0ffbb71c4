"""Plans to look at: JSON for programs, aligned plain text for people."""

import shlex
from collections.abc import Sequence

from stackdsl.model import plans

NOTHING = "-"


def plan_json(plan: plans.Plan) -> dict[str, object]:
    """Return a plan as JSON values."""
    return {
        "stack": plan.stack,
        "run": plan.run,
        "hosts": [_host_json(host) for host in plan.hosts],
        "services": [_service_json(replica) for replica in plan.services],
        "links": [
            {
                "from": link.source,
                "to": link.target,
                "port": link.port,
                "kind": link.kind,
                "address": link.address,
                "reason": link.reason,
            }
            for link in plan.links
        ],
        "mesh": None,
        "steps": [
            {
                "id": step.id,
                "kind": step.kind,
                "subject": step.subject,
                "needs": list(step.needs),
                "cause": step.cause,
            }
            for step in plan.steps
        ],
        "warnings": [
            {
                "code": notice.code,
                "what": notice.what,
                "where": notice.where,
                "why": notice.why,
                "do": notice.do,
            }
            for notice in plan.warnings
        ],
    }


def plan_table(plan: plans.Plan, file: str = "", *, width: int | None = None) -> str:
    """Return a plan as aligned text: services by stage, links, networks, forwards, steps, warnings.

    ``file``: the path of the stack's file, for the first line. ``width``: where a row would be
    wider, its last column stands on a line of its own.
    """
    sections = [
        f"plan of stack {plan.stack}{f' ({file})' if file else ''} as run {plan.run}",
        _make_table(
            width,
            "services",
            ("STAGE", "NAME", "WHERE", "ADDRESS", "NEEDS", "COMMAND"),
            [_service_row(replica) for replica in plan.services],
        ),
        _make_table(
            width,
            "links",
            ("FROM", "TO", "PORT", "KIND", "ADDRESS", "REASON"),
            [(x.source, x.target, x.port, x.kind, x.address, x.reason) for x in plan.links],
        ),
        _make_table(
            width,
            "networks",
            ("HOST", "SUBNET", "BRIDGE", "FURTHER ADDRESSES"),
            [
                (host, one.subnet, one.bridge, ", ".join(one.addresses) or NOTHING)
                for host, one in plan.networks
            ],
        ),
        _make_table(
            width,
            "forwards",
            ("HOST", "LISTENS", "TO", "CAUSE"),
            [
                (
                    host,
                    f"{x.listen_host}:{x.listen_port}" + (" udp" if x.protocol == "udp" else ""),
                    ", ".join(f"{target}:{port}" for target, port in x.targets),
                    x.cause,
                )
                for host, forwards in plan.forwards
                for x in forwards
            ],
        ),
        _make_table(
            width,
            "steps",
            ("STEP", "AFTER", "CAUSE"),
            [(step.id, ", ".join(step.needs) or NOTHING, step.cause) for step in plan.steps],
        ),
        "\n".join(_notice_lines(plan.warnings)),
    ]
    return "\n\n".join(section for section in sections if section)


def _host_json(host: plans.PlannedHost) -> dict[str, object]:
    addresses = {"lan": host.lan, "mesh": host.mesh, "bridge": host.bridge}
    return {"name": host.name, "kind": host.kind, "addresses": addresses}


def show_command(replica: plans.PlannedService) -> str:
    """Return a replica's command as one would type it; what it waits for if it has none yet."""
    if replica.command is not None:
        return shlex.join(replica.command)
    if replica.after:
        return f"<after {', '.join(replica.after)}>"
    return NOTHING


def _service_json(replica: plans.PlannedService) -> dict[str, object]:
    command: list[str] | None = None
    if replica.command is not None:
        command = list(replica.command)
    elif replica.after:
        command = [show_command(replica)]
    return {
        "name": replica.name,
        "kind": replica.kind,
        "service": replica.service,
        "index": replica.index,
        "host": replica.host or None,
        "target": replica.target,
        "needs": [{"name": n.name, "condition": n.condition} for n in replica.needs],
        "ports": [
            {"name": p.name, "port": p.port, "scheme": p.scheme, "protocol": p.protocol}
            for p in replica.ports
        ],
        "bind": replica.bind,
        "env": dict(replica.env),
        "command": command,
        "stage": replica.stage,
    }


def _service_row(replica: plans.PlannedService) -> tuple[str, ...]:
    addresses = [
        ("" if port.name == "default" else f"{port.name} ") + f"{port.host}:{port.told_port}"
        for port in replica.ports
    ]
    needs = [f"{need.name} {need.condition}" for need in replica.needs]
    return (
        str(replica.stage),
        replica.name,
        replica.target,
        ", ".join(addresses) or NOTHING,
        ", ".join(needs) or NOTHING,
        show_command(replica),
    )


def _make_table(
    width: int | None, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]
) -> str:
    """Return rows under their headings, each column as wide as its widest cell."""
    if not rows:
        return ""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    is_folded = width is not None and sum(widths) + 2 * len(widths) > width
    lines = [title]
    for row in (head, *rows):
        cells = [cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)]
        last = f"\n{' ' * 6}{cells.pop().rstrip()}" if is_folded else ""
        lines.append(f"  {'  '.join(cells)}".rstrip() + last)
    return "\n".join(lines)


def _notice_lines(notices: Sequence[plans.Notice]) -> list[str]:
    lines = ["warnings"] if notices else []
    for notice in notices:
        lines.append(f"  {notice.what}")
        labelled = (("where", notice.where), ("why", notice.why), ("do", notice.do))
        lines.extend(f"    {label:<6} {text}" for label, text in labelled if text)
        lines.append(f"    code   {notice.code}")
    return lines
