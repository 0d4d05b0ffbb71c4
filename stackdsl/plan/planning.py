"""The planner: a stack and what was seen of its hosts become a plan, by pure calculation.

Laws: same inputs, same plan, byte for byte; everything wrong is raised together; nothing here
reads a clock, throws dice or touches the machine.
"""

from collections.abc import Mapping, Sequence

from stackdsl.model import errors, facts, plans, refs, stacks, states
from stackdsl.plan import (
    addressing,
    binding,
    bridging,
    claiming,
    forwarding,
    grounding,
    imaging,
    linking,
    noticing,
    placing,
    reconciling,
    referring,
    specifying,
    writing,
)

_NO_OUTPUTS: Mapping[str, str] = {}


def make_plan(
    stack: stacks.StackModel,
    facts: facts.Facts,
    *,
    run: str,
    folder: str,
    previous: plans.Plan | None = None,
    observed: Sequence[plans.Observed] = (),
    outputs: Mapping[str, str] = _NO_OUTPUTS,
    call_bodies: bool = True,
) -> plans.Plan:
    """Plan a run of ``stack`` on the machines that ``facts`` describe.

    ``run`` is the run's name and ``folder`` its folder (absolute). ``previous`` is the plan that
    the run was last brought to: addresses and chosen ports are kept. ``observed`` is what stands:
    the steps lead from there to what is wanted. ``outputs`` are those of completed tasks, by name.
    Without ``call_bodies`` replicas have no command and no spec.

    Raises:
        StackError: everything that is wrong, as one.
    """
    world, wrong = placing.survey(stack, claiming.drop_own(facts, previous, observed))
    errors.raise_all(wrong)
    errors.raise_all(_in_order(imaging.find_missing(world), world))
    is_standing = any(one.state in states.ALIVE for one in observed)
    ground = bridging.lay_ground(world, run, folder, previous, is_standing=is_standing)
    routes, wrong = _find_routes(world, bridging.find_gateways(world, ground))
    wrong.extend(bridging.find_unprivileged(world))
    addresses = _assign_addresses(world, folder, previous)
    bridges = bridging.assign(world, ground, routes, previous)
    layout = binding.lay_out(world, addresses, bridges, routes, previous)
    forwarder = forwarding.Forwarder(world, layout, routes)
    forwarder.forward_all()
    wrong.extend(forwarding.find_unbindable(world))
    wrong.extend(claiming.find_conflicts(forwarder.claims, world.hosts))
    errors.raise_all(_in_order(wrong, world))
    request = writing.Request(run=run, folder=folder, outputs=outputs, call_bodies=call_bodies)
    layouts = writing.Layouts(addresses, bridges, layout)
    written, wrong = writing.write(world, routes, layouts, request)
    errors.raise_all(_in_order(wrong, world))
    replicas = tuple(sorted(written.replicas, key=lambda r: (r.stage, r.service, r.index)))
    forwards = forwarder.collect()
    stage = grounding.Ground(bridges.networks, dict(forwards), written.links)
    return plans.Plan(
        stack=stack.name,
        run=run,
        hosts=_list_hosts(world, routes, ground),
        services=replicas,
        links=tuple(written.links),
        steps=reconciling.make_steps(replicas, stage, previous, observed, stack.secrets),
        warnings=noticing.find_notices(world, layout, replicas),
        forwards=forwards,
        networks=tuple(sorted(bridges.networks.items())),
        bridge_slots=tuple(sorted(bridges.slots.items())),
        block=addresses.block,
        slots=tuple(sorted(addresses.slots.items())),
        ports_kept=tuple(sorted(layout.list_kept().items())),
    )


def resolve(
    plan: plans.Plan, stack: stacks.StackModel, replica: str, outputs: Mapping[str, str]
) -> plans.PlannedService:
    """Return a replica of ``plan`` that waited for tasks, finished with their ``outputs``.

    Raises:
        StackError: its body is wrong, or an output is still missing.
    """
    planned = plan.service(replica)
    service = None if planned is None else stack.service(planned.service)
    if planned is None or service is None:
        raise errors.InternalError(
            "internal.resolve",
            f'cannot finish the plan of "{replica}": it is not in the plan',
            do="this is a bug of stackdsl: please report it",
        )
    rows: dict[str, list[plans.Link]] = {}
    owners = {p.name: p.service for p in plan.services} | {s.name: s.name for s in stack.services}
    for link in plan.links:
        if link.source == replica:
            rows.setdefault(owners[link.target], []).append(link)
    values: dict[str, refs.Ref | refs.Me] = {}
    for need in service.needs:
        callee = stack.service(need.name)
        if callee is not None:
            told = referring.read_rows(rows.get(callee.name, ()))
            ref = referring.make_ref(callee, told, outputs.get(callee.name))
            values[callee.name] = ref
            values[need.parameter or callee.name] = ref
    replicas = [other for other in plan.services if other.service == service.name]
    own = referring.make_own_ref(service, replicas)
    values["me"] = referring.make_me(service, planned, own)
    wanted = service.name in writing.find_read_tasks(stack)
    return specifying.finish(planned, service, stack, values, is_output_wanted=wanted)


def _find_routes(
    world: placing.Survey, gateways: Mapping[str, str]
) -> tuple[binding.Routes, list[errors.StackError]]:
    """Return for each callee the route of every stand that it is called from."""
    reach = linking.map_reach(world.seen)
    routes: dict[str, dict[placing.Stand, linking.Route]] = {}
    wrong: list[errors.StackError] = []
    for name, callers in world.callers.items():
        service = world.by_name[name]
        if not binding.list_ports(service):
            continue
        own = routes[name] = {}
        for stand, caller in callers.items():
            route = linking.find_route(stand, service, world, reach, gateways)
            if route is None:
                source = world.by_name[caller]
                wrong.append(linking.report_no_route(source, service, world, reach))
            else:
                own[stand] = route
    return routes, wrong


def _assign_addresses(
    world: placing.Survey, folder: str, previous: plans.Plan | None
) -> addressing.Addresses:
    """Return an own address for every replica that is launched and every stable service."""
    names: list[str] = []
    numbers: set[int] = set()
    for service in world.by_name.values():
        if not placing.is_launched(service) and not placing.is_found_container(service):
            continue
        names.extend(service.replica_names())
        if service.is_stable:
            names.append(placing.stable_key(service.name))
        numbers.update(port.number for port in service.ports)
    before = None
    if previous is not None:
        before = addressing.Addresses(block=previous.block, slots=dict(previous.slots))
    busy = sorted(
        {
            listener.address
            for host in world.hosts.values()
            for listener in host.listeners
            if listener.port in numbers
        }
    )
    taken = world.seen.blocks_taken
    return addressing.assign(folder, names, previous=before, taken=taken, busy=busy)


def _list_hosts(
    world: placing.Survey, routes: binding.Routes, ground: bridging.Ground
) -> tuple[plans.PlannedHost, ...]:
    """Return every machine of the plan with the LAN address that its services are told at, and its
    own on the run's bridge."""
    lan: dict[str, str] = {}
    for name, own in routes.items():
        host = world.stands[name].host
        for route in own.values():
            is_lan = route.kind == "lan"
            if is_lan and (host not in lan or route.shared < lan[host]):
                lan[host] = route.shared
    return tuple(
        plans.PlannedHost(
            name=name,
            kind="local" if name == placing.LOCAL else "ssh",
            lan=lan.get(name),
            bridge=ground[name].gateway if name in ground else None,
        )
        for name in world.hosts
    )


def _in_order(wrong: Sequence[errors.StackError], world: placing.Survey) -> list[errors.StackError]:
    """Return errors in the order of the author's files."""
    lines = {str(s.where): (s.where.file, s.where.line) for s in world.by_name.values()}
    flat = [one for error in wrong for one in errors.flatten(error)]
    return sorted(flat, key=lambda error: _find_place(error.where.partition("\n")[0], lines))


def _find_place(where: str, lines: Mapping[str, tuple[str, int]]) -> tuple[str, int]:
    """Return the file and line of "file:line @kind name"; a body's line is no service's own."""
    known = lines.get(where)
    if known is not None:
        return known
    file, _, line = where.partition(" @")[0].rpartition(":")
    return (file, int(line)) if line.isdecimal() else ("", 0)
