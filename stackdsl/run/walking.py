"""A walk: steps of a plan done as wide as their needs allow, each told when it may begin."""

import asyncio
from collections.abc import Callable, Sequence

from stackdsl.model import errors, plans


class Walk:
    """Steps under way. ``begin`` is called with every batch of steps whose needs are done; whoever
    carries them out calls `finish` or `fail`. Steps behind a failed one are never begun;
    ``keep_going`` tells whether the others are."""

    def __init__(
        self,
        steps: Sequence[plans.Step],
        begin: Callable[["Walk", list[plans.Step]], None],
        *,
        keep_going: bool = False,
    ) -> None:
        self._begin = begin
        self.keep_going = keep_going
        known = {step.id for step in steps}
        self._steps = {step.id: step for step in steps}
        self._left = {step.id: {need for need in step.needs if need in known} for step in steps}
        self._waiters: dict[str, list[str]] = {}
        for step_id, needs in self._left.items():
            for need in needs:
                self._waiters.setdefault(need, []).append(step_id)
        self._open = set(known)
        self.failures: list[errors.StackError] = []
        self.failed: set[str] = set()
        self._is_cancelled = False
        self._batch: list[plans.Step] = []
        self._flush: asyncio.Handle | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for step in steps:
            if not self._left[step.id]:
                self._queue(step)
        self._check_end()

    def __contains__(self, step_id: str) -> bool:
        return step_id in self._open

    @property
    def is_cancelled(self) -> bool:
        """Whether nothing more is begun."""
        return self._is_cancelled

    @property
    def steps(self) -> tuple[plans.Step, ...]:
        """All steps, in plan order."""
        return tuple(self._steps.values())

    @property
    def open_steps(self) -> tuple[plans.Step, ...]:
        """Steps that are neither done nor failed, in plan order."""
        return tuple(step for step in self._steps.values() if step.id in self._open)

    def waits_for(self, step_id: str) -> tuple[str, ...]:
        """Return the ids that a step still waits for, sorted."""
        return tuple(sorted(self._left.get(step_id, ())))

    def _queue(self, step: plans.Step) -> None:
        self._batch.append(step)
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._flush = None
        batch, self._batch = self._batch, []
        if batch and not self._is_cancelled:
            self._begin(self, batch)

    def finish(self, step_id: str) -> None:
        """Mark a step done; what waited only for it may begin."""
        if step_id not in self._open:
            return
        self._open.discard(step_id)
        for waiter in self._waiters.get(step_id, ()):
            needs = self._left[waiter]
            needs.discard(step_id)
            if not needs and waiter in self._open:
                self._queue(self._steps[waiter])
        self._check_end()

    def fail(self, step_id: str, error: errors.StackError | None) -> list[plans.Step]:
        """Mark a step failed, and everything behind it unreachable; return what is behind it."""
        if step_id not in self._open:
            return []
        if error is not None:
            self.failures.append(error)
        work = [step_id]
        behind: list[plans.Step] = []
        while work:
            current = work.pop()
            if current in self._open:
                self._open.discard(current)
                self.failed.add(current)
                behind.append(self._steps[current])
                work.extend(self._waiters.get(current, ()))
        self._check_end()
        return behind[1:]

    def cancel(self) -> None:
        """Begin nothing more and end the walk."""
        self._is_cancelled = True
        self._open.clear()
        self._check_end()

    def _check_end(self) -> None:
        if not self._open and not self._ended.done():
            self._ended.set_result(None)

    async def wait(self) -> None:
        """Return when no step is open."""
        await asyncio.shield(self._ended)
