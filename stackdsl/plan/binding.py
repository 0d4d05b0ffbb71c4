"""What each replica binds, what its callers are told, and the forwards between the two.

Laws: callers on one machine are told the service's own 127.x.y.z; where the program cannot or will
not bind what is told, the node forwards; what a living replica binds is kept from plan to plan.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stackdsl.model import errors, places, plans, services, specs
from stackdsl.plan import addressing, claiming, linking, placing

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - what containers and programs that insist on it bind

Socket = tuple[str, int]
Routes = Mapping[str, Mapping[placing.Stand, linking.Route]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One port of one replica: ``bound`` by the program, ``target`` for whoever speaks to the
    program itself, ``told`` to callers on the same machine, and why told is not canonical."""

    port: services.Port
    bound: Socket
    target: Socket
    told: Socket
    reason: str = ""


@dataclass(slots=True)
class Layout:
    """Every socket of a plan. ``endpoints`` by replica and port name; ``stable`` by service and
    port name; ``shared`` by `shared_key`; ``binds`` what `me.bind` is."""

    endpoints: dict[str, dict[str, Endpoint]] = field(default_factory=dict)
    binds: dict[str, str] = field(default_factory=dict)
    stable: dict[str, dict[str, Endpoint]] = field(default_factory=dict)
    shared: dict[str, claiming.Allotment] = field(default_factory=dict)
    forwards: dict[str, list[specs.Forward]] = field(default_factory=dict)
    claims: list[claiming.Claim] = field(default_factory=list)
    notices: list[plans.Notice] = field(default_factory=list)
    ports_kept: dict[str, int] = field(default_factory=dict)


def stable_key(service: str) -> str:
    """Return the name under which a stable service's own address is kept."""
    return f"{service}*"


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


def lay_out(
    world: placing.Survey,
    addresses: addressing.Addresses,
    routes: Routes,
    previous: plans.Plan | None,
) -> Layout:
    """Work out every socket of the plan.

    Raises:
        PlanError: no spare port is left on an address.
    """
    kept = dict(previous.ports_kept) if previous is not None else {}
    stood = {p.name: p for p in previous.services} if previous is not None else {}
    return _Binder(world, addresses, routes, kept, stood).bind_all()


class _Binder:
    """One pass over the services in order of name, in three rounds: fixed sockets, ports on shared
    addresses, everything else."""

    def __init__(
        self,
        world: placing.Survey,
        addresses: addressing.Addresses,
        routes: Routes,
        kept: Mapping[str, int],
        stood: Mapping[str, plans.PlannedService],
    ) -> None:
        self.world = world
        self.addresses = addresses
        self.routes = routes
        self.kept = kept
        self.stood = stood
        self.layout = Layout()
        self.occupancy = claiming.Occupancy(world.hosts)
        self.own_numbers: dict[str, claiming.Allotment] = {}
        reached = {(reach.target, reach.address) for reach in world.seen.reached}
        self.shared = {
            name: self._list_shared(service, reached) for name, service in world.by_name.items()
        }

    def _list_shared(
        self, service: services.Service, reached: Collection[tuple[str, str]]
    ) -> list[str]:
        """Return the shared addresses at which a service is told, or which it binds already."""
        host = self.world.stands[service.name].host
        shared = {r.shared for r in self.routes.get(service.name, {}).values() if r.shared}
        for name in service.replica_names() if self.stood else ():
            before = self.stood.get(name)
            if before is not None and before.host == host and (host, before.bind) in reached:
                shared.add(before.bind)
        return sorted(shared)

    def bind_all(self) -> Layout:
        launched = [s for s in self.world.by_name.values() if placing.is_launched(s)]
        for service in launched:
            self._hold_insisted(service)
        self.own_numbers = self.occupancy.allot(self._request_own(launched), self.kept)
        self.layout.shared = self.occupancy.allot(self._request_shared(), self.kept)
        for service in self.world.by_name.values():
            if placing.is_launched(service):
                self._bind_launched(service)
            else:
                self._describe_found(service)
            self._forward_shared(service)
        for key, allotment in (*self.own_numbers.items(), *self.layout.shared.items()):
            self.layout.ports_kept[key] = allotment.number
        return self.layout

    # round one: what programs insist on

    def _hold_insisted(self, service: services.Service) -> None:
        host = self.world.stands[service.name].host
        for port in service.ports:
            for socket in (port.listens, port.publish):
                if socket is not None:
                    who = f'"{service.name}"'
                    self.occupancy.hold(host, port.protocol, *socket, who)
            if _insists_on_bind(service, port):
                who = f'"{service.name}"'
                self.occupancy.hold(host, port.protocol, EVERY_ADDRESS, port.number, who)

    # round two: numbers that may differ from the canonical ones

    def _request_own(self, launched: Sequence[services.Service]) -> Iterator[claiming.PortRequest]:
        """Ask for a number for each port that may not be bound without privilege."""
        for service in launched:
            stand = self.world.stands[service.name]
            if stand.vantage != "native":
                continue
            first_port = self.world.hosts[stand.host].first_port
            for port in service.ports:
                if port.number < first_port:
                    own = self.addresses.own(service.replica_names()[0])
                    key = f"{service.name}/{port.name}"
                    yield claiming.PortRequest(key, stand.host, port.protocol, own, port.number)

    def _request_shared(self) -> Iterator[claiming.PortRequest]:
        for name, service in self.world.by_name.items():
            host = self.world.stands[name].host
            for address in self.shared[name]:
                for port in service.ports:
                    if _is_everywhere(service, port):
                        continue
                    for subject in _list_told(service):
                        key = shared_key(subject, port.name, address)
                        yield claiming.PortRequest(key, host, port.protocol, address, port.number)

    def _own_number(self, service: services.Service, port: services.Port) -> claiming.Allotment:
        allotment = self.own_numbers.get(f"{service.name}/{port.name}")
        return allotment or claiming.Allotment(port.number)

    # round three: endpoints and forwards

    def _describe_found(self, service: services.Service) -> None:
        """Note where an external or attached service is, as declared."""
        place = service.runs_on
        default = find_default(service)
        for name in service.replica_names():
            endpoints: dict[str, Endpoint] = {}
            for port in list_ports(service):
                if isinstance(place, places.External):
                    number = place.port if port.name == default else port.number
                    socket = bound = (place.host, number)
                else:
                    bound = port.listens or ("127.0.0.1", port.number)
                    socket = (_speakable(bound[0], "127.0.0.1"), bound[1])
                endpoints[port.name] = Endpoint(port, bound, socket, socket)
                self._publish(service, port, endpoints[port.name])
            self.layout.endpoints[name] = endpoints
            self.layout.binds[name] = "" if default is None else endpoints[default].bound[0]

    def _bind_launched(self, service: services.Service) -> None:
        stand = self.world.stands[service.name]
        for name in service.replica_names():
            own = self.addresses.own(name)
            shared = self._find_only_shared(service, name)
            bind = own if stand.vantage == "native" else EVERY_ADDRESS
            endpoints = {
                port.name: self._bind_port(service, name, port, (own, shared))
                for port in service.ports
            }
            default = find_default(service)
            if default is not None:
                bind = endpoints[default].bound[0]
            self.layout.endpoints[name] = endpoints
            self.layout.binds[name] = bind
        for port in service.ports:
            self._note_low(service, port)
            self._publish_all(service, port)
            if service.is_stable:
                self._bind_stable(service, port)

    def _find_only_shared(self, service: services.Service, name: str) -> str:
        """Return the one address that all callers are told if it is a shared one, else "".

        A replica that stands keeps what it binds; callers that come later are forwarded to it.
        """
        stand = self.world.stands[service.name]
        routes = self.routes.get(service.name, {})
        shared = self.shared[service.name]
        insists = any(
            port.listens or port.bind or _is_everywhere(service, port) for port in service.ports
        )
        if stand.vantage != "native" or service.is_stable or insists or not shared:
            return ""
        before = self.stood.get(name)
        if before is not None and before.host == stand.host and before.bind:
            return before.bind if before.bind in shared else ""
        is_only = len(shared) == 1 and all(route.shared for route in routes.values())
        return shared[0] if is_only else ""

    def _bind_port(
        self, service: services.Service, name: str, port: services.Port, at: tuple[str, str]
    ) -> Endpoint:
        """Work out one port of one replica; ``at`` is its own address and the shared one or ""."""
        own, shared = at
        stand = self.world.stands[service.name]
        number = self._own_number(service, port)
        told = (own, number.number)
        if stand.vantage != "native":
            bound = (EVERY_ADDRESS, port.number)
            if stand.vantage == "container":
                self._claim(stand.host, service, name, (port, told, "binds"))
            return Endpoint(port, bound, told, told)
        if shared:
            given = self.layout.shared[shared_key(name, port.name, shared)]
            bound = (shared, given.number)
            self._claim(stand.host, service, name, (port, bound, "binds"))
            if not self._has_loopback_callers(service.name):
                return Endpoint(port, bound, bound, bound, given.reason)
            endpoint = Endpoint(port, bound, bound, told, number.reason)
        else:
            if _insists_on_bind(service, port):
                bound = (EVERY_ADDRESS, number.number)
            else:
                bound = port.listens or (port.bind or own, number.number)
            self._claim(stand.host, service, name, (port, bound, "binds"))
            target = (_speakable(bound[0], own), bound[1])
            endpoint = Endpoint(port, bound, target, told, number.reason)
        if not _covers(endpoint.bound, told):
            cause = f"{name} binds {_show(endpoint.bound)}, callers are told {_show(told)}"
            self._forward(service, name, told, (endpoint,), cause)
        return endpoint

    def _has_loopback_callers(self, name: str) -> bool:
        return any(not route.shared for route in self.routes.get(name, {}).values())

    def _bind_stable(self, service: services.Service, port: services.Port) -> None:
        """Give the service an address of its own that is passed on to its replicas."""
        number = self._own_number(service, port)
        told = (self.addresses.own(stable_key(service.name)), number.number)
        endpoints = self._endpoints_of(service, port)
        stable = Endpoint(port, told, told, told, number.reason)
        self.layout.stable.setdefault(service.name, {})[port.name] = stable
        cause = f"callers keep one address of {service.name}"
        self._forward(service, service.name, told, endpoints, cause)

    def _forward_shared(self, service: services.Service) -> None:
        """Forward every port that callers elsewhere are told of and that is not bound there."""
        for address in self.shared[service.name]:
            for port in service.ports:
                for subject in _list_told(service):
                    given = self.layout.shared.get(shared_key(subject, port.name, address))
                    if given is None:
                        continue
                    endpoints = self._endpoints_of(service, port)
                    if subject != service.name or not service.is_stable:
                        endpoints = (self.layout.endpoints[subject][port.name],)
                    told = (address, given.number)
                    if not any(_covers(endpoint.bound, told) for endpoint in endpoints):
                        cause = f"callers elsewhere are told {address}"
                        self._forward(service, subject, told, endpoints, cause)

    def _publish_all(self, service: services.Service, port: services.Port) -> None:
        if port.publish is None:
            return
        endpoints = self._endpoints_of(service, port)
        names = service.replica_names()
        subject = names[0] if len(names) == 1 else service.name
        host = self.world.stands[service.name].host
        if claiming.is_wildcard(port.publish[0]):
            self._note_wide(service, port.publish, host)
        if not any(_covers(endpoint.bound, port.publish) for endpoint in endpoints):
            cause = f"{service.name} is published for people"
            self._forward(service, subject, port.publish, endpoints, cause)

    def _publish(self, service: services.Service, port: services.Port, endpoint: Endpoint) -> None:
        """Publish a port of something found; what is outside has no machine to do it on."""
        host = self.world.stands[service.name].host
        if port.publish is None or not host or _covers(endpoint.bound, port.publish):
            return
        if claiming.is_wildcard(port.publish[0]):
            self._note_wide(service, port.publish, host)
        cause = f"{service.name} is published for people"
        self._forward(service, service.name, port.publish, (endpoint,), cause)

    def _endpoints_of(self, service: services.Service, port: services.Port) -> tuple[Endpoint, ...]:
        return tuple(self.layout.endpoints[n][port.name] for n in service.replica_names())

    def _forward(
        self,
        service: services.Service,
        subject: str,
        listen: Socket,
        endpoints: Sequence[Endpoint],
        cause: str,
    ) -> None:
        host = self.world.stands[service.name].host
        port = endpoints[0].port
        forward = specs.Forward(
            subject=subject,
            listen_host=listen[0],
            listen_port=listen[1],
            targets=tuple(endpoint.target for endpoint in endpoints),
            protocol=port.protocol,
            cause=cause,
        )
        self.layout.forwards.setdefault(host, []).append(forward)
        self._claim(host, service, subject, (port, listen, "is forwarded at"))

    def _claim(
        self,
        host: str,
        service: services.Service,
        subject: str,
        what: tuple[services.Port, Socket, str],
    ) -> None:
        port, (address, number), deed = what
        self.layout.claims.append(
            claiming.Claim(host, port.protocol, address, number, subject, service, deed)
        )

    def _note_low(self, service: services.Service, port: services.Port) -> None:
        number = self._own_number(service, port)
        if number.number == port.number:
            return
        self.layout.notices.append(
            plans.Notice(
                code="plan.port-changed",
                what=f'"{service.name}" gets port {number.number} in place of {port.number}',
                where=str(service.where),
                why=number.reason,
                do=f"nothing, if programs read their port from me.port or $PORT; or allow it:"
                f" sysctl net.ipv4.ip_unprivileged_port_start={port.number}",
            )
        )

    def _note_wide(self, service: services.Service, publish: Socket, host: str) -> None:
        self.layout.notices.append(
            plans.Notice(
                code="plan.published-widely",
                what=f'"{service.name}" is published at {_show(publish)}: whoever reaches'
                f" {host} reaches it",
                where=str(service.where),
                why="publish names every address of the machine",
                do=f"write publish={publish[1]} to publish it on 127.0.0.1 only",
            )
        )


def find_unbindable(world: placing.Survey) -> list[errors.StackError]:
    """Return an error for each published or insisted-on port that needs privilege we lack."""
    wrong: list[errors.StackError] = []
    for service in world.by_name.values():
        host = world.hosts.get(world.stands[service.name].host)
        if host is None or not placing.is_launched(service):
            continue
        for port in service.ports:
            for keyword, socket in (("publish", port.publish), ("listens", port.listens)):
                if socket is None or socket[1] >= host.first_port:
                    continue
                wrong.append(_report_unbindable(service, keyword, socket, host.first_port))
    return wrong


def _report_unbindable(
    service: services.Service, keyword: str, socket: Socket, first_port: int
) -> errors.StackError:
    return errors.PlanError(
        "plan.port-privileged",
        f'cannot give "{service.name}" {keyword}="{_show(socket)}":'
        f" ports below {first_port} need privilege here",
        where=str(service.where),
        why=f"net.ipv4.ip_unprivileged_port_start is {first_port} and this is not root",
        do=f"take a port from {first_port} on, or run as root",
    )


def _insists_on_bind(service: services.Service, port: services.Port) -> bool:
    """Tell whether the port has to be bound on every address though nobody says so.

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
        and not isinstance(service.runs_on, places.Docker)
        and not service.is_isolated
    )


def _is_everywhere(service: services.Service, port: services.Port) -> bool:
    """Tell whether the program itself answers on every address of its machine, so that no port
    has to be given on a shared one."""
    if not placing.is_launched(service) or isinstance(service.runs_on, places.Docker):
        return False
    bind = port.listens[0] if port.listens is not None else port.bind
    return _insists_on_bind(service, port) or (bind is not None and claiming.is_wildcard(bind))


def _list_told(service: services.Service) -> tuple[str, ...]:
    """Return whose addresses callers elsewhere are told: the stable one's, and each replica's."""
    names = service.replica_names()
    if not service.is_stable:
        return names
    return (service.name, *(name for name in names if name != service.name))


def _covers(bound: Socket, told: Socket) -> bool:
    return bound == told or (bound[1] == told[1] and claiming.is_wildcard(bound[0]))


def _speakable(address: str, own: str) -> str:
    return own if claiming.is_wildcard(address) else address


def _show(socket: Socket) -> str:
    return f"{socket[0]}:{socket[1]}"
