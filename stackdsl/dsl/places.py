"""Places as authors write them: where a service runs. Launchers nest."""

from collections.abc import Mapping
from typing import Any, Never

from stackdsl.dsl import values, written


class Place(written.Written):
    """A place as it was written down."""

    __slots__ = ()


class Build(written.Written):
    """How an image is built; paths start at the stack's folder, ``dockerfile`` may also be one in
    the context."""

    __slots__ = ()

    def __init__(
        self,
        context: values.Path,
        *,
        dockerfile: values.Path | None = None,
        args: Mapping[str, str | int | float] | None = None,
        target: str | None = None,
        **unknown: Never,
    ) -> None:
        kept = {"context": context, "dockerfile": dockerfile, "args": args, "target": target}
        super().__init__("Build", kept, unknown)


local = Place("local", {}, {}, depth=0)


def docker(
    image: str | None = None,
    *,
    build: values.Path | Build | None = None,
    on: Place = local,
    pull: str = "missing",
    init: bool = True,
    **options: Any,
) -> Place:
    """Return a container of ``image`` (or of what ``build`` makes) on the engine of ``on``.

    Further keywords are options of the Docker SDK's containers.create (cap_add, shm_size …), but
    for those that the run decides, such as names, networks and ports.
    """
    kept = {
        "image": image,
        "build": build,
        "on": on,
        "pull": pull,
        "init": init,
        "options": options,
    }
    return Place("docker", kept, {})


def ssh(
    host: str,
    *,
    user: str | None = None,
    port: int | None = None,
    key: values.Path | None = None,
    via: Place | None = None,
    network: str | None = None,
    python: str | None = None,
    sudo: bool = False,
    **unknown: Never,
) -> Place:
    """Return a machine reached over SSH; what is left out comes from ~/.ssh/config."""
    kept = {
        "host": host,
        "user": user,
        "port": port,
        "key": key,
        "via": via,
        "network": network,
        "python": python,
        "sudo": sudo,
    }
    return Place("ssh", kept, unknown)


def systemd(unit: str, *, on: Place = local, **unknown: Never) -> Place:
    """Return a systemd unit that is started and stopped for the run."""
    return Place("systemd", {"unit": unit, "on": on}, unknown)


def attach(
    *,
    container: str | None = None,
    pid: int | None = None,
    process: str | None = None,
    systemd: str | None = None,
    on: Place = local,
    depth: int = 0,
    **unknown: Never,
) -> Place:
    """Return something that others started: watched, never started, signalled or stopped.

    ``depth`` counts the calls between the author and here.
    """
    kept = {"container": container, "pid": pid, "process": process, "systemd": systemd, "on": on}
    return Place("attach", kept, unknown, depth=depth + 2)


def external(address: str, **unknown: Never) -> Place:
    """Return "host:port" outside the stack, told to callers as it is."""
    return Place("external", {"address": address}, unknown)
