"""What one start drives: a process or a container, ours or someone else's.

Laws: a start never asks what it drives; whatever differs between them stands behind this Protocol.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from stackdsl.model import facts, specs
from stackdsl.node import executing, journal, probing


class Told(Protocol):
    """Who is told what becomes of it: the start."""

    def note_exit(self) -> None:
        """Take note that it has ended."""

    def note_trouble(self, reason: str) -> None:
        """Take note that nothing can be known of it, and why; "": it is known again."""


class Driver(Protocol):
    """One start. ``spec`` may be replaced while it lives. Calls that cannot be carried out raise
    ServiceErrors; those whose codes begin with ``start.`` would fail another time too."""

    spec: specs.ServiceSpec

    @property
    def offsets(self) -> tuple[int, int]:
        """Where the output of this start begins in the logs."""

    @property
    def is_foreign(self) -> bool:
        """Whether someone else started it: it is never signalled, stopped or run hooks in."""

    @property
    def is_held(self) -> bool:
        """Whether an earlier node started it (`hold`)."""

    @property
    def has_started(self) -> bool:
        """Whether there is, or was, something that runs."""

    @property
    def has_ended(self) -> bool:
        """Whether that has ended."""

    @property
    def exit_code(self) -> int | None:
        """How: 128+N for signals, None where it cannot be known."""

    @property
    def how_ended(self) -> str:
        """What is known of its end beyond the exit code, in a few words."""

    @property
    def pid(self) -> int | None:
        """The pid of its main process while that lives, where it is known."""

    @property
    def container(self) -> str | None:
        """The id of its container."""

    def marks(self) -> Mapping[str, object]:
        """Return the fields of the journal by which a later node finds it."""

    def hold(self, row: journal.Row) -> None:
        """Be the start that a row of the journal tells of.

        Raises:
            ProcessLookupError: that has just ended, and nobody can know how.
        """

    async def take_up(self, subject: probing.Subject) -> bool:
        """Go on with what is held; return whether it is, or was, there at all."""

    async def prepare(self, subject: probing.Subject) -> None:
        """Make everything ready for the start: folder, files, output. ``subject`` is told how its
        probes are tried."""

    async def start(self) -> None:
        """Start it."""

    async def run(
        self,
        argv: Sequence[str],
        timeout_s: float | None,
        limit_bytes: int = executing.LIMIT_BYTES,
    ) -> executing.Outcome:
        """Run a command where it runs, with its environment and folder."""

    async def run_beside(
        self, argv: Sequence[str], env: Mapping[str, str], timeout_s: float | None
    ) -> int | None:
        """Run a command as `run` does, its output in the logs; return its exit code, None when it
        took too long."""

    async def look(self) -> tuple[tuple[tuple[int, str], ...], tuple[facts.Listener, ...]]:
        """Return its living processes (pid, command line) and the sockets that they listen on."""

    def signal(self, number: int) -> None:
        """Send it a signal; nothing happens when it has ended."""

    def hurry(self) -> None:
        """Let its end, under way or to come, be at once."""

    async def end(self, timeout_s: float, command: Callable[[], Awaitable[None]] | None) -> str:
        """Ask it to end (``command``, else its stop signal), kill it with all that it started
        after ``timeout_s``; return when nothing is left, or why something is. A foreign one is only
        let go."""

    async def drain(self) -> None:
        """Wait until what it has written has come to the logs."""

    def close(self) -> None:
        """Give back what was opened for it; it lives on if it lives."""
