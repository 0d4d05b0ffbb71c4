"""What becomes of each replica: the difference between what stands and what is wanted, with causes.

Laws: what runs as wanted is left alone; every other deed has a cause that says what differs.
"""

import dataclasses
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from stackdsl.model import plans, specs, states

Deed = Literal["start", "keep", "replace"]

_COMPARED = tuple(
    field.name
    for field in dataclasses.fields(specs.ServiceSpec)
    if field.name not in {"name", "service", "index", "env", "argv", "where"}
)
_SHOWN_LENGTH = 60


@dataclass(frozen=True, slots=True)
class Action:
    """What is to be done about one replica; ``state`` is what it was seen in ("": not there)."""

    deed: Deed
    cause: str
    state: str = ""


def decide(
    replicas: Sequence[plans.PlannedService],
    previous: plans.Plan | None,
    observed: Sequence[plans.Observed],
) -> dict[str, Action]:
    """Return what to do about each replica of the wanted plan, by name."""
    stood = {one.name: one for one in observed}
    before = {one.name: one for one in previous.services} if previous is not None else {}
    is_change = bool(observed)
    actions: dict[str, Action] = {}
    moved: set[str] = set()
    for replica in replicas:  # in order of stages, so that what is waited for comes first
        seen = stood.get(replica.name)
        action = _decide_one(replica, seen, before.get(replica.name), is_change=is_change)
        if action.deed == "keep":
            action = _follow(replica, action, moved)
        if action.deed != "keep" and is_change:
            moved.add(replica.service)
        actions[replica.name] = action
    return actions


def list_stopping(
    replicas: Sequence[plans.PlannedService],
    actions: Mapping[str, Action],
    observed: Sequence[plans.Observed],
) -> dict[str, str]:
    """Return the replicas that have to end, with the cause: changed ones and those gone."""
    wanted = {replica.name for replica in replicas}
    stopping = {
        one.name: f"{one.name} was removed from the stack"
        for one in observed
        if one.name not in wanted and one.state in states.ALIVE
    }
    for one in observed:
        action = actions.get(one.name)
        if action is not None and action.deed == "replace" and one.state in states.ALIVE:
            stopping[one.name] = action.cause
    return stopping


def make_stop_plan(
    plan: plans.Plan, observed: Sequence[plans.Observed], names: Iterable[str] = ()
) -> tuple[plans.Step, ...]:
    """Return the steps that stop what lives, dependents before what they need, else side by side.

    ``names`` are services or replicas; none means everything that was observed.
    """
    wanted = set(names)
    owners = {replica.name: replica.service for replica in plan.services}
    stopping = {
        one.name: "stop was asked for"
        for one in observed
        if one.state in states.ALIVE
        and (not wanted or one.name in wanted or owners.get(one.name) in wanted)
    }
    return order_stops(stopping, plan.services)


def order_stops(
    stopping: Mapping[str, str], replicas: Sequence[plans.PlannedService]
) -> tuple[plans.Step, ...]:
    """Return a stop for each name, after the stops of those of them that need it.

    ``replicas`` tell who needs whom; ``stopping`` is the cause by name.
    """
    ending: dict[str, list[str]] = {}
    known = [replica for replica in replicas if replica.name in stopping]
    for replica in known:
        ending.setdefault(replica.service, []).append(replica.name)
    waits: dict[str, set[str]] = {name: set() for name in stopping}
    for replica in known:
        for need in replica.needs:
            if need.condition == "planned":
                continue
            for name in ending.get(need.name, ()):
                waits[name].add(f"stop:{replica.name}")
    stages = {replica.name: replica.stage for replica in known}
    return tuple(
        plans.StopService(
            id=f"stop:{name}", subject=name, needs=tuple(sorted(waits[name])), cause=stopping[name]
        )
        for name in sorted(stopping, key=lambda name: (-stages.get(name, 0), name))
    )


def _decide_one(
    replica: plans.PlannedService,
    seen: plans.Observed | None,
    before: plans.PlannedService | None,
    *,
    is_change: bool,
) -> Action:
    name = replica.name
    if seen is None or seen.state == "waiting":
        is_new = is_change and before is None
        return Action("start", f"{name} was added to the stack" if is_new else _in_stack(name))
    stands = seen.state == "completed" or seen.state in states.ALIVE
    if not stands:
        return Action("start", f"{name} had {_say_ended(seen.state)}", seen.state)
    if seen.state == "stopping":
        return Action("replace", f"{name} is being stopped", seen.state)
    if seen.host != replica.host:
        return Action("replace", f"{name} moves from {seen.host} to {replica.host}", seen.state)
    is_same = seen.digest == replica.digest or not replica.digest
    if is_same:
        return Action("keep", f"{name} runs as wanted", seen.state)
    return Action("replace", f"{name}: {_describe_change(before, replica)}", seen.state)


def _follow(replica: plans.PlannedService, action: Action, moved: set[str]) -> Action:
    """Return the action of a replica that would be kept, were it not for others that move."""
    for name in replica.restart_with:
        if name in moved:
            return Action("replace", f"{replica.name}: restart_with {name}", action.state)
    for name in replica.after:
        if name in moved:
            return Action("replace", f"{replica.name}: task {name} runs again", action.state)
    return action


def _in_stack(name: str) -> str:
    return f"{name} is in the stack"


def _say_ended(state: str) -> str:
    return {"stopped": "been stopped"}.get(state, state)


def _describe_change(before: plans.PlannedService | None, wanted: plans.PlannedService) -> str:
    """Return what differs between the spec that was and the one that is wanted, in few words."""
    old = None if before is None else before.spec
    new = wanted.spec
    if old is None or new is None:
        return "what runs is not what is wanted"
    changes: list[str] = []
    if old.argv != new.argv:
        changes.append(f"command changed: {_shorten(shlex.join(new.argv))}")
    changes.extend(_describe_env(dict(old.env), dict(new.env)))
    changes.extend(
        f"{name.replace('_', ' ')} changed"
        for name in _COMPARED
        if getattr(old, name) != getattr(new, name)
    )
    shown = changes[:3]
    if len(changes) > 3:
        shown.append(f"{len(changes) - 3} more")
    return ", ".join(shown) or "what runs is not what is wanted"


def _describe_env(old: Mapping[str, str | None], new: Mapping[str, str | None]) -> list[str]:
    """Return which variables differ; never their values, which may be secret."""
    changes: list[str] = []
    for key in sorted(old.keys() | new.keys()):
        if key not in new:
            changes.append(f"env {key} removed")
        elif key not in old:
            changes.append(f"env {key} added")
        elif old[key] != new[key]:
            changes.append(f"env {key} changed")
    return changes


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN_LENGTH else f"{text[: _SHOWN_LENGTH - 1]}…"
