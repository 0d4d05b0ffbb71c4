"""Scenes: everything known of a run at one moment, for the question why something is as it is."""

from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

from stackdsl.model import errors, plans, requests, states
from stackdsl.run import engine

Look = requests.Inspection | errors.StackError


class Note(NamedTuple):
    """What is known of a replica beyond its status. ``last_end`` is how its last start but this
    ended."""

    why: str = ""
    do: str = ""
    lines: tuple[str, ...] = ()
    probe: str = ""
    last_end: str = ""
    is_final: bool = False


class Scene:
    """A run at one moment. ``works`` are steps under way with when they began and how far they
    are; ``failures`` steps that failed, with when and how; ``open_steps`` those not yet done;
    ``engines_away`` hosts whose engine of containers is away, since when and what was seen."""

    def __init__(
        self,
        status: states.RunStatus,
        plan: plans.Plan,
        *,
        now_ns: int,
        notes: Mapping[str, Note] | None = None,
        works: Mapping[str, tuple[int, str]] | None = None,
        failures: Mapping[str, tuple[int, errors.StackError]] | None = None,
        open_steps: frozenset[str] = frozenset(),
        engines_away: Mapping[str, tuple[int, str]] | None = None,
    ) -> None:
        self.status = status
        self.plan = plan
        self.now_ns = now_ns
        self.notes = notes or {}
        self.works = works or {}
        self.failures = failures or {}
        self.open_steps = open_steps
        self.engines_away = engines_away or {}
        self.replicas = {one.name: one for one in status.services}
        self.planned = {one.name: one for one in plan.services}
        self.steps = {step.id: step for step in plan.steps}

    @cached_property
    def by_service(self) -> dict[str, list[str]]:
        """The replicas of each service, in order."""
        found: dict[str, list[str]] = {}
        for one in self.status.services:
            found.setdefault(one.service, []).append(one.name)
        return found

    def is_container(self, name: str) -> bool:
        """Whether a replica is a container, ours or attached to."""
        planned = self.planned.get(name)
        if planned is None:
            return False
        spec = planned.spec
        return planned.container is not None or bool(spec and spec.attach_container)

    def note(self, name: str) -> Note:
        """Return what else is known of a replica."""
        return self.notes.get(name, Note())


def take(of: engine.Engine, status: states.RunStatus, now_ns: int) -> Scene:
    """Return the scene of an engine's run as it is now."""
    return Scene(
        status,
        of.current_plan,
        now_ns=now_ns,
        notes={
            name: Note(one.why, one.do, one.lines, one.probe, one.last_end, one.is_final)
            for name, one in of.ledger.replicas.items()
        },
        works=dict(of.works.begun),
        failures=dict(of.works.failures),
        open_steps=of.open_step_ids,
        engines_away=dict(of.works.engines_away),
    )
