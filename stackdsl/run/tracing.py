"""Tracing: from a replica that is not well to what that comes from, along the plan's needs.

Pure. What is waited for is a cause; what is called and is in a bad way is one too, unless it got
there later. The worst off of several is followed; each replica is looked at once.
"""

from collections.abc import Iterator
from typing import NamedTuple

from stackdsl.model import errors, plans, states
from stackdsl.run import preparing, scenes

Kind = str
_STARTS = ("start", "task", "probe")
_AFTER = ("ready", "completed", "keep")
# The lower, the more likely is it what everything comes from.
_RANKS = {
    "failed": 0, "unreachable": 0, "lost": 0, "completed": 0, "stopped": 1, "restarting": 2,
    "unready": 3, "stopping": 3, "starting": 4, "running": 4, "waiting": 6, "ready": 7,
}  # fmt: skip
_BAD = ("failed", "stopped", "stopping", "restarting", "unready", "completed")


class Hop(NamedTuple):
    """One thing in a chain: a replica, or a step of ours (``step_id``). ``state`` is how it is,
    ``via`` what the one before has to do with it ("waits for db ready")."""

    subject: str
    kind: Kind
    state: str
    via: str = ""
    step_id: str = ""


class Tracer:
    """Finds the chains of one scene."""

    def __init__(self, scene: scenes.Scene) -> None:
        self._scene = scene
        self._known: dict[str, tuple[Hop, ...]] = {}
        self._under_way: dict[str, list[Hop]] = {}

    def trace(self, name: str, via: str = "") -> tuple[Hop, ...]:
        """Return the chain from a replica (the first) to what it comes from (the last)."""
        left = [name]  # no recursion: chains may be as long as a stack is large
        while left:
            top = left[-1]
            if top in self._known:
                left.pop()
                continue
            if top not in self._under_way:
                self._under_way[top] = self.list_nexts(top)
            deeper = [hop.subject for hop in self._under_way[top] if self._is_new(hop)]
            if deeper:
                left.append(deeper[0])
                continue
            tails = [self._follow(hop) for hop in self._under_way[top] if self._is_known(hop)]
            self._known[top] = min(tails, key=self._rank) if tails else ()
            del self._under_way[top]
        return self._follow(Hop(name, kind_of(self._scene.replicas[name]), "", via))

    def _is_replica(self, hop: Hop) -> bool:
        return not hop.step_id and hop.subject in self._scene.replicas

    def _is_new(self, hop: Hop) -> bool:
        return (
            self._is_replica(hop)
            and hop.subject not in self._known
            and hop.subject not in self._under_way
        )

    def _is_known(self, hop: Hop) -> bool:
        return not self._is_replica(hop) or hop.subject in self._known

    def _follow(self, hop: Hop) -> tuple[Hop, ...]:
        if not self._is_replica(hop):
            return (hop,)
        state = self._scene.replicas[hop.subject].state
        return (hop._replace(state=state), *self._known[hop.subject])

    def _rank(self, chain: tuple[Hop, ...]) -> tuple[int, str]:
        root = chain[-1]
        rank = 5 if root.step_id and root.state == "running" else _RANKS.get(root.state, 6)
        one = self._scene.replicas.get(root.subject)
        return rank, one.since if one is not None else ""

    def list_nexts(self, name: str) -> list[Hop]:
        """Return everything that a replica's state may come from, one step on."""
        one = self._scene.replicas[name]
        lost = [h for h in self._scene.status.hosts if h.name == one.host and h.state == "lost"]
        if lost and one.state not in ("completed", "stopped"):
            return [Hop(one.host, "host", "lost", f"runs on {one.host}")]
        is_boxed = self._scene.is_container(name)
        if is_boxed and one.state in states.ALIVE and one.host in self._scene.engines_away:
            return [Hop(one.host, "host", "failed", f"runs in the engine of {one.host}")]
        match one.state:
            case "waiting":
                return self._list_waits(name)
            case "failed":
                return self._list_own_failures(one) or list(self._list_suspects(one))
            case "starting" | "unready" | "restarting" | "running":
                return list(self._list_suspects(one))
        return []

    # --- what it waits for ----------------------------------------------------------------------

    def _list_waits(self, name: str) -> list[Hop]:
        step = self._step_of(name)
        if step is None:
            return list(self._list_unmet(name))
        found: dict[tuple[str, str], Hop] = {}
        left, seen = list(step.needs), set()
        while left:
            need_id = left.pop(0)
            need = self._scene.steps.get(need_id)
            if need_id in seen or need is None:
                continue
            seen.add(need_id)
            hop = self._find_wait(need)
            if hop is not None:
                found.setdefault((hop.kind, hop.subject), hop)
            elif need.kind not in (*_STARTS, *_AFTER) and need_id in self._scene.open_steps:
                left.extend(need.needs)
        return list(found.values()) or list(self._list_unmet(name))

    def _step_of(self, name: str) -> plans.Step | None:
        ids = (f"{kind}:{name}" for kind in _STARTS)
        return next((self._scene.steps[i] for i in ids if i in self._scene.steps), None)

    def _find_wait(self, need: plans.Step) -> Hop | None:
        """Return what is to be waited for of a step, None if it is done or waits itself."""
        scene = self._scene
        if need.kind in (*_STARTS, *_AFTER):
            one = scene.replicas.get(need.subject)
            wanted = {"start": "started", "task": "completed", "probe": "ready"}
            condition = wanted.get(need.kind, need.kind)
            if one is None or condition == "keep" or is_met(condition, one.state):
                return None
            via = f"waits for {one.name} {condition}"
            return Hop(one.name, kind_of(one), one.state, via)
        if need.id in scene.failures:
            return _blame_step(need, scene.failures[need.id][1], "needs it")
        if need.id in scene.works and need.id in scene.open_steps:
            kind = need.kind if need.kind in ("image", "network", "link", "forward") else "service"
            return Hop(_name_step(need), kind, "running", say_work(need), need.id)
        return None

    def _list_unmet(self, name: str) -> Iterator[Hop]:
        """Yield what a replica needs that is not there, where no step says so."""
        planned = self._scene.planned.get(name)
        for need in planned.needs if planned is not None else ():
            for callee in self._scene.by_service.get(need.name, ()):
                one = self._scene.replicas[callee]
                if not is_met("completed" if one.kind == "task" else need.condition, one.state):
                    via = f"waits for {callee} {need.condition}"
                    yield Hop(callee, kind_of(one), one.state, via)

    # --- what it failed of ----------------------------------------------------------------------

    def _list_own_failures(self, one: states.ServiceStatus) -> list[Hop]:
        """Return the step of ours that a replica failed with."""
        step = self._step_of(one.name)
        for need_id in step.needs if step is not None else ():
            need, failure = self._scene.steps.get(need_id), self._scene.failures.get(need_id)
            if need is None or failure is None or need.kind in (*_STARTS, *_AFTER):
                continue
            if failure[1].what == one.reason:
                return [_blame_step(need, failure[1], "cannot start without it")]
        return []

    # --- whom it calls --------------------------------------------------------------------------

    def _list_suspects(self, one: states.ServiceStatus) -> Iterator[Hop]:
        """Yield those whom a replica calls and who are in a bad way, and were before it."""
        planned = self._scene.planned.get(one.name)
        for need in planned.needs if planned is not None else ():
            if need.condition == "completed":
                continue
            for name in self._scene.by_service.get(need.name, ()):
                callee = self._scene.replicas[name]
                if callee.kind == "task" or callee.name == one.name or not _is_bad(callee):
                    continue
                is_on_its_way = one.state in ("starting", "running")
                if is_on_its_way or callee.since <= one.since or callee.restarts or one.restarts:
                    via = f"calls {name}, which {say_is(callee.state)}"
                    yield Hop(name, kind_of(callee), callee.state, via)


def _is_bad(one: states.ServiceStatus) -> bool:
    return one.state in _BAD or (one.state == "starting" and one.restarts > 0)


def say_is(state: str) -> str:
    """Return a state as the end of a sentence: "is starting", "has failed"."""
    return {"failed": "has failed", "completed": "has ended", "stopped": "is stopped"}.get(
        state, f"is {state}"
    )


def kind_of(one: states.ServiceStatus) -> str:
    """Return what a replica is, external services told apart."""
    return "external" if one.target.startswith("external ") else one.kind


def is_met(condition: str, state: str) -> bool:
    """Whether a state is what is needed."""
    match condition:
        case "planned":
            return True
        case "started":
            return state not in ("", "waiting", "failed", "stopped")
        case "completed":
            return state == "completed"
    return state in ("ready", "unready", "completed")


def _blame_step(step: plans.Step, error: errors.StackError, via: str) -> Hop:
    first = errors.flatten(error)[0]
    if isinstance(step, plans.ProveLinks):
        for edge in step.edges:
            if preparing.say_unreachable(edge) == first.what:
                return Hop(edge.target, "link", "unreachable", f"calls {edge.target}", step.id)
    if isinstance(first, errors.HostError) or first.code == "run.engine-away":
        return Hop(getattr(step, "host", step.subject), "host", "failed", via, step.id)
    return Hop(_name_step(step), step.kind, "failed", via, step.id)


def _name_step(step: plans.Step) -> str:
    if isinstance(step, plans.ProveLinks):
        return step.edges[0].target if step.edges else step.subject
    return step.subject


def say_work(step: plans.Step) -> str:
    """Return what a step of ours that is under way is, for whoever waits for it."""
    match step:
        case plans.PrepareImage():
            return f"waits for image {step.subject}"
        case plans.SetNetwork():
            return "waits for the run's network"
        case plans.ProveLinks():
            return f"its link to {_name_step(step)} is being tried"
        case plans.SetForwards():
            return "waits for forwards"
        case plans.StopService():
            return f"waits until the {step.subject} before it is stopped"
    return f"waits for {step.id}"
