"""The keywords of service(...) and task(...), typed for editors; at run time any key is kept."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypedDict

from stackdsl.dsl import places, probes, values, written

PortNumber = int | values.Port
Probes = probes.Probe | Sequence[probes.Probe]
Need = str | written.Declaration | values.Condition
Dependency = str | written.Declaration
EnvValue = str | int | float | None
Paths = values.Path | Sequence[values.Path]
Commands = values.Argv | Sequence[values.Argv]
HookName = Literal["before_start", "after_ready", "before_stop"]
Returned = values.Argv | values.Command | None
Body = Callable[..., Returned]


class CommonKeywords(TypedDict, total=False):
    """What services and tasks both take, and Stack(…) as what holds for all of them."""

    runs_on: places.Place
    env: Mapping[str, EnvValue]
    needs: Sequence[Need]
    stop_signal: int | str
    stop_timeout: values.Duration
    stop_command: values.Argv
    cwd: values.Path
    user: str | int
    umask: int | str
    limits: values.Limits
    files: Mapping[str, str | values.Source]
    volumes: Sequence[str | values.Tmpfs]
    watch: Paths
    sync: Paths
    isolated: bool
    hooks: Mapping[HookName, Commands]
    tty: bool
    log: Literal["file", "pipe"]


class SharedKeywords(CommonKeywords, total=False):
    """What services and tasks both take."""

    port: PortNumber
    ports: Mapping[str, PortNumber]
    network: Literal["auto", "lan", "wireguard", "tunnel"]


class LastingKeywords(TypedDict, total=False):
    """What only services take."""

    restart_with: Sequence[Dependency]
    ready: Probes
    live: Probes
    start_timeout: values.Duration
    restart: Literal["no", "on-failure", "always"] | values.Restart
    replicas: int
    scale: values.Scale
    stable: bool


class UnnamedServiceKeywords(SharedKeywords, LastingKeywords, total=False):
    """What a service takes beside its name."""


class UnnamedTaskKeywords(SharedKeywords, total=False):
    """What a task takes beside its name."""

    done: probes.Probe
    timeout: values.Duration | None
    retries: int


class ServiceKeywords(UnnamedServiceKeywords, total=False):
    """All keywords of service(...)."""

    name: str


class TaskKeywords(UnnamedTaskKeywords, total=False):
    """All keywords of task(...)."""

    name: str


class StackKeywords(CommonKeywords, LastingKeywords, total=False):
    """What Stack(…) takes beside its name."""

    network: values.Network
    on_crash: str
    log_limit: values.Size


SERVICE = frozenset(ServiceKeywords.__annotations__)
TASK = frozenset(TaskKeywords.__annotations__)
