"""Services and tasks as their author meant them: read, normalised, checked; nothing placed yet."""

from collections.abc import Callable, Mapping
from typing import Literal

from stackdsl.model import places, probes, refs
from stackdsl.model.data import dataclass

Kind = Literal["service", "task"]
Condition = Literal["started", "ready", "completed", "planned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """A place in the author's file; printed as ``file:line @kind name``."""

    file: str
    line: int
    what: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.what}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port that a service serves.

    ``number`` is the canonical port. ``listens`` is (address, port) that the program insists on.
    ``publish`` is (address, port) added for people. ``bind`` overrides `me.bind`.
    """

    name: str
    number: int
    scheme: str | None = None
    protocol: Literal["tcp", "udp"] = "tcp"
    publish: tuple[str, int] | None = None
    listens: tuple[str, int] | None = None
    bind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One dependency. ``parameter``: it is a body's parameter. ``is_addressed``: callers are told
    its address (environment and links); else it is order only."""

    name: str
    condition: Condition
    parameter: str | None = None
    is_addressed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """When an ended service is started again, and how patiently (seconds)."""

    on: Literal["no", "on-failure", "always"] = "no"
    max: int = 5
    backoff_s: float = 1.0
    cap_s: float = 30.0
    reset_after_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a service may use at most: cores, bytes, open files."""

    cpu: float | None = None
    memory_bytes: int | None = None
    files: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How many replicas there may be, and the load in cores per replica that adds one."""

    min: int
    max: int
    cpu: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """A file made under `me.dir` before start.

    ``text`` is literal content; ``template`` is a text whose ``${db.addr}`` are replaced by the
    planner; ``copy`` is an absolute path here. Exactly one is set.
    """

    path: str
    text: str | None = None
    template: str | None = None
    copy: str | None = None
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A mount: a named volume, a path of the author's (absolute by now), or memory."""

    kind: Literal["named", "bind", "tmpfs"]
    source: str
    path: str
    is_read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What a body returned: the program, additions to the environment, the folder.

    ``secrets`` are texts to mask that the body asked for.
    """

    argv: tuple[str, ...]
    env: tuple[tuple[str, str | None], ...] = ()
    cwd: str | None = None
    secrets: tuple[str, ...] = ()


Body = Callable[[Mapping[str, "refs.Ref | refs.Me"]], Command | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service or task of a stack.

    ``body`` is called with one value for each of ``parameters`` and returns the command; it raises
    only StackError. ``ready`` None means the default probe (tcp on ``default_port``). Paths are
    absolute by now. ``env`` values of None remove a variable. ``watch`` are absolute paths.
    ``doc`` is the first line of the author's docstring.
    """

    name: str
    kind: Kind
    body: Body
    parameters: tuple[str, ...] = ()
    where: Where
    doc: str = ""
    runs_on: places.Place = places.Local()
    ports: tuple[Port, ...] = ()
    default_port: str | None = None
    env: tuple[tuple[str, str | None], ...] = ()
    needs: tuple[Need, ...] = ()
    restart_with: tuple[str, ...] = ()
    ready: tuple[probes.Probe, ...] | None = None
    live: tuple[probes.Probe, ...] = ()
    start_timeout_s: float = 30.0
    restart: Restart = Restart()
    stop_signal: int = 15
    stop_timeout_s: float = 10.0
    stop_command: tuple[str, ...] | None = None
    cwd: str | None = None
    user: str | None = None
    umask: int | None = None
    limits: Limits = Limits()
    files: tuple[FileEntry, ...] = ()
    volumes: tuple[Volume, ...] = ()
    watch: tuple[str, ...] = ()
    sync: tuple[str, ...] = ()
    replicas: int = 1
    scale: Scale | None = None
    network: Literal["auto", "lan", "wireguard", "tunnel"] = "auto"
    is_stable: bool = False
    is_isolated: bool = False
    hooks: tuple[tuple[str, tuple[str, ...]], ...] = ()
    tty: bool = False
    log: Literal["file", "pipe"] = "file"
    done: probes.Probe | None = None
    timeout_s: float | None = None
    retries: int = 0

    @property
    def port(self) -> Port | None:
        """The default port, if there is one."""
        for port in self.ports:
            if port.name == self.default_port:
                return port
        return None

    def replica_names(self) -> tuple[str, ...]:
        """Return the plain name for one replica, ``name-0 …`` for more."""
        if self.replicas == 1 and self.scale is None:
            return (self.name,)
        return tuple(f"{self.name}-{index}" for index in range(self.replicas))
