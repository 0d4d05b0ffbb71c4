"""Before anything starts: what is seen of the machine, and whether it has what a plan wants."""

import dataclasses
from collections.abc import Sequence

from stackdsl import ports
from stackdsl.model import errors, facts, plans
from stackdsl.registry import store as stores


async def look(
    node: ports.Node, store: stores.Store, run: str, previous: plans.Plan | None
) -> facts.Facts:
    """Return the facts that a plan of ``run`` starts from; its own listeners are left out."""
    host = await node.observe(ports.Wanted())
    blocks = tuple(
        record.block
        for record in store.records()
        if record.run != run and record.block[1] and not record.is_ended
    )
    if previous is not None:
        own = foreign_listeners(host.listeners, previous)
        host = dataclasses.replace(host, listeners=own)
    return facts.Facts(hosts=(host,), blocks_taken=blocks)


def foreign_listeners(
    listeners: Sequence[facts.Listener], plan: plans.Plan
) -> tuple[facts.Listener, ...]:
    """Return the listeners that are not the plan's own."""
    own = {
        (port.host, port.port)
        for service in plan.services
        if service.spec is not None
        for port in service.spec.ports
    }
    own |= {(f.listen_host, f.listen_port) for _, mine in plan.forwards for f in mine}
    return tuple(one for one in listeners if (one.address, one.port) not in own)


async def check_programs(node: ports.Node, plan: plans.Plan) -> None:
    """Look whether every program and user of the plan is there.

    Raises:
        HostError: some are missing, each with the service that wants it.
    """
    wanted: dict[tuple[str, str | None, str], str] = {}
    users: dict[str, str] = {}
    for service in plan.services:
        spec = service.spec
        if spec is None or not spec.argv:
            continue
        path = dict(spec.env).get("PATH")
        wanted.setdefault((spec.argv[0], path, spec.cwd), service.name)
        if spec.user is not None:
            users.setdefault(spec.user, service.name)
    if not wanted and not users:
        return
    seen = await node.observe(ports.Wanted(programs=tuple(wanted), users=tuple(users)))
    failures: list[errors.StackError] = []
    missing_programs, missing_users = set(seen.programs_missing), set(seen.users_missing)
    for (program, _, cwd), name in wanted.items():
        if program in missing_programs:
            planned = plan.service(name)
            failures.append(
                errors.HostError(
                    "host.no-program",
                    f'cannot start "{name}": program "{program}" was not found',
                    where=planned.where if planned else "",
                    why=f"it is neither on PATH nor an executable file (looked from {cwd})",
                    do="install it, correct the command, or give its full path",
                )
            )
    for user, name in users.items():
        if user in missing_users:
            failures.append(
                errors.HostError(
                    "host.no-user",
                    f'cannot start "{name}" as user "{user}": it cannot be used here',
                    why="there is no such user, or changing to it needs root",
                    do="create it, run as root, or leave user= out",
                )
            )
    errors.raise_all(failures)


def make_debugged(plan: plans.Plan, service: str, stdin: str | None) -> plans.Plan:
    """Return the plan with the deadlines and liveness of one service off.

    Raises:
        UsageError: there is no such service.
    """
    if not any(_is_same(s.service, service) for s in plan.services):
        raise unknown_service(service, plan.run, sorted(s.name for s in plan.services))
    changed = tuple(debug_replica(s, service, stdin) for s in plan.services)
    return dataclasses.replace(plan, services=changed)


def debug_replica(
    replica: plans.PlannedService, service: str, stdin: str | None
) -> plans.PlannedService:
    """Return a replica of ``service`` with no deadlines, reading from ``stdin``; others as they
    are."""
    if not _is_same(replica.service, service) or replica.spec is None:
        return replica
    spec = dataclasses.replace(replica.spec, is_debugged=True, live=(), stdin=stdin)
    return dataclasses.replace(replica, spec=spec)


def _is_same(name: str, asked: str) -> bool:
    return name.replace("-", "_") == asked.replace("-", "_")


def unknown_service(name: str, run: str, names: Sequence[str]) -> errors.UsageError:
    """Return the error for a name that is no service of the run, near misses named."""
    import difflib  # only on the way out: costs start-up time

    near = difflib.get_close_matches(name, names, n=3)
    return errors.UsageError(
        "usage.unknown-service",
        f'cannot find "{name}" in "{run}": it has no service or task of that name',
        why=f"near: {', '.join(near)}" if near else f"it has {', '.join(names)}",
        do="name one of them",
    )
