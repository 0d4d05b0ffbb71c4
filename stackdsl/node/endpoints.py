"""Where the Docker engine is: $DOCKER_HOST, else the current docker context, else the usual socket.

Source: docker(1), "environment variables"; docker-context(1); the folder ~/.docker/contexts/meta.
"""

import os
from collections.abc import Mapping

from stackdsl.model import errors
from stackdsl.model.data import dataclass

USUAL_SOCKET = "/var/run/docker.sock"
_SCHEME = "unix://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An engine's address (a URL) and where it was found."""

    url: str
    source: str

    @property
    def path(self) -> str:
        """The path of its socket; "" if it is no Unix socket."""
        return self.url.removeprefix(_SCHEME) if self.url.startswith(_SCHEME) else ""


def find(environment: Mapping[str, str]) -> Endpoint:
    """Return the endpoint that the docker command would use with this environment.

    Raises:
        HostError: the current context is not there or cannot be read.
    """
    host = environment.get("DOCKER_HOST", "")
    if host:
        return Endpoint(url=_as_url(host), source="$DOCKER_HOST")
    folder = environment.get("DOCKER_CONFIG") or os.path.join(_home(environment), ".docker")
    source = "$DOCKER_CONTEXT"
    context = environment.get("DOCKER_CONTEXT", "")
    if not context:
        source = os.path.join(folder, "config.json")
        context = str(_read_json(source).get("currentContext") or "")
    if context and context != "default":
        return Endpoint(
            url=_find_in_context(folder, context, source),
            source=f'the docker context "{context}" ({source})',
        )
    return _find_usual(environment)


def _home(environment: Mapping[str, str]) -> str:
    return environment.get("HOME") or os.path.expanduser("~")


def _as_url(host: str) -> str:
    return f"{_SCHEME}{host}" if host.startswith("/") else host


def _find_usual(environment: Mapping[str, str]) -> Endpoint:
    """Return the usual socket, or that of a rootless engine where it is the only one for us."""
    runtime = environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    rootless = os.path.join(runtime, "docker.sock")
    if not os.access(USUAL_SOCKET, os.W_OK) and os.access(rootless, os.W_OK):
        return Endpoint(url=f"{_SCHEME}{rootless}", source="the socket of a rootless engine")
    return Endpoint(url=f"{_SCHEME}{USUAL_SOCKET}", source="the usual socket")


def _find_in_context(folder: str, context: str, source: str) -> str:
    import hashlib  # only who has a context pays for it

    name = hashlib.sha256(context.encode()).hexdigest()
    meta = _read_json(os.path.join(folder, "contexts", "meta", name, "meta.json"))
    endpoints = meta.get("Endpoints")
    docker = endpoints.get("docker") if isinstance(endpoints, dict) else None
    host = docker.get("Host") if isinstance(docker, dict) else None
    if not host:
        raise errors.HostError(
            "host.no-engine",
            f'cannot find the Docker engine: the docker context "{context}" is not there',
            why=f"{source} names it, and {folder}/contexts/meta has no such context",
            do="choose one of `docker context ls` (`docker context use NAME`), or set DOCKER_HOST",
        )
    return _as_url(str(host))


def _read_json(path: str) -> dict[str, object]:
    """Return a file's object; {} where there is none. Others than ours write these files: what is
    wrong in them is told by what needs it."""
    import json  # loaded already in a node

    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
