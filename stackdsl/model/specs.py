"""Specs: what a node is told of one replica. Everything concrete, nothing to look up."""

from typing import Literal

from stackdsl.model import probes, services
from stackdsl.model.data import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A probe with its target worked out: ``host``/``port`` for http and tcp, absolute paths for
    file; exec runs with the replica's environment and folder. ``is_own``: the socket must be one of
    the replica's processes, as far as that can be known."""

    probe: probes.Probe
    host: str = ""
    port: int = 0
    is_own: bool = False

    @property
    def label(self) -> str:
        """What is probed, in a few words: ``tcp 127.42.0.3:5432``."""
        probe = self.probe
        match probe:
            case probes.Http():
                return f"http {self.host}:{self.port}{probe.path}"
            case probes.Tcp():
                return f"tcp {self.host}:{self.port}"
            case probes.Exec():
                return f"check {' '.join(probe.argv)}"
            case probes.Log():
                return f"log {probe.regex}"
            case probes.File():
                return f"file {probe.path}"
            case _:
                return probe.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """A listening address that a node passes on to ``targets`` (round robin over those that
    accept). ``subject`` is the replica or service it serves. A target may be the path of
    a Unix socket. ``via`` is the host from which the targets are dialled, through the controller;
    "" for the host that listens."""

    subject: str
    listen_host: str
    listen_port: int
    targets: tuple[tuple[str, int], ...]
    protocol: Literal["tcp", "udp"] = "tcp"
    cause: str = ""
    via: str = ""

    @property
    def id(self) -> str:
        """Its identity: protocol and listening address."""
        return f"{self.protocol}/{self.listen_host}:{self.listen_port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """How an image is made: absolute paths. ``fingerprint`` tells two states of the context and
    the Dockerfile apart."""

    context: str
    dockerfile: str | None = None
    args: tuple[tuple[str, str], ...] = ()
    target: str | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What a container is made from. ``reference`` is its name in the engine; that of a built one
    is ours unless the author gave one. Source of ``pull``: compose's pull_policy."""

    reference: str
    build: Build | None = None
    pull: Literal["missing", "always", "never"] = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The run's bridge on one machine. ``subnet`` is in CIDR form, ``gateway`` the machine's own
    address in it, ``bridge`` the interface (at most 15 characters). ``is_engine``: the engine makes
    it (name ``name``), else the node itself. ``addresses`` are further addresses that the machine
    gets on it, for natives that are called from there."""

    name: str
    subnet: str
    gateway: str
    bridge: str
    is_engine: bool = True
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """A socket of the machine that the engine passes on to a port of a container."""

    host: str
    port: int
    target: int
    protocol: Literal["tcp", "udp"] = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """What is mounted in a container. The ``source`` of a named volume is its name in the engine,
    that of a bind an absolute path, that of a tmpfs empty."""

    kind: Literal["named", "bind", "tmpfs"]
    source: str
    path: str
    is_read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What makes a replica a container. ``argv`` of its spec replaces the image's own command,
    ``cwd`` and ``user`` its own (none given: the image's). ``dir`` is where the folder of the
    replica is mounted. ``aliases`` are its names on the network, ``hosts`` further names and their
    addresses. ``options`` are the engine's own, by the SDK's names."""

    name: str
    image: Image
    network: str = ""
    address: str = ""
    aliases: tuple[str, ...] = ()
    hosts: tuple[tuple[str, str], ...] = ()
    publishes: tuple[Publish, ...] = ()
    mounts: tuple[Mount, ...] = ()
    dir: str = "/stackdsl"
    init: bool = True
    options: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """What makes a process isolated: a network namespace of its own on the run's bridge, with an
    address there; ``hosts`` are the names that it resolves."""

    bridge: str
    address: str
    prefix: int
    gateway: str
    hosts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A link to be tried by a packet from where its caller will be. ``vantage`` is how the caller
    stands; ``bridge`` the interface it is plugged into if it is not native. ``target`` is the
    callee's replica, ``bound`` the socket that its program binds, ``reached`` the one at which the
    machine reaches the program with nothing between."""

    source: str
    target: str
    port: str
    host: str
    number: int
    protocol: Literal["tcp", "udp"] = "tcp"
    kind: str = "loopback"
    vantage: Literal["native", "container", "isolated"] = "native"
    network: Network | None = None
    bound: tuple[str, int] = ("", 0)
    reached: tuple[str, int] = ("", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedFile:
    """A file to make under the replica's folder: content, an absolute path to copy, or what a
    symbolic link names."""

    path: str
    text: str | None = None
    copy: str | None = None
    link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundPort:
    """What the replica itself binds, for diagnosis: the socket that the default probe goes to."""

    name: str
    host: str
    port: int
    protocol: Literal["tcp", "udp"] = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """One replica of a service or task, as a node runs it.

    ``env`` is what is added to (None: removed from) the base environment of the run.
    ``attach_pid``/``attach_process``/``attach_container``: watch that instead of starting one.
    ``container``: it is one; ``namespace``: it is a process in one of its own.
    ``dir`` is `me.dir` as the machine knows it. ``argv`` is empty only for attached ones and
    containers. ``files`` are made, and ``dir`` too, before the first start. ``output_wanted``: a
    task whose output someone reads. ``digest`` tells specs apart that mean another process: one
    that runs is kept while it is the same.
    ``stdin`` is the path of what it reads from; a terminal there is written to as well.
    """

    name: str
    service: str
    index: int
    kind: services.Kind
    argv: tuple[str, ...] = ()
    env: tuple[tuple[str, str | None], ...] = ()
    cwd: str = ""
    dir: str = ""
    user: str | None = None
    umask: int | None = None
    limits: services.Limits = services.Limits()
    ports: tuple[BoundPort, ...] = ()
    ready: tuple[Check, ...] = ()
    is_default_ready: bool = False
    live: tuple[Check, ...] = ()
    done: Check | None = None
    start_timeout_s: float = 30.0
    timeout_s: float | None = None
    retries: int = 0
    restart: services.Restart = services.Restart()
    stop_signal: int = 15
    stop_timeout_s: float = 10.0
    stop_command: tuple[str, ...] | None = None
    files: tuple[RenderedFile, ...] = ()
    watch: tuple[str, ...] = ()
    hooks: tuple[tuple[str, tuple[str, ...]], ...] = ()
    tty: bool = False
    log: Literal["file", "pipe"] = "file"
    log_limit_bytes: int = 64 * 1024 * 1024
    output_wanted: bool = False
    attach_pid: int | None = None
    attach_process: str | None = None
    attach_container: str | None = None
    container: Container | None = None
    namespace: Namespace | None = None
    is_debugged: bool = False
    stdin: str | None = None
    where: str = ""
    secrets: tuple[str, ...] = ()
    digest: str = ""
