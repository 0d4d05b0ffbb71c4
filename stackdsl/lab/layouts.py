"""Addresses, interfaces and SSH ports of a topology: which host has which, and who reaches whom.

Laws: no I/O; the same topology gets the same layout. Every number comes from the order in the file.
"""

import ipaddress
from collections.abc import Mapping

from stackdsl.lab import topologies
from stackdsl.model.data import dataclass, field

# Addresses of the amateurs' packet radio: global ones to any program that asks, so that public
# sites look public. Nothing of the lab ever meets the real owners: no packet can leave.
PUBLIC = "44.128.0.0/16"
UPLINKS = "44.129.0.0/16"
FIRST_SSH_PORT = 22001
MAX_SITES = 250
_FIRST_HOST = 10
_CONTROLLER_AT = 2
_UPLINKS_PER_SITE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteNet:
    """A site's net: ``lan`` with the router at ``gateway``; its uplink's two ends; ``port`` is its
    interface at the internet's side, ``namespace`` the router's network namespace."""

    number: int
    site: topologies.Site
    lan: str
    gateway: str
    wan: str
    exchange: str
    port: str
    namespace: str

    @property
    def prefix(self) -> int:
        """The LAN's prefix length."""
        return int(self.lan.partition("/")[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class HostNet:
    """A host's place in its site: ``port`` is its interface at the LAN's switch; ``ssh`` is where
    the controller reaches its sshd."""

    host: topologies.Host
    address: str
    public: str
    mac: str
    port: str
    namespace: str
    ssh: tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """What has moved since the beginning: hosts' addresses, and how often a site's uplink got
    another."""

    hosts: Mapping[str, str] = field(default_factory=dict)
    uplinks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The nets of all sites and hosts, in the order of the file."""

    topology: topologies.Topology
    sites: tuple[SiteNet, ...]
    hosts: tuple[HostNet, ...]

    def site(self, name: str) -> SiteNet:
        """Return the net of a site that is known to be there."""
        return next(one for one in self.sites if one.site.name == name)

    def host(self, name: str) -> HostNet:
        """Return the net of a host that is known to be there."""
        return next(one for one in self.hosts if one.host.name == name)

    def of_site(self, name: str) -> tuple[HostNet, ...]:
        """Return the nets of a site's hosts."""
        return tuple(one for one in self.hosts if one.host.site == name)

    @property
    def controller(self) -> HostNet:
        """The controller's net."""
        return self.host(topologies.CONTROLLER)


_UNMOVED = Moves()


def lay_out(topology: topologies.Topology, moves: Moves = _UNMOVED) -> Layout:
    """Return the layout of a checked topology."""
    sites = {
        site.name: _lay_out_site(number, site, moves.uplinks.get(site.name, 0))
        for number, site in enumerate(topology.sites, start=1)
    }
    counts = dict.fromkeys(sites, _FIRST_HOST)
    controller = topology.controller.site
    hosts = []
    for number, host in enumerate(topology.hosts):
        net = sites[host.site]
        offset = _CONTROLLER_AT
        if host.name != topologies.CONTROLLER:
            offset = counts[host.site]
            counts[host.site] += 1
        address = moves.hosts.get(host.name) or pick_address(net.lan, offset)
        public = net.wan if net.site.nat else address
        hosts.append(
            HostNet(
                host=host,
                address=address,
                public=public,
                mac=f"02:6c:61:62:{number >> 8:02x}:{number & 255:02x}",
                port=_shorten("p", host.name, number),
                namespace=f"host-{number}",
                ssh=(address, 22)
                if host.site == controller or not net.site.nat
                else (public, FIRST_SSH_PORT + number - 1),
            )
        )
    return Layout(topology=topology, sites=tuple(sites.values()), hosts=tuple(hosts))


def _lay_out_site(number: int, site: topologies.Site, moved: int) -> SiteNet:
    lan = site.subnet or f"{'192.168' if site.nat else '44.128'}.{number}.0/24"
    first = int(ipaddress.ip_address("44.129.0.0")) + number * 256 + moved % _UPLINKS_PER_SITE * 4
    return SiteNet(
        number=number,
        site=site,
        lan=lan,
        gateway=pick_address(lan, 1),
        exchange=str(ipaddress.ip_address(first + 1)),
        wan=str(ipaddress.ip_address(first + 2)),
        port=_shorten("s", site.name, number),
        namespace=f"site-{number}",
    )


def pick_address(subnet: str, offset: int) -> str:
    """Return the address at an offset; in a small subnet, hosts stand closer together."""
    network = ipaddress.ip_network(subnet)
    if network.num_addresses <= 64 and offset >= _FIRST_HOST:
        offset -= _FIRST_HOST - _CONTROLLER_AT - 1
    return str(network[offset])


def count_room(subnet: str) -> int:
    """Return how many hosts, the controller apart, a subnet has addresses for."""
    size = ipaddress.ip_network(subnet).num_addresses
    return size - 1 - (_CONTROLLER_AT + 1 if size <= 64 else _FIRST_HOST)


def _shorten(letter: str, name: str, number: int) -> str:
    """Return an interface's name: the kernel takes 15 characters. Source: linux/if.h."""
    return f"{letter}-{name}" if len(name) <= 13 else f"{letter}-{number}"


def find_address(layout: Layout, name: str, *, seen_from: str) -> str:
    """Return the address under which hosts of a site know a host: its own one within the site,
    else its public one or its router's."""
    net = layout.host(name)
    return net.address if net.host.site == seen_from else net.public


def hosts_file(layout: Layout, name: str) -> str:
    """Return a host's /etc/hosts: every name of the lab. Source: hosts(5)."""
    own = layout.host(name)
    rows = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    for net in layout.hosts:
        address = find_address(layout, net.host.name, seen_from=own.host.site)
        rows.append(f"{address} {net.host.name}")
    return "\n".join(rows) + "\n"
