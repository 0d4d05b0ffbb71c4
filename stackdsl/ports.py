"""What the engine asks of a node, as Protocols. Every implementation passes tests/contract."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Literal, Protocol

from stackdsl.model import causes, events, facts, plans, reports, specs, states
from stackdsl.model.requests import Executed, Inspection, RunIdentity, Wanted

__all__ = ["Executed", "Inspection", "Node", "RunControl", "RunIdentity", "Wanted"]


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
        """Journal the replicas and begin to start them, all at once.

        A living replica whose digest is the same is left alone (its spec is taken: an adopted one
        has none that may be used); one that has ended is started again; a living one with another
        digest is refused.
        """

    async def announce(self, wanted: Sequence[specs.ServiceSpec]) -> None:
        """Get ready for starts that may follow; nothing is started, and whatever cannot be made
        ahead is made, or refused, by `start`."""

    async def stop(
        self, names: Sequence[str], *, at_once: bool = False, is_last: bool = False
    ) -> None:
        """Stop replicas, all at once, and return when everything they started is gone.

        ``is_last``: the run ends; what they have here may be given back as soon as they are gone.
        """

    async def restart(self, names: Sequence[str]) -> None:
        """Stop, then start again with the same specs; returns when stopped and started anew."""

    async def forget(self, names: Sequence[str]) -> None:
        """Drop ended replicas and their folders."""

    async def set_forwards(self, wanted: Sequence[specs.Forward]) -> None:
        """Make the forwards of this machine exactly these; living connections of kept ones go on.

        Raises:
            HostError: a listening address is taken; the others stand.
        """

    async def set_network(self, wanted: specs.Network) -> None:
        """Make the run's bridge here exactly this; what is plugged in stays. Gone with the run.

        Raises:
            HostError: the engine or the machine refuses.
        """

    async def prepare_image(self, image: specs.Image) -> str:
        """Have an image in the engine: found, pulled or built; return its id. Progress comes as
        reports.

        Raises:
            ServiceError: it is not there and cannot be pulled or built.
            HostError: the engine is not reached.
        """

    async def prove(self, edges: Sequence[specs.Edge], timeout_s: float) -> Sequence[str]:
        """Try each edge by a packet from where its caller will be; return "" or the cause found
        why it does not get through, for each."""

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


class RunControl(Protocol):
    """A living run, as every face handles it: in this process or over its socket.

    Names are replicas' or services' (all replicas of it). Unknown ones raise UsageError with the
    near misses.
    """

    async def status(self) -> states.RunStatus:
        """Return the run as it is now."""

    async def plan(self) -> plans.Plan:
        """Return the plan that is being kept, secrets masked."""

    async def secrets(self) -> tuple[str, ...]:
        """Return the values to mask wherever the run's output is printed."""

    async def settled(self) -> states.RunStatus:
        """Return when the start or change under way is over.

        Raises:
            StackError: what failed in it.
        """

    async def start_services(self, names: Sequence[str]) -> None:
        """Start what is not alive, what it needs first; returns when ready.

        Raises:
            ServiceError: one of them failed.
        """

    async def stop_services(self, names: Sequence[str]) -> None:
        """Stop them, dependents first; returns when all they started is gone."""

    async def restart_services(self, names: Sequence[str]) -> None:
        """Stop and start them; returns when ready again."""

    async def do_task(self, name: str) -> states.ServiceStatus:
        """Run a task again; returns when it has ended."""

    async def wait_for(
        self, name: str | None, wanted: Sequence[str], timeout_s: float | None
    ) -> states.RunStatus:
        """Wait until the replica(s), or the run for None, are in one of the states ``wanted``.

        Raises:
            ServiceError: time was up, or it can no longer come about.
        """

    async def why(self, name: str | None) -> Sequence[causes.Explanation]:
        """Return why a replica, or of a service's the one that is worst off, is as it is; for None,
        one explanation for each root of what is not well in the run."""

    async def execute(self, name: str, argv: Sequence[str], timeout_s: float | None) -> Executed:
        """Run a command in the surroundings of a replica."""

    async def surroundings(self, name: str) -> specs.ServiceSpec:
        """Return the spec of a replica, for a command that needs the caller's own terminal."""

    async def change(self, file: str) -> plans.Plan:
        """Load the file again and do the difference; returns the plan when all is ready."""

    async def stop_run(self, at_once: bool) -> None:
        """End the run: everything stopped in order (or at once), everything given back."""

    def events(self, since: int | None, logs: bool) -> AsyncGenerator[events.Event, None]:
        """Yield events after number ``since`` (None: from now on), then as they happen; ends with
        the run. ``logs``: with lines of output."""
