"""The Docker engine of this machine: connected to, spoken to from threads of our own, explained.

Laws: the SDK is imported by the first connection, in a thread, never at the node's start; of its
exceptions only ours come out; no thread of asyncio's own pool is ever blocked.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent import futures
from functools import partial
from typing import Any, ParamSpec, TypeVar

from stackdsl.model import errors, facts
from stackdsl.node import endpoints, installed

P = ParamSpec("P")
T = TypeVar("T")

OLDEST_API = "1.41"
_THREADS = 32
_CALL_TIMEOUT_S = 60
_FULL = "no space left on device"


class Unreached(errors.HostError):
    """The engine is not there (any longer): it may come back."""


class Refused(errors.HostError):
    """The engine answered with an error: ``status`` is HTTP's, ``explanation`` its own words."""

    def __init__(self, status: int, explanation: str, **said: str) -> None:
        super().__init__(
            said.get("code", "host.engine-refused"),
            said["what"],
            why=said.get("why", ""),
            do=said["do"],
        )
        self.status = status
        self.explanation = explanation


class Engine:
    """One engine. Nothing may be called before `open`; after `close` nothing any longer."""

    def __init__(self, endpoint: endpoints.Endpoint) -> None:
        self.endpoint = endpoint
        self.seen = facts.Engine(endpoint=endpoint.url)
        self._threads = futures.ThreadPoolExecutor(_THREADS, "engine")
        self._api: Any = None

    @property
    def api(self) -> Any:
        """The SDK's low-level client (docker.APIClient; Any: the SDK is not loaded before it is
        needed). Its methods block: hand them to `call`. Any number of threads may use it."""
        assert self._api is not None, "the engine was not opened"
        return self._api

    async def open(self) -> None:
        """Connect, and agree on a version of the API.

        Raises:
            HostError: it is not there, may not be used, or is too old or too new.
        """
        if self._api is None:
            self._api, self.seen = await self._run(partial(_connect, self.endpoint))

    async def call(self, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Run a blocking call to the engine in a thread and return what it returns.

        Raises:
            Unreached: the engine is gone.
            Refused: the engine answered with an error.
        """
        return await self._run(partial(translate, self.endpoint, function, *args, **named))

    async def _run(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def close(self) -> None:
        """Let go of it; calls that wait are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._api is not None:
            self._api.close()


class Access:
    """A node's way to its engine: whoever needs it first connects. ``environment`` names it;
    ``url`` is where it was looked for."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.url = ""
        self._environment = environment
        self._engine: Engine | None = None
        self._turn = asyncio.Lock()

    async def get(self) -> Engine:
        """Return the engine, opened.

        Raises:
            HostError: see `Engine.open`.
        """
        async with self._turn:
            if self._engine is None:
                endpoint = endpoints.find(self._environment)
                self.url = endpoint.url
                engine = Engine(endpoint)
                try:
                    await engine.open()
                except BaseException:
                    engine.close()
                    raise
                self._engine = engine
            return self._engine

    @property
    def engine(self) -> Engine | None:
        """The engine, if anybody has needed it."""
        return self._engine

    def close(self) -> None:
        """Let go of it."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None


async def connect(environment: Mapping[str, str]) -> Engine:
    """Return the engine that this environment names, opened; the caller closes it.

    Raises:
        HostError: see `Engine.open`.
    """
    return await Access(environment).get()


async def at_once(waits: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Wait for all of them side by side; the first error is raised as it is, and ends the rest."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each, name="one of several") for each in waits]
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from several
    return [task.result() for task in tasks]


def connect_client(endpoint: endpoints.Endpoint) -> Any:
    """Return the SDK's low-level client, connected. Blocks: for threads, and commands that have no
    node. The caller closes it.

    Raises:
        HostError: see `Engine.open`.
    """
    return _connect(endpoint)[0]


def translate(
    endpoint: endpoints.Endpoint, function: Callable[P, T], *args: P.args, **named: P.kwargs
) -> T:
    """Call a function of the SDK; its exceptions, and those of what it stands on, become ours.

    Raises:
        Unreached: the engine is gone.
        Refused: the engine answered with an error.
        HostError: it is something else.
    """
    import http.client

    import docker.errors
    import requests
    import urllib3

    try:
        return function(*args, **named)
    except docker.errors.APIError as error:
        raise refusal(error.status_code or 0, error.explanation or str(error)) from error
    except requests.exceptions.ReadTimeout as error:
        raise _lost(endpoint, "it does not answer", str(error)) from error
    except (
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        ConnectionError,
    ) as error:
        raise unreached(endpoint, error) from error
    except docker.errors.DockerException as error:
        raise errors.HostError(
            "host.engine-refused",
            f"cannot work with the Docker engine: {error}",
            do="see the reason, then try again",
        ) from error


def refusal(status: int, explanation: str) -> Refused:
    """Return an error of the engine in our words: what it says itself comes first."""
    said = " ".join(str(explanation).split())
    if _FULL in said.lower():
        return Refused(
            status,
            said,
            code="host.engine-full",
            what="cannot work with the Docker engine: its disk is full",
            why=said,
            do="make room (`docker system df` shows what takes it, `docker system prune` frees it)",
        )
    return Refused(
        status,
        said,
        what=f"cannot work with the Docker engine: {said}",
        do="see the reason, then try again",
    )


def _connect(endpoint: endpoints.Endpoint) -> tuple[Any, facts.Engine]:
    """Return a client that speaks a version of the API which both know, and what was seen."""
    if not endpoint.path:
        raise errors.HostError(
            "host.engine-far",
            f'cannot use the Docker engine at "{endpoint.url}": it is not of this machine',
            why=f"it is named by {endpoint.source}; containers stand beside native services, so"
            " their engine must be reached by a Unix socket",
            do='give runs_on=docker("…", on=ssh("host")), or unset DOCKER_HOST',
        )
    installed.make_importable()
    from docker import constants

    api = _make_client(endpoint)
    try:
        version = translate(endpoint, api.version, api_version=False)
        agreed = _agree(endpoint, version, constants.DEFAULT_DOCKER_API_VERSION)
        api._version = agreed  # noqa: SLF001 - what its own "auto" sets, without our bounds
        info = translate(endpoint, api.info)
    except BaseException:
        api.close()
        raise
    options = " ".join(info.get("SecurityOptions") or ())
    is_far = "name=rootless" in options or info.get("OperatingSystem") == "Docker Desktop"
    return api, facts.Engine(
        endpoint=endpoint.url,
        version=str(version.get("Version", "")),
        api=agreed,
        is_direct=not is_far,
    )


def _make_client(endpoint: endpoints.Endpoint) -> Any:
    """Return the SDK's low-level client, not connected.

    Raises:
        HostError: the docker command's settings, which it reads, cannot be used.
    """
    from docker import constants
    from docker import errors as docker_errors
    from docker.api import client
    from docker.transport import unixconn
    from docker.utils import config

    # its own leaves the socket to the garbage collector where connecting fails
    connection: Any = unixconn.UnixHTTPConnection
    connection.connect = _connect_socket
    try:
        return client.APIClient(
            base_url=endpoint.url,
            version=constants.MINIMUM_DOCKER_API_VERSION,
            timeout=_CALL_TIMEOUT_S,
            max_pool_size=_THREADS,
        )
    except (docker_errors.DockerException, ValueError, TypeError, AttributeError) as error:
        # it takes the file's values as they come
        file: Any = config.find_config_file()  # its stubs allow bytes
        raise errors.HostError(
            "host.engine-refused",
            "cannot work with the Docker engine: the docker command's settings cannot be read",
            why=f"{file}: {error}",
            do="correct that file (`docker login` writes logins into it), or name another folder"
            " in DOCKER_CONFIG",
        ) from error


def _connect_socket(connection: Any) -> None:
    """Connect one of the SDK's connections to its Unix socket."""
    stream = socket.socket(socket.AF_UNIX)
    try:
        stream.settimeout(connection.timeout)
        stream.connect(connection.unix_socket)
    except BaseException:
        stream.close()
        raise
    connection.sock = stream


def _agree(endpoint: endpoints.Endpoint, version: Mapping[str, Any], newest: str) -> str:
    """Return the newest version of the API that the engine and the SDK both speak.

    Raises:
        HostError: there is none.
    """
    name = f'the Docker engine at "{endpoint.url}"'
    theirs, least = str(version.get("ApiVersion", "")), str(version.get("MinAPIVersion", ""))
    found = f"it is {version.get('Version', 'of unknown version')}, of API {theirs or 'unknown'}"
    if _number(theirs) < _number(OLDEST_API):
        raise errors.HostError(
            "host.engine-old",
            f"cannot use {name}: it is too old",
            why=f"{found}; API {OLDEST_API} (Docker 20.10) is the oldest that serves",
            do="upgrade Docker to 20.10 or newer",
        )
    if _number(least) > _number(newest):
        raise errors.HostError(
            "host.engine-new",
            f"cannot use {name}: it is too new",
            why=f"{found}, and speaks nothing older than {least}; the Python package docker"
            f" speaks up to {newest}",
            do="upgrade the Python package: pip install --upgrade docker",
        )
    return theirs if _number(theirs) < _number(newest) else newest


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def unreached(endpoint: endpoints.Endpoint, error: Exception) -> errors.HostError:
    """Say why the engine's socket cannot be spoken to."""
    cause = _find_os_error(error)
    if isinstance(cause, PermissionError):
        return errors.HostError(
            "host.engine-denied",
            f'cannot use the Docker engine at "{endpoint.url}": permission denied',
            why=f"found by {endpoint.source}; this user may not write to the socket",
            do="add yourself to the group docker (`sudo usermod -aG docker $USER`), then log in"
            " again",
        )
    if isinstance(cause, FileNotFoundError):
        return Unreached(
            "host.no-engine",
            f'cannot use a Docker engine: there is none at "{endpoint.url}"',
            why=f"this is {endpoint.source}",
            do="install Docker and start it, or set DOCKER_HOST to the engine's socket",
        )
    if isinstance(cause, ConnectionRefusedError):
        return _lost(endpoint, "nobody listens there", "")
    return _lost(endpoint, "the connection ended", str(cause or error))


def _lost(endpoint: endpoints.Endpoint, fact: str, detail: str) -> Unreached:
    return Unreached(
        "host.engine-down",
        f'cannot reach the Docker engine at "{endpoint.url}": {fact}',
        why="; ".join(part for part in (f"found by {endpoint.source}", detail) if part),
        do="start it (`sudo systemctl start docker`) or see why it stopped"
        " (`journalctl -u docker`)",
    )


def _find_os_error(error: BaseException) -> OSError | None:
    """Return the system's error below those of HTTP libraries, which wrap each other."""
    waiting: list[BaseException] = [error]
    known: set[int] = set()
    while waiting:
        one = waiting.pop()
        if id(one) in known:
            continue
        known.add(id(one))
        # requests' own errors are OSErrors too, without a number
        if isinstance(one, OSError) and isinstance(one.errno, int) and one.strerror:
            return one
        waiting.extend(
            each
            for each in (*one.args, one.__cause__, one.__context__)
            if isinstance(each, BaseException)
        )
        reason = getattr(one, "reason", None)
        if isinstance(reason, BaseException):
            waiting.append(reason)
    return None
