"""Launches: a program to start, with everything that its process is to have."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol, TypeVar

from stackdsl.model import services
from stackdsl.model.data import dataclass

T = TypeVar("T")


class Place(Protocol):
    """Where a process is started if not beside us: `namespaces.Place`."""

    def run(self, function: Callable[[], T]) -> T:
        """Call a function there."""

    def close(self) -> None:
        """Hold it no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One program. ``name`` is the replica's. ``stdin``, ``stdout`` and ``stderr`` are open
    descriptors, None for /dev/null. ``tty`` is the path of a terminal that is to control it.
    ``is_bounded``: a cgroup bounds its memory already. ``place``: the namespace it stands in."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str = ""
    user: str | None = None
    umask: int | None = None
    limits: services.Limits = services.Limits()
    tty: str | None = None
    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None
    is_bounded: bool = False
    place: Place | None = None


def with_argv(launch: Launch, argv: tuple[str, ...]) -> Launch:
    """Return another command with the same surroundings: no terminal, and no limits of its own."""
    return replace(
        launch, argv=argv, tty=None, stdin=None, limits=services.Limits(), is_bounded=False
    )


def with_env(launch: Launch, env: Mapping[str, str]) -> Launch:
    """Return the launch with variables added."""
    return replace(launch, env={**launch.env, **env})


def with_output(launch: Launch, out_fd: int, err_fd: int) -> Launch:
    """Return the launch writing to these descriptors."""
    return replace(launch, stdout=out_fd, stderr=err_fd)


def bounded(launch: Launch) -> Launch:
    """Return the launch as one whose memory a cgroup bounds."""
    return replace(launch, is_bounded=True)


def placed(launch: Launch, place: Place) -> Launch:
    """Return the launch in a namespace."""
    return replace(launch, place=place)
