"""What the engine asks of a node, as Protocols. Every implementation passes tests/contract."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from stackdsl.model import facts, plans, reports, specs


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be looked up on a host: programs (argv[0], the PATH of ``env`` or of the node,
    and the folder it starts in), users."""

    programs: tuple[tuple[str, str | None, str], ...] = ()
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """The run that a node works for. ``folder`` is absolute and holds ``logs/``, ``dirs/`` and the
    journal. ``run_id`` is the random mark. ``environment`` is the base environment of native
    services. ``crash`` says what becomes of services when the controller is gone."""

    run: str
    run_id: str
    stack: str
    folder: str
    crash: Literal["reap", "adopt", "grace"] = "reap"
    grace_s: float = 0.0
    environment: tuple[tuple[str, str], ...] = ()


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
    listen on, its last lines of output."""

    pids: tuple[tuple[int, str], ...] = ()
    listeners: tuple[facts.Listener, ...] = ()
    lines: tuple[str, ...] = ()


class Node(Protocol):
    """One machine's part of one run.

    Errors are StackErrors with the host named. Calls may be made concurrently. Nothing is started
    before `begin`. What becomes of started replicas comes as reports, in order, none lost.
    """

    async def observe(self, wanted: Wanted) -> facts.HostFacts:
        """Look at the machine; changes nothing."""

    async def begin(self, identity: RunIdentity) -> Sequence[plans.Observed]:
        """Take up the run: open its journal, adopt what lives; return what stands."""

    async def start(self, wanted: Sequence[specs.ServiceSpec]) -> None:
        """Journal the replicas and begin to start them, all at once; a name that stands with
        another spec is replaced (the old one must have ended)."""

    async def stop(self, names: Sequence[str], *, at_once: bool = False) -> None:
        """Stop replicas, all at once, and return when everything they started is gone."""

    async def restart(self, names: Sequence[str]) -> None:
        """Stop, then start again with the same specs; returns when stopped and started anew."""

    async def forget(self, names: Sequence[str]) -> None:
        """Drop ended replicas and their folders."""

    async def set_forwards(self, wanted: Sequence[specs.Forward]) -> None:
        """Make the forwards of this machine exactly these; living connections of kept ones go on.

        Raises:
            HostError: a listening address is taken; the others stand.
        """

    async def probe(self, checks: Sequence[specs.Check], timeout_s: float) -> Sequence[str]:
        """Try each check until it succeeds or time is up; return "" or what was seen, for each."""

    async def execute(
        self, name: str, argv: Sequence[str], *, timeout_s: float | None = None
    ) -> Executed:
        """Run a command with the environment and folder of a replica, wait for its end."""

    async def inspect(self, name: str) -> Inspection:
        """Look at one replica."""

    async def leave(self, mode: Literal["reap", "adopt"]) -> None:
        """End the node: stop everything in no order and drop the run's effects, or let replicas
        live on as the journal says."""

    def reports(self) -> AsyncIterator[reports.Report]:
        """Yield what happens, from `begin` on; ends when the node is gone."""
