"""A checked topology as data: sites with their uplinks, hosts, and where the controller stands."""

from typing import Any, Literal

from stackdsl.model.data import dataclass

CONTROLLER = "controller"
Nat = Literal["preserving", "symmetric"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A LAN behind a router with one uplink to the internet.

    ``nat`` None: its addresses are public and routed. ``delay_s`` and ``jitter_s`` hold for each
    direction, and so do ``loss`` (0 to 1) and ``rate_bps``.
    """

    name: str
    nat: Nat | None = None
    block_udp: bool = False
    subnet: str | None = None
    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    rate_bps: float | None = None

    @property
    def is_shaped(self) -> bool:
        """Whether its uplink is anything but ideal."""
        return bool(self.delay_s or self.jitter_s or self.loss or self.rate_bps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A machine of a site; ``disk_bytes`` None: as large as the lab has room."""

    name: str
    site: str
    user: str = "root"
    sudo: bool = True
    docker: bool = False
    tun: bool = True
    disk_bytes: int | None = None
    python: bool = True
    powered: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Sites and hosts in the order of the author's file; the controller is the first host."""

    name: str
    sites: tuple[Site, ...]
    hosts: tuple[Host, ...]
    file: str | None = None

    def site(self, name: str) -> Site:
        """Return a site that is known to be there."""
        return next(one for one in self.sites if one.name == name)

    def host(self, name: str) -> Host:
        """Return a host that is known to be there."""
        return next(one for one in self.hosts if one.name == name)

    @property
    def controller(self) -> Host:
        """The host that runs are controlled from."""
        return self.host(CONTROLLER)


def to_json(topology: Topology) -> dict[str, Any]:
    """Return a topology as JSON-able data."""
    import dataclasses  # the processes of a lab only read

    return dataclasses.asdict(topology)


def from_json(data: dict[str, Any]) -> Topology:
    """Return the topology that `to_json` made ``data`` of."""
    return Topology(
        name=data["name"],
        file=data["file"],
        sites=tuple(Site(**one) for one in data["sites"]),
        hosts=tuple(Host(**one) for one in data["hosts"]),
    )
