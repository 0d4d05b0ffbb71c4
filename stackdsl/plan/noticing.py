"""Warnings about plans: what is not wrong but may not be as its author thinks."""

import posixpath
from collections.abc import Sequence

from stackdsl.model import plans, services, substitution
from stackdsl.plan import binding, claiming, placing


def find_notices(
    world: placing.Survey, layout: binding.Layout, replicas: Sequence[plans.PlannedService]
) -> tuple[plans.Notice, ...]:
    """Return the warnings of a plan: about ports in order of services, then about commands."""
    notices: list[plans.Notice] = []
    for service in world.by_name.values():
        for port in service.ports:
            key = binding.own_key(service.name, port.name)
            given = layout.own_numbers.get(key)
            is_found = placing.is_found_container(service)  # nothing of it reads me.port
            if given is not None and given.number != port.number and not is_found:
                notices.append(_notice_changed(service, port, given))
            if port.publish is not None and claiming.is_wildcard(port.publish[0]):
                host = world.stands[service.name].host
                notices.append(_notice_wide(service, port.publish, host))
        notices.extend(_find_literal_texts(service, world))
    return (*notices, *_find_shown_secrets(world.stack.secrets, replicas))


def _find_literal_texts(service: services.Service, world: placing.Survey) -> list[plans.Notice]:
    """Return a warning for each text among the files that looks as if it were to be filled in."""
    names = {"me", *world.by_name, *(name.replace("_", "-") for name in world.by_name)}
    notices = []
    for entry in service.files:
        spoken = substitution.list_references(entry.text or "")
        token = next((token for name, token in spoken if name in names), None)
        if token is not None:
            stem = posixpath.basename(entry.path)
            notices.append(
                plans.Notice(
                    code="plan.literal-text",
                    what=f'file "{entry.path}" of "{service.name}" holds "{token}" as it stands',
                    where=entry.where or str(service.where),
                    why="a text in files= is written as it is; only templates are filled in",
                    do=f'put the text into a file and give template("{stem}.tmpl")',
                )
            )
    return notices


def _notice_changed(
    service: services.Service, port: services.Port, given: claiming.Allotment
) -> plans.Notice:
    return plans.Notice(
        code="plan.port-changed",
        what=f'"{service.name}" gets port {given.number} in place of {port.number}',
        where=str(service.where),
        why=given.reason,
        do="nothing, if its program reads me.port or $PORT; or allow the port:"
        f" sysctl net.ipv4.ip_unprivileged_port_start={port.number}",
    )


def _notice_wide(service: services.Service, publish: tuple[str, int], host: str) -> plans.Notice:
    return plans.Notice(
        code="plan.published-widely",
        what=f'"{service.name}" is published at {publish[0]}:{publish[1]}:'
        f" whoever reaches {host} reaches it",
        where=str(service.where),
        why="publish names every address of the machine",
        do=f"write publish={publish[1]} to publish it on 127.0.0.1 only",
    )


def _find_shown_secrets(
    secrets: Sequence[str], replicas: Sequence[plans.PlannedService]
) -> list[plans.Notice]:
    """Return a warning for each service whose command line shows a secret to the whole machine."""
    notices: dict[str, plans.Notice] = {}
    for replica in replicas if secrets else ():
        argv = replica.command or ()
        if any(secret and secret in word for secret in secrets for word in argv):
            notices.setdefault(
                replica.service,
                plans.Notice(
                    code="plan.secret-in-command",
                    what=f'the command of "{replica.service}" holds a secret',
                    where=replica.where,
                    why="every user of the machine can read the command lines of its processes",
                    do="hand it over in env={…} or in a file, and let the program read it there",
                ),
            )
    return [notices[name] for name in sorted(notices)]
