"""Facts: what was seen on hosts before planning. The planner's only knowledge of the world."""

from typing import Literal

from stackdsl.model.data import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A socket that someone listens on (TCP) or has bound (UDP). ``owner`` is the other run of ours
    that it is of, if it is of one and somebody wanted to know."""

    address: str
    port: int
    protocol: Literal["tcp", "udp"] = "tcp"
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The Docker engine that a host's containers run on. ``endpoint`` is its address (a URL),
    ``problem`` why it cannot be used ("": it can) and ``do`` what to do then. ``is_direct``:
    processes of the host reach the addresses of its containers."""

    endpoint: str
    version: str = ""
    api: str = ""
    problem: str = ""
    do: str = ""
    is_direct: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundContainer:
    """A container that was asked for. ``address`` is the one at which the host reaches it."""

    name: str
    id: str = ""
    address: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """One host. ``addresses`` are its IPv4 addresses without loopback. ``first_port`` is the first
    port that may be bound without privilege (0 where everything may be). ``programs`` are those
    that were asked for and found, by the name asked. ``users`` likewise. ``engine`` is None where
    nobody asked. ``subnets`` (CIDR) are those of its routes and of the engine's networks, those of
    the run itself left out. ``can_network``: interfaces, addresses and namespaces may be made.
    ``images_missing`` are (reference, why and on the next line what to do). ``builds`` are
    (context, fingerprint) of contexts that were asked for. ``containers`` are those that were asked
    for and found. ``folder`` is the run's
    there, where that is another than here. ``meeting_port`` is where it answers others for a while,
    ``met`` the (host, address) of those that it reached."""

    name: str
    kind: Literal["local", "ssh"] = "local"
    addresses: tuple[str, ...] = ()
    listeners: tuple[Listener, ...] = ()
    first_port: int = 1024
    is_root: bool = False
    has_cgroup: bool = False
    has_memory_limit: bool = False
    has_cpu_limit: bool = False
    programs_missing: tuple[str, ...] = ()
    users_missing: tuple[str, ...] = ()
    engine: Engine | None = None
    subnets: tuple[str, ...] = ()
    can_network: bool = False
    images_missing: tuple[tuple[str, str], ...] = ()
    builds: tuple[tuple[str, str], ...] = ()
    containers: tuple[FoundContainer, ...] = ()
    folder: str = ""
    meeting_port: int = 0
    met: tuple[tuple[str, str], ...] = ()
    python: str = ""
    kernel: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """``source`` reached ``target`` at ``address``, proved with a nonce."""

    source: str
    target: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All hosts, who reached whom, and the loopback blocks that other runs hold here.

    ``blocks_taken`` are (first, last) of 32-bit addresses.
    """

    hosts: tuple[HostFacts, ...] = (HostFacts(name="local"),)
    reached: tuple[Reach, ...] = ()
    blocks_taken: tuple[tuple[int, int], ...] = ()
    is_offline: bool = False

    def host(self, name: str) -> HostFacts | None:
        """Return the facts of one host."""
        for host in self.hosts:
            if host.name == name:
                return host
        return None
