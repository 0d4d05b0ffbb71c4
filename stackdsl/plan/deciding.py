"""What becomes of each replica: kept, started or replaced, with the cause.

Laws: what runs as wanted is left alone; every other deed has a cause that says what differs.
"""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from stackdsl.model import plans, specs, states

Deed = Literal["start", "keep", "replace"]

_COMPARED = tuple(
    field.name
    for field in dataclasses.fields(specs.ServiceSpec)
    if field.name not in {"name", "service", "index", "env", "argv", "where", "digest", "container"}
)
_SHOWN_LENGTH = 60


class Action(NamedTuple):
    """What is to be done about one replica; ``state`` is what it was seen in ("": not there)."""

    deed: Deed
    cause: str
    state: str = ""

    @property
    def is_stopped_first(self) -> bool:
        """Whether something of it still lives that has to end before it starts."""
        return self.deed == "replace" and self.state in states.ALIVE


def decide(
    replicas: Sequence[plans.PlannedService],
    previous: plans.Plan | None,
    observed: Sequence[plans.Observed],
    secrets: Sequence[str] = (),
) -> dict[str, Action]:
    """Return what to do about each replica of the wanted plan, by name.

    ``replicas`` come in order of stages; ``secrets`` are masked in causes.
    """
    stood = {one.name: one for one in observed}
    before = {one.name: one for one in previous.services} if previous is not None else {}
    is_change = bool(observed)
    actions: dict[str, Action] = {}
    for replica in replicas:
        seen = stood.get(replica.name)
        if seen is None or seen.state == "waiting":
            is_new = is_change and replica.name not in before
            reason = "was added to the stack" if is_new else "is in the stack"
            actions[replica.name] = Action("start", f"{replica.name} {reason}")
        else:
            known = before.get(replica.name)
            actions[replica.name] = _compare(replica, seen, known, secrets)
    if is_change:
        _follow_moved(replicas, actions)
    return actions


def _follow_moved(replicas: Sequence[plans.PlannedService], actions: dict[str, Action]) -> None:
    """Replace what would be kept, were it not for others that move, and whoever follows those."""
    moved = {replica.service for replica in replicas if actions[replica.name].deed != "keep"}
    is_settled = False
    while not is_settled:
        is_settled = True
        for replica in replicas:
            action = actions[replica.name]
            cause = _find_followed(replica, moved) if action.deed == "keep" else ""
            if cause:
                actions[replica.name] = Action("replace", cause, action.state)
                is_settled = is_settled and replica.service in moved
                moved.add(replica.service)


def _find_followed(replica: plans.PlannedService, moved: set[str]) -> str:
    for name in replica.restart_with:
        if name in moved:
            return f"{replica.name}: restart_with {name}"
    for name in replica.after:
        if name in moved:
            return f"{replica.name}: task {name} runs again"
    return ""


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
        if one.name not in wanted and one.host and one.state in states.ALIVE
    }
    for one in observed:
        action = actions.get(one.name)
        if action is not None and action.is_stopped_first:
            stopping[one.name] = action.cause
    return stopping


def _compare(
    replica: plans.PlannedService,
    seen: plans.Observed,
    before: plans.PlannedService | None,
    secrets: Sequence[str],
) -> Action:
    """Return what to do about a replica that was started before.

    A digest that is not known yet (its body waits for a task) does not differ.
    """
    name = replica.name
    if seen.state != "completed" and seen.state not in states.ALIVE:
        ended = "been stopped" if seen.state == "stopped" else seen.state
        return Action("start", f"{name} had {ended}", seen.state)
    deed: Deed = "replace"
    if seen.state == "stopping":
        cause = f"{name} is being stopped"
    elif seen.host != replica.host:
        cause = f"{name} moves from {seen.host} to {replica.host}"
    elif replica.digest and seen.digest != replica.digest:
        cause = f"{name}: {_describe_change(before, replica, secrets)}"
    else:
        has = "has completed" if seen.state == "completed" else "runs as wanted"
        deed, cause = "keep", f"{name} {has}"
    return Action(deed, cause, seen.state)


def _describe_change(
    before: plans.PlannedService | None, wanted: plans.PlannedService, secrets: Sequence[str]
) -> str:
    """Return what differs between the spec that was and the one that is wanted, in few words."""
    old = None if before is None else before.spec
    new = wanted.spec
    if old is None or new is None:
        return "what runs is not what is wanted"
    changes: list[str] = []
    if old.argv != new.argv:
        changes.append(f"command changed: {_shorten(_mask(shlex.join(new.argv), secrets))}")
    changes.extend(_describe_env(dict(old.env), dict(new.env)))
    changes.extend(_describe_container(old.container, new.container))
    changes.extend(
        f"{name.replace('_', ' ')} changed"
        for name in _COMPARED
        if getattr(old, name) != getattr(new, name)
    )
    shown = changes[:3]
    if len(changes) > 3:
        shown.append(f"{len(changes) - 3} more")
    return ", ".join(shown) or "what runs is not what is wanted"


def _describe_container(old: specs.Container | None, new: specs.Container | None) -> list[str]:
    if old == new:
        return []
    if old is None or new is None:
        return ["it becomes a container" if old is None else "it is no container any longer"]
    was, wanted = old.image.build, new.image.build
    if was is not None and wanted is not None and was.fingerprint != wanted.fingerprint:
        return [f"sources of its image changed in {wanted.context}"]
    if old.image.reference != new.image.reference:
        return [f"image changed from {old.image.reference} to {new.image.reference}"]
    return [
        f"{field.name} changed"
        for field in dataclasses.fields(specs.Container)
        if getattr(old, field.name) != getattr(new, field.name)
    ]


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


def _mask(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN_LENGTH else f"{text[: _SHOWN_LENGTH - 1]}…"
