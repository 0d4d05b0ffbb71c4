"""What a replica that has not started waits for, in a few words, read off the plan's steps."""

from collections.abc import Callable, Mapping

from stackdsl.model import plans

TOLD_MAX = 3
_STARTS = ("start", "task", "probe")
_AFTER_START = ("ready", "completed")


class Waits:
    """The steps of a plan, how far they are. ``state_of`` returns the state of a replica."""

    def __init__(self, plan: plans.Plan, state_of: Callable[[str], str]) -> None:
        self._steps: Mapping[str, plans.Step] = {step.id: step for step in plan.steps}
        self._needs = {one.name: one.needs for one in plan.services}
        self._replicas: dict[str, list[str]] = {}
        for one in plan.services:
            self._replicas.setdefault(one.service, []).append(one.name)
        self._state_of = state_of
        self._done: set[str] = set()
        self._begun: dict[str, str] = {}

    def knows(self, step_id: str) -> bool:
        """Whether a step is of this plan."""
        return step_id in self._steps

    def take(self, step_id: str, *, was: str | None, state: str | None, text: str) -> None:
        """Take in how far a step is; ``text`` is its progress where it had begun before."""
        if state == "begun":
            self._done.discard(step_id)
            self._begun[step_id] = text if was == "begun" else ""
        else:
            self._begun.pop(step_id, None)
            self._done.add(step_id)

    def progress_of(self, name: str) -> str:
        """Return how far the start of a replica itself is, where its node tells it."""
        return self._begun.get(f"start:{name}", "")

    def say(self, name: str) -> str:
        """Return what a replica's start waits for; "" where nothing is known."""
        step = next((s for s in map(self._steps.get, _name_starts(name)) if s is not None), None)
        if step is None:
            return self._say_needs(name)
        if self._begun.get(step.id):
            return self._begun[step.id]
        at_work, waited = self._find_open(step)
        if at_work:
            return "; ".join(at_work[:TOLD_MAX])
        if not waited:
            return "about to start"
        more = f" and {len(waited) - TOLD_MAX} more" if len(waited) > TOLD_MAX else ""
        return f"waits for {', '.join(waited[:TOLD_MAX])}{more}"

    def _say_needs(self, name: str) -> str:
        """Return what a replica needs that is not there, where its start is no step of this plan:
        it was one of an earlier plan."""
        waited = [
            f"{need.name} {need.condition}{_say_end(state)}"
            for need in self._needs.get(name, ())
            for state in [self._worst_of(need.name)]
            if not _is_met(need.condition, state)
        ]
        return f"waits for {', '.join(waited[:TOLD_MAX])}" if waited else ""

    def _worst_of(self, service: str) -> str:
        """Return the state of a service's replica that keeps others waiting, if one does."""
        found = [self._state_of(name) for name in self._replicas.get(service, ())]
        return next((state for state in found if not _is_met("ready", state)), "ready")

    def _find_open(self, step: plans.Step) -> tuple[list[str], list[str]]:
        """Return the work under way for a step, and the states that it waits for."""
        at_work: list[str] = []
        waited: list[str] = []
        seen: set[str] = set()
        left = list(step.needs)
        while left:
            need_id = left.pop(0)
            need = self._steps.get(need_id)
            if need_id in seen or need is None or self._is_done(need):
                continue
            seen.add(need_id)
            if need.kind in (*_STARTS, *_AFTER_START):
                waited.append(_say_wanted(need, self._state_of(need.subject)))
            elif need_id in self._begun:
                at_work.append(self._begun[need_id] or _say_work(need))
            else:
                left.extend(need.needs)
        return at_work, waited

    def _is_done(self, step: plans.Step) -> bool:
        if step.id in self._done:
            return True
        state = self._state_of(step.subject)
        match step.kind:
            case "ready" | "probe":
                return state in ("ready", "unready", "completed")
            case "completed" | "task":
                return state == "completed"
            case "start":
                return state not in ("", "waiting")
        return False


def _name_starts(name: str) -> list[str]:
    return [f"{kind}:{name}" for kind in _STARTS]


def _is_met(condition: str, state: str) -> bool:
    match condition:
        case "planned":
            return True
        case "started":
            return state not in ("", "waiting", "failed", "stopped")
        case "completed":
            return state == "completed"
    return state in ("ready", "unready", "completed")


def _say_wanted(step: plans.Step, now: str) -> str:
    wanted = {"start": "started", "task": "completed", "probe": "answering"}.get(step.kind)
    return f"{step.subject} {wanted or step.kind}{_say_end(now)}"


def _say_end(state: str) -> str:
    return {"failed": " (it has failed)", "stopped": " (it is stopped)"}.get(state, "")


def _say_work(step: plans.Step) -> str:
    match step:
        case plans.PrepareImage():
            return f"image {step.subject}"
        case plans.SetNetwork():
            return "making the network"
        case plans.ProveLinks():
            targets = dict.fromkeys(edge.target for edge in step.edges)
            return f"link to {', '.join(targets)}: trying"
        case plans.SetForwards():
            return "opening forwards"
    return step.id
