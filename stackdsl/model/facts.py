"""Facts: what was seen on hosts before planning. The planner's only knowledge of the world."""

from typing import Literal

from stackdsl.model.data import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A socket that someone listens on (TCP) or has bound (UDP)."""

    address: str
    port: int
    protocol: Literal["tcp", "udp"] = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """One host. ``addresses`` are its IPv4 addresses without loopback. ``first_port`` is the first
    port that may be bound without privilege (0 where everything may be). ``programs`` are those
    that were asked for and found, by the name asked. ``users`` likewise."""

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
    engine: str | None = None
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
