"""What each replica binds and where callers on its machine are told to find it.

Laws: native callers on one machine are told the service's own 127.x.y.z, those in containers and
namespaces its address on the bridge; a replica whose callers are all told one address of its
machine binds that; what a living replica binds is kept from plan to plan.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from stackdsl.model import facts, places, plans, services
from stackdsl.plan import addressing, bridging, claiming, linking, placing

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - what containers and programs that insist on it bind

Socket = tuple[str, int]
Routes = Mapping[str, Mapping[placing.Stand, linking.Route]]


class Endpoint(NamedTuple):
    """One port of one replica: ``bound`` by the program, ``target`` for whoever speaks to the
    program itself, ``told`` to natives on the same machine, and why told is not canonical;
    ``bridged`` to callers on its bridge, where it has an address there."""

    port: services.Port
    bound: Socket
    target: Socket
    told: Socket
    reason: str = ""
    bridged: Socket | None = None


class Layout(NamedTuple):
    """Every address of a plan.

    ``endpoints`` by replica and port name; ``binds`` is what `me.bind` is; ``stable`` by service
    and port name; ``own_numbers`` by `own_key` holds ports that may differ from the canonical;
    ``told_at`` are the shared addresses by service, ``shared`` their ports by `shared_key`.
    """

    endpoints: Mapping[str, Mapping[str, Endpoint]]
    binds: Mapping[str, str]
    stable: Mapping[str, Mapping[str, Endpoint]]
    own_numbers: Mapping[str, claiming.Allotment]
    told_at: Mapping[str, Sequence[str]]
    shared: Mapping[str, claiming.Allotment]

    def list_kept(self) -> dict[str, int]:
        """Return the port numbers that the next plan is to keep."""
        chosen = {**self.own_numbers, **self.shared}
        return {key: allotment.number for key, allotment in chosen.items()}


def own_key(service: str, port: str) -> str:
    """Return the name under which a port number on own addresses is kept."""
    return f"{service}/{port}"


def shared_key(name: str, port: str, address: str) -> str:
    """Return the name under which a port on an address shared by services is kept."""
    return f"{name}/{port}@{address}"


def list_ports(service: services.Service) -> tuple[services.Port, ...]:
    """Return the service's ports; an external one always has one."""
    if service.ports or not isinstance(service.runs_on, places.External):
        return service.ports
    return (services.Port(name="default", number=service.runs_on.port),)


def find_default(service: services.Service) -> str | None:
    """Return the name of the default port."""
    if service.default_port is not None:
        return service.default_port
    ports = list_ports(service)
    return ports[0].name if ports else None


def list_told(service: services.Service) -> tuple[str, ...]:
    """Return whose addresses callers elsewhere are told: a stable service's own, each replica's."""
    names = service.replica_names()
    if not service.is_stable:
        return names
    return (service.name, *(name for name in names if name != service.name))


def covers(bound: Socket, told: Socket) -> bool:
    """Tell whether a program that binds one socket answers at the other without a forward."""
    return bound == told or (bound[1] == told[1] and claiming.is_wildcard(bound[0]))


def lay_out(
    world: placing.Survey,
    addresses: addressing.Addresses,
    bridges: bridging.Bridges,
    routes: Routes,
    previous: plans.Plan | None,
) -> Layout:
    """Work out every address of the plan.

    Raises:
        PlanError: no spare port is left on an address.
    """
    return _Binder(world, addresses, bridges, routes, previous).bind_all()


class _Binder:
    """Three rounds over the services: sockets that programs insist on, then numbers that may
    differ from the canonical ones, then everything else."""

    def __init__(
        self,
        world: placing.Survey,
        addresses: addressing.Addresses,
        bridges: bridging.Bridges,
        routes: Routes,
        previous: plans.Plan | None,
    ) -> None:
        self._world = world
        self._addresses = addresses
        self._bridges = bridges
        self._routes = routes
        self._kept = dict(previous.ports_kept) if previous is not None else {}
        self._stood = {p.name: p for p in previous.services} if previous is not None else {}
        self._own_numbers: dict[str, claiming.Allotment] = {}
        self._shared: dict[str, claiming.Allotment] = {}
        reached = {(reach.target, reach.address) for reach in world.seen.reached}
        self._told_at = {
            name: self._find_told_at(service, reached) for name, service in world.by_name.items()
        }

    def bind_all(self) -> Layout:
        launched = [s for s in self._world.by_name.values() if placing.is_launched(s)]
        occupancy = claiming.Occupancy(self._world.hosts)
        for service in launched:
            _hold_insisted(occupancy, service, self._world.stands[service.name].host)
        self._own_numbers = occupancy.allot(self._request_own(), self._kept)
        self._shared = occupancy.allot(self._request_shared(), self._kept)
        layout = Layout({}, {}, {}, self._own_numbers, self._told_at, self._shared)
        endpoints: dict[str, Mapping[str, Endpoint]] = {}
        binds: dict[str, str] = {}
        stable: dict[str, Mapping[str, Endpoint]] = {}
        for service in self._world.by_name.values():
            is_launched = placing.is_launched(service)
            default = find_default(service)
            for name in service.replica_names():
                own = self._bind(service, name) if is_launched else self._describe(service, name)
                endpoints[name] = own
                if default is None:
                    binds[name] = self._find_bind(service, name) if is_launched else ""
                elif self._world.stands[service.name].vantage == "outside":
                    binds[name] = ""
                else:
                    binds[name] = own[default].bound[0]
            if service.is_stable and is_launched:
                key = placing.stable_key(service.name)
                stable[service.name] = {
                    port.name: self._bind_own(service, port, key) for port in service.ports
                }
        return layout._replace(endpoints=endpoints, binds=binds, stable=stable)

    def _find_told_at(
        self, service: services.Service, reached: Collection[tuple[str, str]]
    ) -> list[str]:
        """Return the shared addresses at which a service is told, or which it binds already."""
        host = self._world.stands[service.name].host
        shared = {r.shared for r in self._routes.get(service.name, {}).values() if r.shared}
        for name in service.replica_names() if self._stood else ():
            before = self._stood.get(name)
            if before is None or before.host != host:
                continue
            network = self._bridges.networks.get(host)
            is_gateway = network is not None and before.bind == network.gateway
            if is_gateway or (host, before.bind) in reached:
                shared.add(before.bind)
        return sorted(shared)

    def _request_own(self) -> Iterator[claiming.PortRequest]:
        """Ask for a number for each port that may not be bound without privilege, and for those
        of other people's containers, which may be published there already."""
        for service in self._world.by_name.values():
            stand = self._world.stands[service.name]
            first = service.replica_names()[0]
            if stand.vantage != "native" or first not in self._addresses.slots:
                continue
            first_port = self._world.hosts[stand.host].first_port
            is_found = placing.is_found_container(service)
            for port in service.ports:
                if port.number < first_port or is_found:
                    own = self._addresses.own(first)
                    key = own_key(service.name, port.name)
                    yield claiming.PortRequest(key, stand.host, port.protocol, own, port.number)

    def _request_shared(self) -> Iterator[claiming.PortRequest]:
        """Ask for a number for each port on each address that services share."""
        for name, service in self._world.by_name.items():
            host = self._world.stands[name].host
            for address in self._told_at[name]:
                for port in service.ports:
                    if is_everywhere(service, port):
                        continue
                    for subject in list_told(service):
                        key = shared_key(subject, port.name, address)
                        yield claiming.PortRequest(key, host, port.protocol, address, port.number)

    def _find_number(self, service: services.Service, port: services.Port) -> claiming.Allotment:
        allotment = self._own_numbers.get(own_key(service.name, port.name))
        return allotment or claiming.Allotment(port.number)

    def _find_bind(self, service: services.Service, name: str) -> str:
        """Return what a replica without ports would bind."""
        is_native = self._world.stands[service.name].vantage == "native"
        return self._addresses.own(name) if is_native else EVERY_ADDRESS

    def _find_bridged(
        self, service: services.Service, name: str, port: services.Port
    ) -> Socket | None:
        """Return where a native, or a stable service, is told to callers on the bridge."""
        address = self._bridges.find(self._world.stands[service.name].host, name)
        return None if address is None else (address, self._find_number(service, port).number)

    def _bind(self, service: services.Service, name: str) -> dict[str, Endpoint]:
        if self._world.stands[service.name].vantage != "native":
            return {port.name: self._bind_apart(service, name, port) for port in service.ports}
        only = self._find_only(service, name)
        if not only:
            return {port.name: self._bind_own(service, port, name) for port in service.ports}
        return {port.name: self._bind_only(service, name, port, only) for port in service.ports}

    def _bind_apart(self, service: services.Service, name: str, port: services.Port) -> Endpoint:
        """Bind in a container or a namespace: the canonical port is free there."""
        stand = self._world.stands[service.name]
        number = port.number if port.listens is None else port.listens[1]
        inside = port.bind or (EVERY_ADDRESS if port.listens is None else port.listens[0])
        address = self._bridges.find(stand.host, name)
        assert address is not None, "what stands on a bridge has an address there"
        bridged = (address, number)
        reason = "" if number == port.number else f"its program listens on {number}"
        if stand.vantage == "isolated":
            return Endpoint(port, (inside, number), bridged, bridged, reason, bridged)
        told = (self._addresses.own(name), port.number)
        engine = self._world.hosts[stand.host].engine
        # an engine in a virtual machine: its containers are reached where they are published
        target = bridged if engine is None or engine.is_direct else told
        return Endpoint(port, (inside, number), target, told, "", bridged)

    def _describe(self, service: services.Service, name: str) -> dict[str, Endpoint]:
        """Return where an external or attached service is, as declared or found."""
        place = service.runs_on
        default = find_default(service)
        endpoints: dict[str, Endpoint] = {}
        for port in list_ports(service):
            if isinstance(place, places.External):
                at = (place.host, place.port if port.name == default else port.number)
                endpoints[port.name] = Endpoint(port, at, at, at)
                continue
            host = self._world.hosts[self._world.stands[service.name].host]
            bound = _find_bound(service, port, host)
            target = ("127.0.0.1" if claiming.is_wildcard(bound[0]) else bound[0], bound[1])
            told, reason = target, ""
            if placing.is_found_container(service):
                given = self._find_number(service, port)
                told, reason = (self._addresses.own(name), given.number), given.reason
            bridged = self._find_bridged(service, name, port)
            endpoints[port.name] = Endpoint(port, bound, target, told, reason, bridged)
        return endpoints

    def _bind_own(self, service: services.Service, port: services.Port, name: str) -> Endpoint:
        """Bind the replica's own address, or what the program or the author insists on."""
        own = self._addresses.own(name)
        number = self._find_number(service, port)
        if _is_published_everywhere(service, port):
            bound = (EVERY_ADDRESS, number.number)
        else:
            bound = port.listens or (port.bind or own, number.number)
        target = (own if claiming.is_wildcard(bound[0]) else bound[0], bound[1])
        bridged = self._find_bridged(service, name, port)
        return Endpoint(port, bound, target, (own, number.number), number.reason, bridged)

    def _bind_only(
        self, service: services.Service, name: str, port: services.Port, address: str
    ) -> Endpoint:
        """Bind the one address that callers elsewhere are told; callers here are forwarded."""
        number = self._find_number(service, port)
        given = self._shared.get(shared_key(name, port.name, address)) or number
        bound = (address, given.number)
        bridged = self._find_bridged(service, name, port)
        routes = self._routes.get(service.name, {})
        if any(not _is_elsewhere(route) for route in routes.values()):
            told = (self._addresses.own(name), number.number)
            return Endpoint(port, bound, bound, told, number.reason, bridged)
        return Endpoint(port, bound, bound, bound, given.reason, bridged)

    def _find_only(self, service: services.Service, name: str) -> str:
        """Return the one address that all callers are told if it is none of loopback, else "".

        A replica that stands keeps what it binds; callers that come later are forwarded to it.
        """
        bridge = self._bridges.find(self._world.stands[service.name].host, name)
        told_at = (*self._told_at[service.name], *(() if bridge is None else (bridge,)))
        if not told_at or service.is_stable:
            return ""
        if any(port.listens or port.bind or is_everywhere(service, port) for port in service.ports):
            return ""
        host = self._world.stands[service.name].host
        before = self._stood.get(name)
        if before is not None and before.host == host and before.bind:
            return before.bind if before.bind in told_at else ""
        routes = self._routes.get(service.name, {})
        is_only = len(told_at) == 1 and all(map(_is_elsewhere, routes.values()))
        return told_at[0] if is_only else ""


def _hold_insisted(occupancy: claiming.Occupancy, service: services.Service, host: str) -> None:
    """Note the sockets that a program or its author insists on."""
    who = f'"{service.name}"'
    for port in service.ports:
        for socket in (port.listens, port.publish):
            if socket is not None:
                occupancy.hold(host, port.protocol, *socket, who)
        if _is_published_everywhere(service, port):
            occupancy.hold(host, port.protocol, EVERY_ADDRESS, port.number, who)


def _is_elsewhere(route: linking.Route) -> bool:
    """Tell whether callers on a route are told an address that is no loopback one."""
    return bool(route.shared) or route.kind == "bridge"


def _find_bound(service: services.Service, port: services.Port, host: facts.HostFacts) -> Socket:
    """Return what the program of an attached service binds: as declared, else as it is seen."""
    place = service.runs_on
    if isinstance(place, places.Attach) and place.container is not None:
        number = port.number if port.listens is None else port.listens[1]
        return find_container_address(place, host), number
    if port.listens is not None:
        return port.listens
    for one in host.listeners:
        is_it = (one.port, one.protocol) == (port.number, port.protocol)
        if is_it and claiming.is_wildcard(one.address):
            return EVERY_ADDRESS, port.number
    return "127.0.0.1", port.number


def find_container_address(place: places.Attach, host: facts.HostFacts) -> str:
    """Return where a container of others is reached; one that nobody looked for is assumed to be
    published."""
    for found in host.containers:
        if place.container == found.name or (found.id and place.container == found.id):
            return found.address
    for found in host.containers:
        if place.container is not None and found.id.startswith(place.container):
            return found.address
    return "127.0.0.1"


def is_everywhere(service: services.Service, port: services.Port) -> bool:
    """Tell whether the program itself answers on every address of its machine, so that no port
    has to be given on a shared one."""
    if service.is_isolated or not isinstance(service.runs_on, places.Local | places.Ssh):
        return False
    bind = port.listens[0] if port.listens is not None else port.bind
    return _is_published_everywhere(service, port) or (
        bind is not None and claiming.is_wildcard(bind)
    )


def _is_published_everywhere(service: services.Service, port: services.Port) -> bool:
    """Tell whether a port has to be bound on every address though nobody says so.

    Publishing 0.0.0.0:N for a port N leaves no room for a socket of its own beside it.
    """
    publish = port.publish
    return (
        publish is not None
        and port.listens is None
        and port.bind is None
        and claiming.is_wildcard(publish[0])
        and publish[1] == port.number
        and service.replica_names() == (service.name,)
        and isinstance(service.runs_on, places.Local | places.Ssh)
        and not service.is_isolated
        and not service.is_stable
    )
