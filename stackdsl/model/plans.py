"""Plans: services with their addresses, links with their reasons, steps with their causes."""

from typing import ClassVar, Literal

from stackdsl.model import requests, services, specs
from stackdsl.model.data import dataclass

# A node's word, planned with here.
Observed = requests.Observed

Vantage = Literal["native", "container", "isolated", "outside"]
LinkKind = Literal["loopback", "bridge", "lan", "wireguard", "tunnel", "external"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedHost:
    """A machine of the plan and the addresses that the run uses on it."""

    name: str
    kind: Literal["local", "ssh"]
    lan: str | None = None
    mesh: str | None = None
    bridge: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedNeed:
    """An edge of order between replicas' owners: a service's or task's name and the condition."""

    name: str
    condition: services.Condition
    is_addressed: bool = False
    is_parameter: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPort:
    """A port as declared, and where callers that stand on the same machine find it.

    ``bound_host`` and ``bound_port`` are the socket that the program itself binds,
    ``target_host`` and ``target_port`` the one at which the machine reaches the program, with no
    forward between.
    """

    name: str
    port: int
    scheme: str | None
    protocol: Literal["tcp", "udp"]
    host: str
    told_port: int
    bound_host: str = ""
    bound_port: int = 0
    target_host: str = ""
    target_port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedService:
    """One replica. ``command`` is None when the body waits for tasks in ``after`` (or when the
    place needs none); ``spec`` is None for external ones and while ``command`` is waited for.
    ``digest`` tells whether what runs is still what is wanted. ``host`` is "" for external ones.
    ``dir`` is `me.dir`, ``folder`` the same folder as its machine knows it. ``vantage`` is how it
    stands on its machine; ``container`` or ``namespace`` what makes it stand so."""

    name: str
    kind: services.Kind
    service: str
    index: int
    host: str
    target: str
    needs: tuple[PlannedNeed, ...]
    ports: tuple[PlannedPort, ...]
    bind: str
    env: tuple[tuple[str, str | None], ...]
    command: tuple[str, ...] | None
    after: tuple[str, ...] = ()
    stage: int = 0
    spec: specs.ServiceSpec | None = None
    checks: tuple[specs.Check, ...] = ()
    digest: str = ""
    restart_with: tuple[str, ...] = ()
    where: str = ""
    secrets: tuple[str, ...] = ()
    dir: str = ""
    start_timeout_s: float = 30.0
    folder: str = ""
    vantage: Vantage = "native"
    container: specs.Container | None = None
    namespace: specs.Namespace | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What one caller is told of one port of one callee, and why."""

    source: str
    target: str
    port: str
    kind: LinkKind
    address: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartService:
    """Exec the program (or take hold of it); done when exec succeeded."""

    id: str
    subject: str
    needs: tuple[str, ...]
    cause: str
    kind: ClassVar[str] = "start"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitReady:
    """Done when every readiness probe of the replica succeeded."""

    id: str
    subject: str
    needs: tuple[str, ...]
    cause: str
    kind: ClassVar[str] = "ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitCompleted:
    """Done when the service ended by itself with exit code 0."""

    id: str
    subject: str
    needs: tuple[str, ...]
    cause: str
    kind: ClassVar[str] = "completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTask:
    """Run a task to its end; done when it exited 0 or was already done."""

    id: str
    subject: str
    needs: tuple[str, ...]
    cause: str
    kind: ClassVar[str] = "task"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopService:
    """Stop everything that the replica started; done when all of it is gone."""

    id: str
    subject: str
    needs: tuple[str, ...]
    cause: str
    kind: ClassVar[str] = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetForwards:
    """Make a host's forwards the given set; ``subject`` is the host."""

    id: str
    subject: str
    needs: tuple[str, ...]
    cause: str
    forwards: tuple[specs.Forward, ...]
    kind: ClassVar[str] = "forward"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeExternal:
    """Try an external address from the host of its callers; done when it answered."""

    id: str
    subject: str
    needs: tuple[str, ...]
    cause: str
    host: str
    checks: tuple[specs.Check, ...]
    timeout_s: float
    kind: ClassVar[str] = "probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareImage:
    """Have an image in the engine of a host: there already, pulled or built; ``subject`` is its
    reference."""

    id: str
    subject: str
    needs: tuple[str, ...]
    cause: str
    host: str
    image: specs.Image
    kind: ClassVar[str] = "image"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetNetwork:
    """Make the run's bridge on a host as given; ``subject`` is the host."""

    id: str
    subject: str
    needs: tuple[str, ...]
    cause: str
    network: specs.Network
    kind: ClassVar[str] = "network"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProveLinks:
    """Try the links of a caller by a packet from where it will be; ``subject`` is the caller."""

    id: str
    subject: str
    needs: tuple[str, ...]
    cause: str
    host: str
    edges: tuple[specs.Edge, ...]
    kind: ClassVar[str] = "link"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepService:
    """Leave a replica that already runs as wanted; done at once."""

    id: str
    subject: str
    needs: tuple[str, ...]
    cause: str
    kind: ClassVar[str] = "keep"


Step = (
    StartService
    | AwaitReady
    | AwaitCompleted
    | RunTask
    | StopService
    | SetForwards
    | ProbeExternal
    | PrepareImage
    | SetNetwork
    | ProveLinks
    | KeepService
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A warning of the plan: something that is not as one might think, and what to do."""

    code: str
    what: str
    where: str
    why: str
    do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a run will do, before it does anything. ``block`` is the run's loopback
    block (first, last) as 32-bit numbers; ``ports_kept`` remembers ports chosen from
    20000-29999; ``networks`` are the run's bridges by host, ``bridge_slots`` each name's place in
    them."""

    stack: str
    run: str
    hosts: tuple[PlannedHost, ...]
    services: tuple[PlannedService, ...]
    links: tuple[Link, ...]
    steps: tuple[Step, ...]
    warnings: tuple[Notice, ...] = ()
    forwards: tuple[tuple[str, tuple[specs.Forward, ...]], ...] = ()
    networks: tuple[tuple[str, specs.Network], ...] = ()
    block: tuple[int, int] = (0, 0)
    slots: tuple[tuple[str, int], ...] = ()
    ports_kept: tuple[tuple[str, int], ...] = ()
    bridge_slots: tuple[tuple[str, int], ...] = ()

    def service(self, name: str) -> PlannedService | None:
        """Return one replica by its name."""
        for service in self.services:
            if service.name == name:
                return service
        return None
