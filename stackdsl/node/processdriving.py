"""A native process of ours, as one start drives it."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from stackdsl.model import errors, facts, probes, specs
from stackdsl.node import (
    drivers,
    ending,
    executing,
    files,
    journal,
    launches,
    listening,
    outputs,
    owning,
    probing,
    processes,
    proctable,
    surroundings,
)


class ProcessDriver:
    """See `drivers.Driver`."""

    is_foreign = False
    how_ended = ""
    container: str | None = None

    def __init__(
        self, spec: specs.ServiceSpec, around: surroundings.Surroundings, told: drivers.Told
    ) -> None:
        self.spec = spec
        self.offsets = (0, 0)
        self._around = around
        self._told = told
        self._process: processes.Process | None = None
        self._launch: launches.Launch | None = None
        self._output: outputs.Output | None = None
        self._ending: ending.Ending | None = None
        self._is_hurried = False
        self._place: launches.Place | None = None
        self.is_held = False

    @property
    def has_started(self) -> bool:
        """See `drivers.Driver`."""
        return self._process is not None

    @property
    def has_ended(self) -> bool:
        """See `drivers.Driver`."""
        return self._process is not None and self._process.has_ended

    @property
    def exit_code(self) -> int | None:
        """See `drivers.Driver`."""
        return None if self._process is None else self._process.exit_code

    @property
    def pid(self) -> int | None:
        """See `drivers.Driver`."""
        return None if self._process is None or self._process.has_ended else self._process.pid

    def marks(self) -> Mapping[str, object]:
        """See `drivers.Driver`."""
        assert self._process is not None
        return {
            "pid": self._process.pid,
            "start_ticks": self._process.start_ticks,
            "out_offset": self.offsets[0],
            "err_offset": self.offsets[1],
        }

    def hold(self, row: journal.Row) -> None:
        """See `drivers.Driver`."""
        assert row.pid is not None
        self._process = self._around.spawner.adopt(row.pid, self._note_exit)
        self.offsets = row.offsets
        self.is_held = True

    async def take_up(self, subject: probing.Subject) -> bool:
        """See `drivers.Driver`."""
        keeper, folder = self._around.keeper, self._around.folder
        self._output = outputs.resume_output(keeper, self.spec, folder)
        if self.spec.namespace is not None and self.pid is not None:
            # runs without isolated processes do without it
            from stackdsl.node import isolating

            self._place = isolating.find_place(self.pid)
        self._introduce(subject)
        return True

    async def prepare(self, subject: probing.Subject) -> None:
        """See `drivers.Driver`."""
        if not self.spec.argv:
            raise errors.ServiceError(
                "start.no-command", "it has no command", do="return one from its body"
            )
        files.prepare(self.spec)
        self._output = outputs.open_output(self._around.keeper, self.spec, self._around.folder)
        self.offsets = self._output.offsets
        if self.spec.namespace is not None:
            # runs without isolated processes do without it
            from stackdsl.node import isolating

            self._place = await isolating.make_place(self.spec, self._around.folder)
        self._introduce(subject)

    def _introduce(self, subject: probing.Subject) -> None:
        spec, around = self.spec, self._around
        launch = around.launch_of(spec)
        if any(isinstance(check.probe, probes.Notify) for check in (*spec.ready, *spec.live)):
            subject.notices = around.open_notices(spec)
            launch = launches.with_env(launch, {"NOTIFY_SOCKET": subject.notices.address})
        self._launch = launch if self._place is None else launches.placed(launch, self._place)
        subject.run = self.run
        subject.find_stranger = self._find_stranger
        subject.logs = tuple(zip(around.log_paths(spec.name), self.offsets, strict=True))

    def _find_stranger(self, inodes: Collection[int]) -> str:
        return owning.find_stranger(inodes, self.pid, self.spec.name, self._around.families)

    async def start(self) -> None:
        """See `drivers.Driver`."""
        assert self._output is not None
        assert self._launch is not None
        launch = self._output.dress(self._launch)
        self._process = self._around.spawn(self.spec, launch, self._note_exit)
        self._output.release()

    def _note_exit(self) -> None:
        if self._ending is not None:
            self._ending.note_exit()
        self._told.note_exit()

    async def run(
        self,
        argv: Sequence[str],
        timeout_s: float | None,
        limit_bytes: int = executing.LIMIT_BYTES,
    ) -> executing.Outcome:
        """See `drivers.Driver`."""
        launch = self._launch or self._around.launch_of(self.spec)
        command = launches.with_argv(launch, tuple(argv))
        return await executing.run(self._around.spawner, command, timeout_s, limit_bytes)

    async def run_beside(
        self, argv: Sequence[str], env: Mapping[str, str], timeout_s: float | None
    ) -> int | None:
        """See `drivers.Driver`."""
        assert self._launch is not None
        command = launches.with_env(launches.with_argv(self._launch, tuple(argv)), env)
        with outputs.appending(self._around.keeper, self.spec.name) as (out, err):
            return await executing.run_into(
                self._around.spawner, launches.with_output(command, out, err), timeout_s
            )

    async def look(self) -> tuple[tuple[tuple[int, str], ...], tuple[facts.Listener, ...]]:
        """See `drivers.Driver`."""
        mains = [] if self.pid is None else [self.pid]
        pids = [
            *mains,
            *proctable.descendants(mains),
            *self._around.families.rest(self.spec.name),
        ]
        alive = [pid for pid in dict.fromkeys(pids) if proctable.start_ticks(pid)]
        return (
            tuple((pid, " ".join(proctable.read_command(pid))) for pid in alive),
            listening.listeners_beside(self.pid)
            if self._place is not None and self.pid is not None
            else listening.listeners_of(self._around.prober.looker, alive),
        )

    def signal(self, number: int) -> None:
        """See `drivers.Driver`."""
        if self._process is not None:
            self._process.signal_group(number)

    def hurry(self) -> None:
        """See `drivers.Driver`."""
        self._is_hurried = True
        if self._ending is not None:
            self._ending.hurry()

    async def end(self, timeout_s: float, command: Callable[[], Awaitable[None]] | None) -> str:
        """See `drivers.Driver`."""
        self._ending = ending.Ending(self._around.families, self.spec.name, self._process)
        self._ending.is_hurried = self._is_hurried
        number = self.spec.stop_signal if self.pid is not None else signal.SIGTERM
        await self._ending.end(number, timeout_s, command)
        return ""

    async def drain(self) -> None:
        """See `drivers.Driver`."""
        if self._output is not None:
            await self._output.drain()

    def close(self) -> None:
        """See `drivers.Driver`."""
        if self._output is not None:
            self._output.close()
        if self._place is not None:
            self._place.close()
            self._place = None


async def clear_rest(
    spec: specs.ServiceSpec, around: surroundings.Surroundings, *, at_once: bool
) -> None:
    """End what an ended process left behind in the background."""
    if not around.families.has_any:
        return
    rest = ending.Ending(around.families, spec.name, None)
    rest.is_hurried = at_once
    await rest.end(spec.stop_signal, spec.stop_timeout_s)


def lives(row: journal.Row, around: surroundings.Surroundings) -> bool:
    """Whether the process that a row names lives."""
    if row.pid is None or row.boot != around.journal.boot:
        return False
    return proctable.start_ticks(row.pid) == row.start_ticks


async def end_strays(
    around: surroundings.Surroundings, names: Collection[str], grace_s: float
) -> None:
    """End what carries the marks of replicas, whoever started it."""
    had_strangers, around.families.has_strangers = around.families.has_strangers, True
    try:
        async with asyncio.TaskGroup() as group:
            for name in sorted(names):
                stray = ending.Ending(around.families, name, None)
                group.create_task(stray.end(signal.SIGTERM, grace_s), name=f"end strays of {name}")
    finally:
        around.families.has_strangers = had_strangers
