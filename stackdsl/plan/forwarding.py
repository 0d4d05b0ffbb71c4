"""The forwards between what callers are told and what programs bind, and every socket claimed."""

from collections.abc import Sequence

from stackdsl.model import errors, services, specs
from stackdsl.plan import binding, claiming, placing


class Forwarder:
    """Collects ``forwards`` by host and ``claims``, service by service in order of name."""

    def __init__(
        self, world: placing.Survey, layout: binding.Layout, routes: binding.Routes
    ) -> None:
        self.forwards: dict[str, list[specs.Forward]] = {}
        self.claims: list[claiming.Claim] = []
        self._world = world
        self._layout = layout
        self._routes = routes

    def forward_all(self) -> None:
        """Collect everything."""
        for service in self._world.by_name.values():
            if self._world.stands[service.name].vantage == "outside":
                continue
            if placing.is_launched(service):
                self._claim_bound(service)
            if placing.is_launched(service) or placing.is_found_container(service):
                self._forward_own(service)
            self._forward_bridged(service)
            self._forward_shared(service)
            self._forward_through(service)
            for port in service.ports:
                self._publish(service, port)

    def collect(self) -> tuple[tuple[str, tuple[specs.Forward, ...]], ...]:
        """Return the forwards of each host, in order."""
        return tuple(
            (host, tuple(sorted(forwards, key=lambda forward: forward.id)))
            for host, forwards in sorted(self.forwards.items())
        )

    def _claim_bound(self, service: services.Service) -> None:
        """Claim what programs bind; of a container, where its engine publishes it."""
        vantage = self._world.stands[service.name].vantage
        for name in service.replica_names():
            for endpoint in self._layout.endpoints[name].values():
                if vantage == "native":
                    self._claim(service, name, endpoint.port, (endpoint.bound, "binds"))
                elif vantage == "container" and not is_covered(endpoint):
                    self._claim(service, name, endpoint.port, (endpoint.told, "is published at"))

    def _forward_own(self, service: services.Service) -> None:
        """Forward own addresses that the program does not bind, and the stable one."""
        is_native = self._world.stands[service.name].vantage == "native"
        for name in service.replica_names() if is_native else ():
            for endpoint in self._layout.endpoints[name].values():
                if not binding.covers(endpoint.bound, endpoint.told):
                    bound = f"{endpoint.bound[0]}:{endpoint.bound[1]}"
                    cause = f"{name} binds {bound}, callers here are told its own address"
                    self._forward(service, name, endpoint.told, (endpoint,), cause)
        for endpoint in self._layout.stable.get(service.name, {}).values():
            replicas = self._list_endpoints(service, endpoint.port)
            cause = f"callers keep one address of {service.name}"
            self._forward(service, service.name, endpoint.told, replicas, cause)

    def _forward_bridged(self, service: services.Service) -> None:
        """Forward what callers on the bridge are told of a program that does not stand there."""
        is_native = self._world.stands[service.name].vantage == "native"
        for name in service.replica_names() if is_native else ():
            for endpoint in self._layout.endpoints[name].values():
                listen = endpoint.bridged
                if listen is not None and not binding.covers(endpoint.bound, listen):
                    bound = f"{endpoint.bound[0]}:{endpoint.bound[1]}"
                    cause = (
                        f"{name} binds {bound}, callers on the bridge are told its address there"
                    )
                    self._forward(service, name, listen, (endpoint,), cause)
        for endpoint in self._layout.stable.get(service.name, {}).values():
            if endpoint.bridged is not None:
                replicas = self._list_endpoints(service, endpoint.port)
                cause = f"callers on the bridge keep one address of {service.name}"
                self._forward(service, service.name, endpoint.bridged, replicas, cause)

    def _forward_shared(self, service: services.Service) -> None:
        """Forward every port that callers elsewhere are told of and that is not bound there."""
        for address in self._layout.told_at[service.name]:
            for port in service.ports:
                for subject in binding.list_told(service):
                    key = binding.shared_key(subject, port.name, address)
                    given = self._layout.shared.get(key)
                    if given is None:
                        continue
                    if service.is_stable and subject == service.name:
                        endpoints = self._list_endpoints(service, port)
                    else:
                        endpoints = (self._layout.endpoints[subject][port.name],)
                    cause = f"callers elsewhere are told {address}"
                    told = (address, given.number)
                    self._forward_uncovered(service, subject, told, endpoints, cause)

    def _forward_through(self, service: services.Service) -> None:
        """Listen on the machines of callers that come through the controller, and here for people:
        what is shown of a service must be what they can connect to."""
        home, vantage = self._world.stands[service.name]
        found = self._routes.get(service.name, {}).items()
        hosts = {caller.host for caller, route in found if route.kind == "tunnel"}
        if home != placing.LOCAL and vantage == "native" and placing.is_launched(service):
            hosts.add(placing.LOCAL)
        for host in sorted(hosts):
            for name in service.replica_names():
                for endpoint in self._layout.endpoints[name].values():
                    self._tunnel(service, name, (host, home), (endpoint,), endpoint.told)
            for endpoint in self._layout.stable.get(service.name, {}).values():
                replicas = self._list_endpoints(service, endpoint.port)
                self._tunnel(service, service.name, (host, home), replicas, endpoint.told)

    def _tunnel(
        self,
        service: services.Service,
        subject: str,
        between: tuple[str, str],
        endpoints: Sequence[binding.Endpoint],
        listen: binding.Socket,
    ) -> None:
        host, home = between
        port = endpoints[0].port
        here = self._world.hosts.get(host)
        is_allowed = here is None or listen[1] >= here.first_port
        if port.protocol != "tcp" or not listen[0].startswith("127.") or not is_allowed:
            return  # callers elsewhere are told an address that needs nobody in between
        forward = specs.Forward(
            subject=subject,
            listen_host=listen[0],
            listen_port=listen[1],
            targets=tuple(endpoint.target for endpoint in endpoints),
            cause=f"callers on {host} reach {subject} on {home} over SSH",
            via=home,
        )
        self.forwards.setdefault(host, []).append(forward)
        deed = "is reached at"
        self.claims.append(claiming.Claim(host, port.protocol, *listen, subject, service, deed))

    def _publish(self, service: services.Service, port: services.Port) -> None:
        if port.publish is not None:
            names = service.replica_names()
            subject = names[0] if len(names) == 1 else service.name
            endpoints = self._list_endpoints(service, port)
            if self._world.stands[service.name].vantage == "container":
                self._claim(service, subject, port, (port.publish, "is published at"))
                return
            cause = f"{service.name} is published for people"
            self._forward_uncovered(service, subject, port.publish, endpoints, cause)

    def _forward_uncovered(
        self,
        service: services.Service,
        subject: str,
        listen: binding.Socket,
        endpoints: Sequence[binding.Endpoint],
        cause: str,
    ) -> None:
        is_native = self._world.stands[service.name].vantage == "native"
        covered = (binding.covers(endpoint.bound, listen) for endpoint in endpoints)
        if not (is_native and any(covered)):
            self._forward(service, subject, listen, endpoints, cause)

    def _list_endpoints(
        self, service: services.Service, port: services.Port
    ) -> tuple[binding.Endpoint, ...]:
        return tuple(self._layout.endpoints[n][port.name] for n in service.replica_names())

    def _forward(
        self,
        service: services.Service,
        subject: str,
        listen: binding.Socket,
        endpoints: Sequence[binding.Endpoint],
        cause: str,
    ) -> None:
        host = self._world.stands[service.name].host
        port = endpoints[0].port
        forward = specs.Forward(
            subject=subject,
            listen_host=listen[0],
            listen_port=listen[1],
            targets=tuple(endpoint.target for endpoint in endpoints),
            protocol=port.protocol,
            cause=cause,
        )
        self.forwards.setdefault(host, []).append(forward)
        self._claim(service, subject, port, (listen, "is reached at"))

    def _claim(
        self,
        service: services.Service,
        subject: str,
        port: services.Port,
        what: tuple[binding.Socket, str],
    ) -> None:
        (address, number), deed = what
        host = self._world.stands[service.name].host
        self.claims.append(
            claiming.Claim(host, port.protocol, address, number, subject, service, deed)
        )


def is_covered(endpoint: binding.Endpoint) -> bool:
    """Tell whether what a container's port is published at for people is told to natives too."""
    publish = endpoint.port.publish
    return publish is not None and binding.covers(publish, endpoint.told)


def find_unbindable(world: placing.Survey) -> list[errors.StackError]:
    """Return an error for each published or insisted-on port that needs privilege we lack; none
    where no host was looked at, since another one may allow it."""
    wrong: list[errors.StackError] = []
    if world.seen.is_offline:
        return wrong
    for service in world.by_name.values():
        stand = world.stands[service.name]
        host = world.hosts.get(stand.host)
        if host is None or stand.vantage not in {"native", "isolated"}:
            continue
        is_launched = placing.is_launched(service)
        for port in service.ports:
            listens = port.listens if is_launched and stand.vantage == "native" else None
            for keyword, socket in (("publish", port.publish), ("listens", listens)):
                if socket is not None and socket[1] < host.first_port:
                    wrong.append(_report_unbindable(service, keyword, socket, host.first_port))
    return wrong


def _report_unbindable(
    service: services.Service, keyword: str, socket: binding.Socket, first_port: int
) -> errors.StackError:
    return errors.PlanError(
        "plan.port-privileged",
        f'cannot give "{service.name}" {keyword}="{socket[0]}:{socket[1]}":'
        f" ports below {first_port} need privilege here",
        where=str(service.where),
        why=f"net.ipv4.ip_unprivileged_port_start is {first_port} and this is not root",
        do=f"take a port from {first_port} on, or run as root",
    )
