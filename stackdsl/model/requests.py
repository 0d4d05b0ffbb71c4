"""What is asked of a node, and its answers: the data of `stackdsl.ports`."""

from typing import Literal

from stackdsl.model import facts, services, specs
from stackdsl.model.data import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be looked up on a host: programs (argv[0], the PATH of ``env`` or of the node,
    and the folder it starts in), users, images and build contexts, containers (names or ids).
    ``run_id`` tells what is the run's own. ``has_engine``: look for the engine at all;
    ``has_networks``: look at routes and privileges. ``meeting`` is (key, name): answer under that
    name who tries to reach the host; ``meets`` are the (host, address, port) to be tried by it."""

    programs: tuple[tuple[str, str | None, str], ...] = ()
    users: tuple[str, ...] = ()
    images: tuple[specs.Image, ...] = ()
    containers: tuple[str, ...] = ()
    has_engine: bool = False
    has_networks: bool = False
    run_id: str = ""
    meeting: tuple[str, str] | None = None
    meets: tuple[tuple[str, str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """The run that a node works for. ``folder`` is absolute and holds ``logs/``, ``dirs/`` and the
    journal. ``run_id`` is the random mark. ``environment`` is the base environment of native
    services; ``secrets`` are values that may not be stored in clear. ``crash`` says what becomes of
    services when the controller is gone."""

    run: str
    run_id: str
    stack: str
    folder: str
    crash: Literal["reap", "adopt", "grace"] = "reap"
    grace_s: float = 0.0
    environment: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """A finished command: 128+N for signals; ``is_cut``: output beyond 1 MiB was dropped."""

    exit_code: int
    stdout: str = ""
    stderr: str = ""
    is_cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A look at one replica: its living processes (pid, command line), the sockets that they
    listen on, its last lines of output. ``reason`` says why a starting one is not ready yet, with
    what its probes saw so far, ``do`` what to do about it."""

    pids: tuple[tuple[int, str], ...] = ()
    listeners: tuple[facts.Listener, ...] = ()
    lines: tuple[str, ...] = ()
    reason: str = ""
    do: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A replica that already stands: its state and the digest of the spec that it runs."""

    name: str
    kind: services.Kind
    state: str
    digest: str
    host: str = "local"
