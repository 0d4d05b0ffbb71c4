"""States of services, tasks, hosts, links and runs, and the status that people ask for."""

from typing import Literal

from stackdsl.model.data import dataclass

State = Literal[
    "waiting", "starting", "ready", "unready", "restarting", "running",
    "completed", "failed", "stopping", "stopped",
]  # fmt: skip
RunState = Literal["starting", "ready", "degraded", "stopping", "stopped", "failed"]

ENDED: frozenset[str] = frozenset({"completed", "failed", "stopped"})
ALIVE: frozenset[str] = frozenset(
    {"starting", "ready", "unready", "restarting", "running", "stopping"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """One replica now. ``since`` is RFC 3339 UTC. ``exit_code`` is 128+N for signals, None if it
    cannot be known or there was no exit. ``addresses`` are "host:port" as told on its own
    machine, by port name."""

    name: str
    kind: Literal["service", "task"]
    service: str
    index: int
    state: State
    host: str
    target: str
    pid: int | None = None
    container: str | None = None
    addresses: tuple[tuple[str, str], ...] = ()
    restarts: int = 0
    since: str = ""
    exit_code: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """A machine of the run now."""

    name: str
    state: Literal["connected", "lost"]
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatus:
    """A link now: ``up`` while its callee can be called."""

    source: str
    target: str
    port: str
    kind: str
    address: str
    state: Literal["up", "down", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """A run now. ``seq`` is the number of the last event that is in it."""

    run: str
    stack: str
    state: RunState
    since: str
    services: tuple[ServiceStatus, ...] = ()
    hosts: tuple[HostStatus, ...] = ()
    links: tuple[LinkStatus, ...] = ()
    seq: int = 0
