"""Before anything starts: what is seen of the machine, and whether it has what a plan wants."""

import asyncio
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from stackdsl import ports
from stackdsl.model import errors, facts, plans, probes, specs, stacks
from stackdsl.plan import imaging, placing
from stackdsl.registry import store as stores
from stackdsl.session import neighbours


async def look(
    nodes: Mapping[str, ports.Node],
    store: stores.Store,
    run: str,
    stack: stacks.StackModel,
    previous: plans.Plan | None,
) -> facts.Facts:
    """Return the facts that a plan of ``run`` starts from; its own listeners are left out."""
    wanted = _list_wanted(stack, store, run)
    reached: tuple[facts.Reach, ...] = ()
    if len(nodes) == 1:
        hosts = [await nodes[placing.LOCAL].observe(wanted)]
    else:
        # stacks on one machine do without it
        from stackdsl.session import surveying

        hosts, reached = await surveying.survey(nodes, wanted, stack)
    blocks = tuple(
        record.block
        for record in store.records()
        if record.run != run and record.block[1] and not record.is_ended
    )
    if previous is not None:
        hosts = [
            dataclasses.replace(host, listeners=foreign_listeners(host.listeners, previous))
            for host in hosts
        ]
    hosts = [
        neighbours.name_owners(host, store, run, stack) if host.name == placing.LOCAL else host
        for host in hosts
    ]
    return facts.Facts(hosts=tuple(hosts), reached=reached, blocks_taken=blocks)


def _list_wanted(stack: stacks.StackModel, store: stores.Store, run: str) -> ports.Wanted:
    """Return what has to be looked up for a stack: of engines and networks, only for containers and
    isolated processes, so that others pay nothing for them."""
    stands = [placing.find_stand(service) for service in stack.services]
    here = {stand.vantage for stand in stands if stand.host == placing.LOCAL}
    containers = imaging.list_containers(stack)
    if not here & {"container", "isolated"} and not containers:
        return ports.Wanted()
    record = store.record(run)
    return ports.Wanted(
        images=imaging.list_images(stack),
        containers=containers,
        has_engine=True,
        has_networks=bool(here & {"container", "isolated"}),
        run_id="" if record is None else record.run_id,
    )


def foreign_listeners(
    listeners: Sequence[facts.Listener], plan: plans.Plan
) -> tuple[facts.Listener, ...]:
    """Return the listeners that are not the plan's own."""
    own = neighbours.list_sockets(plan)
    return tuple(one for one in listeners if (one.address, one.port) not in own)


class _Wish(NamedTuple):
    """A program that a replica needs, and what for ("" : to be run at all)."""

    replica: plans.PlannedService
    spec: specs.ServiceSpec
    program: str
    role: str

    @property
    def key(self) -> tuple[str, str | None, str]:
        """What a node is asked: the program, the PATH, the folder."""
        return self.program, dict(self.spec.env).get("PATH"), self.spec.cwd


async def check_programs(nodes: Mapping[str, ports.Node], plan: plans.Plan) -> None:
    """Look on every host, side by side, whether what the plan wants there is there; see
    `_check_host`.

    Raises:
        HostError: something is missing.
    """
    if len(nodes) == 1:
        await _check_host(nodes[placing.LOCAL], plan, placing.LOCAL)
        return
    failures: list[errors.StackError] = []

    async def check(name: str, node: ports.Node) -> None:
        try:
            await _check_host(node, plan, name)
        except errors.StackError as error:
            failures.append(error)

    async with asyncio.TaskGroup() as group:
        for name, node in nodes.items():
            group.create_task(check(name, node), name=f"check {name}")
    errors.raise_all(failures)


async def _check_host(node: ports.Node, plan: plans.Plan, host: str) -> None:
    """Look whether every program, folder and user of the plan is there.

    What a task or a hook of the stack may make before it is used counts as there.

    Raises:
        HostError: some are missing, each with the service that wants it.
    """
    # what runs in a container is found in its image
    specs_of = [
        (one, one.spec)
        for one in plan.services
        if one.spec is not None
        and one.host == host
        and one.spec.container is None
        and not one.spec.attach_container
    ]
    wishes = [wish for one, spec in specs_of for wish in _list_wishes(one, spec)]
    users = sorted({spec.user for _, spec in specs_of if spec.user is not None})
    if not wishes and not users:
        return
    keys = tuple(dict.fromkeys(wish.key for wish in wishes))
    seen = await node.observe(ports.Wanted(programs=keys, users=tuple(users)))
    missing = await _find_missing(node, keys, seen.programs_missing)
    failures = [
        *(_no_folder(one, spec) for one, spec in specs_of if _lacks_folder(plan, one, spec)),
        *(_no_program(wish) for wish in wishes if wish.key in missing and not _comes(plan, wish)),
        *(_no_user(one, spec) for one, spec in specs_of if spec.user in seen.users_missing),
    ]
    errors.raise_all(list({error.text(): error for error in failures}.values()))


def _list_wishes(replica: plans.PlannedService, spec: specs.ServiceSpec) -> Iterator[_Wish]:
    if spec.argv:
        yield _Wish(replica, spec, spec.argv[0], "")
    for moment, argv in spec.hooks:
        yield _Wish(replica, spec, argv[0], f"hook {moment}")
    if spec.stop_command:
        yield _Wish(replica, spec, spec.stop_command[0], "stop_command=")
    checks = (*spec.ready, *spec.live, *((spec.done,) if spec.done is not None else ()))
    for check in checks:
        if isinstance(check.probe, probes.Exec):
            yield _Wish(replica, spec, check.probe.argv[0], "check(…)")


async def _find_missing(
    node: ports.Node, keys: Sequence[tuple[str, str | None, str]], names: Sequence[str]
) -> set[tuple[str, str | None, str]]:
    """Return which of the asked are missing. A node answers with names only, so that a program
    that is looked for from several folders, or on several PATHs, is asked for again by itself."""
    missing = set()
    for name in dict.fromkeys(names):
        mine = [key for key in keys if key[0] == name]
        for key in mine:
            if (
                len(mine) == 1
                or (await node.observe(ports.Wanted(programs=(key,)))).programs_missing
            ):
                missing.add(key)
    return missing


def _comes(plan: plans.Plan, wish: _Wish) -> bool:
    """Tell whether a program may be made before it is used: one with a path, of a service that
    follows a task or has a hook before its start, or in the service's own folder."""
    if not os.path.dirname(wish.program):
        return False
    path = os.path.normpath(os.path.join(wish.spec.cwd, wish.program))
    return _is_made(plan, wish.replica, wish.spec, path, is_hook=wish.role == "hook before_start")


def _lacks_folder(plan: plans.Plan, replica: plans.PlannedService, spec: specs.ServiceSpec) -> bool:
    if not spec.argv or replica.host != placing.LOCAL or os.path.isdir(spec.cwd):
        return False  # elsewhere the node tells
    return not _is_made(plan, replica, spec, spec.cwd, is_hook=False)


def _is_made(
    plan: plans.Plan,
    replica: plans.PlannedService,
    spec: specs.ServiceSpec,
    path: str,
    *,
    is_hook: bool,
) -> bool:
    if f"{path}/".startswith(f"{spec.dir}/"):
        return True
    if not is_hook and any(moment == "before_start" for moment, _ in spec.hooks):
        return True
    kinds = {one.service: one.kind for one in plan.services}
    needs = {one.service: [need.name for need in one.needs] for one in plan.services}
    queue = list(needs[replica.service])
    for name in queue:
        queue.extend(other for other in needs.get(name, ()) if other not in queue)
    return any(kinds.get(name) == "task" for name in queue)


def _no_program(wish: _Wish) -> errors.HostError:
    deed = f"run {wish.role} of" if wish.role else "start"
    return errors.HostError(
        "host.no-program",
        f'cannot {deed} "{wish.replica.name}": program "{wish.program}" was not found'
        + _on(wish.replica),
        where=wish.replica.where,
        why=f"it is neither on PATH nor an executable file (looked from {wish.spec.cwd})",
        do="install it, correct the command, or give its full path",
    )


def _on(replica: plans.PlannedService) -> str:
    """Return where that is, for machines other than this one."""
    return "" if replica.host == placing.LOCAL else f' on host "{replica.host}"'


def _no_folder(replica: plans.PlannedService, spec: specs.ServiceSpec) -> errors.HostError:
    return errors.HostError(
        "host.no-folder",
        f'cannot start "{replica.name}": folder "{spec.cwd}" does not exist',
        where=replica.where,
        why="it is where the program is to start, as cwd= says",
        do="make the folder, or correct cwd=, which starts at the stack's folder",
    )


def _no_user(replica: plans.PlannedService, spec: specs.ServiceSpec) -> errors.HostError:
    return errors.HostError(
        "host.no-user",
        f'cannot start "{replica.name}" as user "{spec.user}": it cannot be used'
        + (_on(replica) or " here"),
        where=replica.where,
        why="there is no such user, or changing to it needs root",
        do="create it, run as root, or leave user= out",
    )


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
