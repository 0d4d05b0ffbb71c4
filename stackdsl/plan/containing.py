"""What makes a replica a container or an isolated process: its place on the bridge, the names that
it resolves, what is published and mounted."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from stackdsl.model import places, services, specs
from stackdsl.plan import binding, bridging, forwarding, imaging, placing, referring

INSIDE = "/stackdsl"

Hosts = tuple[tuple[str, str], ...]


class Told(NamedTuple):
    """A callee, and what is told of it."""

    service: services.Service
    rows: tuple[referring.Row, ...]


class Containing:
    """Makes the containers and namespaces of one plan."""

    def __init__(
        self,
        world: placing.Survey,
        layout: binding.Layout,
        bridges: bridging.Bridges,
        run: str,
        folder: str,
    ) -> None:
        self._world = world
        self._layout = layout
        self._bridges = bridges
        self._run = run
        self._folder = folder
        self._fingerprints: Mapping[str, Mapping[str, str]] = {
            name: dict(host.builds) for name, host in world.hosts.items()
        }

    def make_container(
        self, service: services.Service, name: str, told: Iterable[Told]
    ) -> specs.Container:
        """Return what makes a replica a container."""
        place = service.runs_on
        assert isinstance(place, places.Docker)
        host = self._world.stands[service.name].host
        return specs.Container(
            name=bridging.make_name(self._run, name, bridging.make_mark(self._folder, 6)),
            image=imaging.make_image(place, self._fingerprints.get(host, {})),
            network=self._bridges.networks[host].name,
            address=self._bridges.find(host, name) or "",
            aliases=_list_aliases(service, name),
            hosts=self._list_hosts(told, has_names=True),
            publishes=self._list_publishes(name),
            mounts=tuple(self._make_mount(volume) for volume in service.volumes),
            dir=INSIDE,
            init=place.init,
            options=place.options,
        )

    def make_namespace(
        self, service: services.Service, name: str, told: Iterable[Told]
    ) -> specs.Namespace:
        """Return what makes a replica isolated."""
        host = self._world.stands[service.name].host
        network = self._bridges.networks[host]
        address = self._bridges.find(host, name) or ""
        own = tuple((alias, address) for alias in _list_aliases(service, name))
        return specs.Namespace(
            bridge=network.bridge,
            address=address,
            prefix=int(network.subnet.rpartition("/")[2]),
            gateway=network.gateway,
            hosts=tuple(dict.fromkeys((*own, *self._list_hosts(told, has_names=False)))),
        )

    def _list_publishes(self, name: str) -> tuple[specs.Publish, ...]:
        published: list[specs.Publish] = []
        for endpoint in self._layout.endpoints[name].values():
            port, inside = endpoint.port, endpoint.bound[1]
            sockets = [] if forwarding.is_covered(endpoint) else [endpoint.told]
            sockets += [port.publish] if port.publish is not None else []
            published.extend(
                specs.Publish(host=host, port=number, target=inside, protocol=port.protocol)
                for host, number in sockets
            )
        return tuple(published)

    def _make_mount(self, volume: services.Volume) -> specs.Mount:
        source = volume.source
        if volume.kind == "named":
            source = bridging.make_name("stackdsl", self._run, source)
        return specs.Mount(
            kind=volume.kind, source=source, path=volume.path, is_read_only=volume.is_read_only
        )

    def _list_hosts(self, told: Iterable[Told], *, has_names: bool) -> Hosts:
        """Return the names of callees that are reached at their canonical ports on the bridge.

        ``has_names``: the engine resolves names of containers that several replicas share.
        """
        found: dict[tuple[str, str], None] = {}
        for service, rows in told:
            canonical = {port.name: port.number for port in service.ports}
            is_named = has_names and self._world.stands[service.name].vantage == "container"
            by_target: dict[str, list[referring.Row]] = {}
            for row in rows:
                by_target.setdefault(row.target, []).append(row)
            is_one = service.name in by_target
            for target, own in by_target.items():
                is_bridge = all(row.kind == "bridge" for row in own)
                if not is_bridge or any(row.number != canonical.get(row.port) for row in own):
                    continue
                names = [target]
                is_shared = not is_one and not is_named
                if is_shared and (not has_names or service.name not in {n for n, _ in found}):
                    names.append(service.name)  # an engine gives each name one address
                for alias in bridging.list_names(names):
                    found[alias, own[0].host] = None
        return tuple(found)


def _list_aliases(service: services.Service, name: str) -> tuple[str, ...]:
    """Return the names of a replica on its network. That of a stable service is its one address's,
    which its callers are told."""
    if not service.is_stable:
        return bridging.list_names([service.name, name])
    return bridging.list_names([name]) if name != service.name else ()
