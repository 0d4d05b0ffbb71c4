"""Probes after a service has become ready: whether it still is, and whether it is alive."""

import asyncio
from collections.abc import Callable
from functools import partial

from stackdsl.model import probes, specs
from stackdsl.node import probing


class Vigil:
    """Keeps an eye on one start. ``on_ready`` is told when readiness turns (with what was seen),
    ``on_dead`` when a liveness probe has failed for good."""

    def __init__(
        self,
        prober: probing.Prober,
        subject: probing.Subject,
        on_ready: Callable[[bool, str], None],
        on_dead: Callable[[str], None],
    ) -> None:
        self._prober = prober
        self._subject = subject
        self._on_ready = on_ready
        self._on_dead = on_dead
        self._bad: dict[int, str] = {}

    async def keep(self, spec: specs.ServiceSpec) -> None:
        """Watch for ever; nothing wakes up where nothing is to be probed."""
        ready = () if spec.is_default_ready else tuple(filter(_goes_on, spec.ready))
        live = () if spec.is_debugged else spec.live
        if not ready and not live:
            await asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as group:
            for number, check in enumerate(ready):
                changed = partial(self._note_ready, number, check)
                group.create_task(self._trial(check).keep(changed), name=f"keep {check.label}")
            for check in live:
                changed = partial(self._note_live, check)
                group.create_task(self._trial(check).keep(changed), name=f"keep {check.label}")

    def _trial(self, check: specs.Check) -> probing.Trial:
        return probing.Trial(prober=self._prober, check=check, subject=self._subject)

    def _note_ready(self, number: int, check: specs.Check, is_ok: bool, seen: str) -> None:
        was_bad = bool(self._bad)
        self._bad.pop(number, None)
        if not is_ok:
            self._bad[number] = f"{check.label} {seen}"
        if was_bad != bool(self._bad):
            self._on_ready(not self._bad, self._bad.get(number, ""))

    def _note_live(self, check: specs.Check, is_ok: bool, seen: str) -> None:
        if not is_ok:
            times = check.probe.timing.failures
            self._on_dead(f"not alive: {check.label} {seen} {times} times")


def _goes_on(check: specs.Check) -> bool:
    """Whether a readiness probe says something new after it has succeeded once."""
    return not isinstance(check.probe, probes.Log | probes.Notify)
