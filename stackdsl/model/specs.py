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
    accept). ``subject`` is the replica or service it serves."""

    subject: str
    listen_host: str
    listen_port: int
    targets: tuple[tuple[str, int], ...]
    protocol: Literal["tcp", "udp"] = "tcp"
    cause: str = ""

    @property
    def id(self) -> str:
        """Its identity: protocol and listening address."""
        return f"{self.protocol}/{self.listen_host}:{self.listen_port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedFile:
    """A file to make under the replica's folder: content, or an absolute path to copy."""

    path: str
    text: str | None = None
    copy: str | None = None


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
    ``attach_pid``/``attach_process``: watch that process instead of starting one.
    ``dir`` is `me.dir`. ``argv`` is empty only for attached ones. ``files`` are made, and ``dir``
    too, before the first start. ``output_wanted``: a task whose output someone reads. ``digest``
    tells specs apart that mean another process: one that runs is kept while it is the same.
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
    is_debugged: bool = False
    stdin: str | None = None
    where: str = ""
    secrets: tuple[str, ...] = ()
    digest: str = ""
