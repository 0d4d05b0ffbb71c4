"""Replicas and links of a plan, written down from the layout: environment, probes, commands."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from stackdsl.model import errors, plans, refs, services, stacks
from stackdsl.plan import (
    addressing,
    binding,
    bridging,
    containing,
    informing,
    linking,
    placing,
    probing,
    referring,
    specifying,
)


class Request(NamedTuple):
    """What a plan is made for: see `planning.make_plan`."""

    run: str
    folder: str
    outputs: Mapping[str, str]
    call_bodies: bool


class Layouts(NamedTuple):
    """Every address of a plan: on the loopback, on the bridges, and at the ports."""

    addresses: addressing.Addresses
    bridges: bridging.Bridges
    ports: binding.Layout


class _Told(NamedTuple):
    """What a caller on one route is told of one callee."""

    rows: tuple[referring.Row, ...]
    ref: refs.Ref
    pairs: informing.Pairs


def find_read_tasks(stack: stacks.StackModel) -> frozenset[str]:
    """Return the names of tasks whose output a body or a template may read."""
    tasks = {service.name for service in stack.services if service.kind == "task"}
    dashed = {name.replace("_", "-"): name for name in tasks}
    return frozenset(
        need.name if need.name in tasks else dashed[need.name]
        for service in stack.services
        for need in service.needs
        if (need.parameter is not None or service.files)
        and (need.name in tasks or need.name in dashed)
    )


class Written(NamedTuple):
    """Replicas and links, in order of the services' names."""

    replicas: list[plans.PlannedService]
    links: list[plans.Link]


def write(
    world: placing.Survey,
    routes: binding.Routes,
    layouts: Layouts,
    request: Request,
) -> tuple[Written, list[errors.StackError]]:
    """Write everything down; return it with what is wrong."""
    written = Written([], [])
    teller = _Teller(world, routes, layouts.addresses, layouts.ports, request.outputs)
    writer = _Writer(world, layouts, request)
    wrong: list[errors.StackError] = []
    for service in world.by_name.values():
        told = teller.tell(service)
        try:
            drafts = writer.draft(service, told)
            written.links.extend(_list_links(drafts, told))
            written.replicas.extend(writer.finish(service, drafts, told))
        except errors.StackError as error:
            wrong.append(error)
    return written, wrong


class _Teller:
    """Works out once for each callee and route what callers are told."""

    def __init__(
        self,
        world: placing.Survey,
        routes: binding.Routes,
        addresses: addressing.Addresses,
        layout: binding.Layout,
        outputs: Mapping[str, str],
    ) -> None:
        self._world = world
        self._routes = routes
        self._addresses = addresses
        self._layout = layout
        self._outputs = outputs
        self._told: dict[tuple[str, linking.Route], _Told] = {}

    def tell(self, service: services.Service) -> dict[str, _Told]:
        """Return what a service is told of each callee whose address or output it uses."""
        stand = self._world.stands[service.name]
        told: dict[str, _Told] = {}
        for need in self._world.needs[service.name]:
            callee = self._world.by_name[need.name]
            if need.name in told:
                continue
            if need.is_addressed or need.parameter is not None or callee.kind == "task":
                route = self._routes.get(need.name, {}).get(stand)
                told[need.name] = self._tell_one(callee, route)
        return told

    def _tell_one(self, callee: services.Service, route: linking.Route | None) -> _Told:
        output = self._outputs.get(callee.name)
        if route is None:
            return _Told((), referring.make_ref(callee, (), output), ())
        key = (callee.name, route)
        told = self._told.get(key)
        if told is None:
            rows = referring.list_rows(callee, route, self._layout, self._addresses)
            ref = referring.make_ref(callee, rows, output)
            told = self._told[key] = _Told(rows, ref, informing.tell_dependency(callee, ref))
        return told


class _Writer:
    """Writes the replicas of one service after the other."""

    def __init__(self, world: placing.Survey, layouts: Layouts, request: Request) -> None:
        self._world = world
        self._layout = layouts.ports
        self._request = request
        self._containing = containing.Containing(
            world, layouts.ports, layouts.bridges, request.run, request.folder
        )
        self._read_tasks = find_read_tasks(world.stack)

    def draft(
        self, service: services.Service, told: Mapping[str, _Told]
    ) -> list[plans.PlannedService]:
        """Return the service's replicas without commands.

        Raises:
            StackError: a variable has two sources, or a probe names a port that there is not.
        """
        needs = _list_needs(self._world.needs[service.name])
        after = self._find_awaited(service)
        pairs = {name: one.pairs for name, one in told.items()}
        vantage = self._world.stands[service.name].vantage
        called = [containing.Told(self._world.by_name[n], one.rows) for n, one in told.items()]
        drafts: list[plans.PlannedService] = []
        for index, name in enumerate(service.replica_names()):
            folder = f"{self._find_folder(service)}/dirs/{name}"
            site = probing.Site(
                ports=self._list_ports(name),
                bind=self._layout.binds[name],
                folder=containing.INSIDE if vantage == "container" else folder,
            )
            container = namespace = None
            if vantage == "container":
                container = self._containing.make_container(service, name, called)
            elif vantage == "isolated":
                namespace = self._containing.make_namespace(service, name, called)
            address = container or namespace
            site = site._replace(address=address.address if address is not None else "")
            env = self._inform(service, index, site, pairs)
            drafts.append(
                plans.PlannedService(
                    name=name,
                    kind=service.kind,
                    service=service.name,
                    index=index,
                    host=self._world.stands[service.name].host,
                    target=str(service.runs_on),
                    needs=needs,
                    ports=site.ports,
                    bind=site.bind,
                    env=env,
                    command=None,
                    after=after,
                    stage=self._world.stages[service.name],
                    checks=probing.find_ready_checks(service, site),
                    restart_with=self._find_names(service.restart_with),
                    where=str(service.where),
                    dir=site.folder,
                    start_timeout_s=service.start_timeout_s,
                    folder=folder,
                    vantage=vantage,
                    container=container,
                    namespace=namespace,
                )
            )
        return drafts

    def _find_folder(self, service: services.Service) -> str:
        """Return the run's folder on a service's machine."""
        host = self._world.hosts.get(self._world.stands[service.name].host)
        return (host.folder if host is not None else "") or self._request.folder

    def _inform(
        self,
        service: services.Service,
        index: int,
        site: probing.Site,
        told: Mapping[str, informing.Pairs],
    ) -> tuple[tuple[str, str | None], ...]:
        """Return a replica's environment; what is outside the stack is told nothing.

        Raises:
            PlanError: a variable has two sources.
        """
        if self._world.stands[service.name].vantage == "outside":
            return ()
        own = informing.tell_self(service, self._request.run, index, site)
        return informing.merge(service, own, told)

    def _find_awaited(self, service: services.Service) -> tuple[str, ...]:
        """Return the tasks whose output has to be there before the body can be called."""
        tasks = [
            (need.name, need.parameter)
            for need in self._world.needs[service.name]
            if self._world.by_name[need.name].kind == "task"
        ]
        return specifying.find_awaited(service, tasks, self._request.outputs) if tasks else ()

    def _list_ports(self, replica: str) -> tuple[plans.PlannedPort, ...]:
        return tuple(
            plans.PlannedPort(
                name=endpoint.port.name,
                port=endpoint.port.number,
                scheme=endpoint.port.scheme,
                protocol=endpoint.port.protocol,
                host=endpoint.told[0],
                told_port=endpoint.told[1],
                bound_host=endpoint.bound[0],
                bound_port=endpoint.bound[1],
                target_host=endpoint.target[0],
                target_port=endpoint.target[1],
            )
            for endpoint in self._layout.endpoints[replica].values()
        )

    def _find_names(self, names: Sequence[str]) -> tuple[str, ...]:
        known = self._world.by_name
        return tuple(sorted(name if name in known else name.replace("-", "_") for name in names))

    def finish(
        self,
        service: services.Service,
        drafts: Sequence[plans.PlannedService],
        told: Mapping[str, _Told],
    ) -> Sequence[plans.PlannedService]:
        """Return the replicas with commands, unless a task's output is awaited.

        Raises:
            StackError: the body, a template or a probe is wrong.
        """
        if not self._request.call_bodies or drafts[0].after:
            return drafts
        needs = self._world.needs[service.name]
        own = referring.make_own_ref(service, drafts)
        values: dict[str, refs.Ref | refs.Me] = {name: one.ref for name, one in told.items()}
        values |= {n.parameter: told[n.name].ref for n in needs if n.parameter is not None}
        finished: list[plans.PlannedService] = []
        for draft in drafts:
            values["me"] = referring.make_me(service, draft, own)
            finished.append(
                specifying.finish(
                    draft,
                    service,
                    self._world.stack,
                    values,
                    is_output_wanted=service.name in self._read_tasks,
                )
            )
        return finished


def _list_links(
    drafts: Iterable[plans.PlannedService], told: Mapping[str, _Told]
) -> Iterator[plans.Link]:
    for draft in drafts:
        for one in told.values():
            for row in one.rows:
                yield plans.Link(
                    source=draft.name,
                    target=row.target,
                    port=row.port,
                    kind=row.kind,
                    address=f"{row.host}:{row.number}",
                    reason=row.reason,
                )


def _list_needs(needs: Iterable[services.Need]) -> tuple[plans.PlannedNeed, ...]:
    """Return needs as the plan shows them, each (name, condition) once."""
    listed: dict[tuple[str, str], plans.PlannedNeed] = {}
    for need in needs:
        key = (need.name, need.condition)
        is_addressed = need.is_addressed or need.parameter is not None
        known = listed.get(key)
        if known is None or (is_addressed and not known.is_addressed):
            listed[key] = plans.PlannedNeed(
                name=need.name,
                condition=need.condition,
                is_addressed=is_addressed,
                is_parameter=need.parameter is not None,
            )
    return tuple(listed.values())
