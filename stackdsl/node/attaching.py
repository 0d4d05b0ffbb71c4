"""Taking hold of a process that someone else started: watched and probed, never signalled."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence

from stackdsl.model import errors, facts, specs
from stackdsl.node import (
    drivers,
    executing,
    journal,
    launches,
    listening,
    probing,
    processes,
    proctable,
    surroundings,
)


class AttachedProcess:
    """See `drivers.Driver`."""

    is_foreign = True
    how_ended = ""
    exit_code: int | None = None
    container: str | None = None

    def __init__(
        self, spec: specs.ServiceSpec, around: surroundings.Surroundings, told: drivers.Told
    ) -> None:
        self.spec = spec
        self.offsets = (0, 0)
        self.is_held = False
        self._around = around
        self._told = told
        self._process: processes.Process | None = None

    @property
    def has_started(self) -> bool:
        """See `drivers.Driver`."""
        return self._process is not None

    @property
    def has_ended(self) -> bool:
        """See `drivers.Driver`."""
        return self._process is not None and self._process.has_ended

    @property
    def pid(self) -> int | None:
        """See `drivers.Driver`."""
        return None if self._process is None or self._process.has_ended else self._process.pid

    def marks(self) -> Mapping[str, object]:
        """See `drivers.Driver`."""
        assert self._process is not None
        return {"pid": self._process.pid, "start_ticks": self._process.start_ticks}

    def hold(self, row: journal.Row) -> None:
        """See `drivers.Driver`."""
        assert row.pid is not None
        self._process = self._around.spawner.adopt(row.pid, self._told.note_exit)
        self.is_held = True

    async def take_up(self, subject: probing.Subject) -> bool:  # noqa: ARG002  # the Protocol's
        """See `drivers.Driver`."""
        return True

    async def prepare(self, subject: probing.Subject) -> None:
        """See `drivers.Driver`."""

    async def start(self) -> None:
        """See `drivers.Driver`."""
        self._process = _attach(self.spec, self._around.spawner, self._told.note_exit)

    async def run(
        self,
        argv: Sequence[str],
        timeout_s: float | None,
        limit_bytes: int = executing.LIMIT_BYTES,
    ) -> executing.Outcome:
        """See `drivers.Driver`; its environment is not ours to know, so the run's is taken."""
        command = launches.with_argv(self._around.launch_of(self.spec), tuple(argv))
        return await executing.run(self._around.spawner, command, timeout_s, limit_bytes)

    async def run_beside(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],  # noqa: ARG002  # the Protocol's
        timeout_s: float | None,
    ) -> int | None:
        """See `drivers.Driver`; nobody asks this of a foreign one."""
        return (await self.run(argv, timeout_s)).exit_code

    async def look(self) -> tuple[tuple[tuple[int, str], ...], tuple[facts.Listener, ...]]:
        """See `drivers.Driver`."""
        mains = [] if self.pid is None else [self.pid]
        pids = [
            pid for pid in (*mains, *proctable.descendants(mains)) if proctable.start_ticks(pid)
        ]
        return (
            tuple((pid, " ".join(proctable.read_command(pid))) for pid in pids),
            listening.listeners_of(self._around.prober.looker, pids),
        )

    def signal(self, number: int) -> None:
        """See `drivers.Driver`."""

    def hurry(self) -> None:
        """See `drivers.Driver`."""

    async def end(
        self,
        timeout_s: float,  # noqa: ARG002  # the Protocol's
        command: Callable[[], Awaitable[None]] | None,  # noqa: ARG002  # the Protocol's
    ) -> str:
        """See `drivers.Driver`."""
        if self._process is not None:
            self._process.release()
        return ""

    async def drain(self) -> None:
        """See `drivers.Driver`."""

    def close(self) -> None:
        """See `drivers.Driver`."""


def _attach(
    spec: specs.ServiceSpec, spawner: processes.Spawner, on_exit: Callable[[], None]
) -> processes.Process:
    """Watch the process that a spec names by pid or by name.

    Raises:
        ServiceError: there is none, or several have that name.
    """
    pid = spec.attach_pid
    if pid is None:
        pid = _find(spec.attach_process or "")
    try:
        return spawner.adopt(pid, on_exit)
    except ProcessLookupError as error:
        raise errors.ServiceError(
            "start.no-process",
            f"process {pid} does not exist",
            do="start it, or correct attach(pid=…)",
        ) from error


def _find(name: str) -> int:
    found = [
        pid
        for pid in proctable.list_pids()
        if pid != os.getpid() and _is_called(pid, name) and proctable.start_ticks(pid)
    ]
    # Of a server and its forked workers, all of one name, the one above is meant.
    tops = [pid for pid in found if _parent(pid) not in found]
    if len(tops) == 1:
        return tops[0]
    if not found:
        raise errors.ServiceError(
            "start.no-process",
            f'no process is named "{name}"',
            why="compared with each process's short name and the last part of its argv[0]",
            do="start it, or correct attach(process=…); `ps -eo pid,comm,args` lists names",
        )
    raise errors.ServiceError(
        "start.ambiguous-process",
        f'{len(tops)} processes are named "{name}"',
        why="\n".join(f"{pid} {' '.join(proctable.read_command(pid))[:100]}" for pid in tops[:10]),
        do="name one: attach(pid=…)",
    )


def _is_called(pid: int, name: str) -> bool:
    if proctable.read_name(pid) == name:
        return True
    return os.path.basename(proctable.read_command(pid)[0]) == name


def _parent(pid: int) -> int:
    stat = proctable.read_stat(pid)
    return 0 if stat is None else stat.ppid
