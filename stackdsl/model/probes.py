"""Probes: how it is found out that a service is ready, alive, or that a task is already done.

A probe names ports by name; the planner turns it into a `model.specs.Check` with addresses.
"""

from typing import ClassVar

from stackdsl.model.data import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a probe is tried and what counts; seconds and numbers of tries.

    ``interval_s`` None: as fast as is cheap while waiting (1 ms at first, then 1 % of the time
    waited), every 10 s once ready. ``start_period_s``: failures in it do not count.
    """

    interval_s: float | None = None
    timeout_s: float = 1.0
    start_period_s: float = 0.0
    success: int = 1
    failures: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """A request whose status is one of ``status``; ``port`` None is the default port."""

    path: str = "/"
    port: int | str | None = None
    status: tuple[int, ...] = (200,)
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body_contains: str | None = None
    timing: Timing = Timing()
    kind: ClassVar[str] = "http"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tcp:
    """A connection that is accepted; ``port`` None is the default port."""

    port: int | str | None = None
    timing: Timing = Timing()
    kind: ClassVar[str] = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exec:
    """A command that exits 0, run where the service runs, with its environment and folder."""

    argv: tuple[str, ...]
    timing: Timing = Timing()
    kind: ClassVar[str] = "check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A line of output (of this start) that the regular expression is found in."""

    regex: str
    timing: Timing = Timing()
    kind: ClassVar[str] = "log"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A path that exists; relative ones start at the service's own folder (`me.dir`)."""

    path: str
    timing: Timing = Timing()
    kind: ClassVar[str] = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """READY=1 sent to $NOTIFY_SOCKET; source: sd_notify(3)."""

    timing: Timing = Timing()
    kind: ClassVar[str] = "notify"


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerHealth:
    """The image's own HEALTHCHECK says healthy."""

    timing: Timing = Timing()
    kind: ClassVar[str] = "docker_health"


Probe = Http | Tcp | Exec | Log | File | Notify | DockerHealth
