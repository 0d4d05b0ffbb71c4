"""Reasoning: the chain of a replica that is asked about, in words, with evidence and a next thing
to do.

Pure. What a node sees of a root (`ports.Node.inspect`) is handed in by the root's name.
"""

from collections.abc import Mapping, Sequence

from stackdsl.model import causes, errors, plans, requests, states, times
from stackdsl.run import scenes, telling, tracing

_NAMED_MAX = 5
# The worst off of several replicas is the one that is told of.
_ORDER = (
    "failed", "stopped", "restarting", "unready", "stopping", "waiting", "starting", "running",
    "ready", "completed",
)  # fmt: skip
_LOOKED_AT = ("starting", "unready", "restarting", "running", "completed", "stopped")


class Reasoner:
    """Explains what is in a scene. `find_roots` first, so that the roots can be looked at."""

    def __init__(self, scene: scenes.Scene) -> None:
        self._scene = scene
        self._tracer = tracing.Tracer(scene)
        self.looks: Mapping[str, scenes.Look] = {}

    def pick(self, names: Sequence[str]) -> str:
        """Return the replica to explain of several: the worst off, the first of equals."""
        rank = {state: number for number, state in enumerate(_ORDER)}
        return min(names, key=lambda name: rank[self._scene.replicas[name].state])

    def list_unwell(self) -> list[str]:
        """Return the replicas that are neither ready nor completed, in order."""
        return [
            one.name
            for one in self._scene.status.services
            if one.state not in ("ready", "completed")
        ]

    def find_roots(self, names: Sequence[str]) -> list[str]:
        """Return the replicas at the end of the chains that are worth a look on their machine."""
        roots = dict.fromkeys(self._tracer.trace(name)[-1] for name in names)
        return [
            hop.subject
            for hop in roots
            if hop.subject in self._scene.replicas
            and not hop.step_id
            and (hop.state in _LOOKED_AT or hop.subject in self._begun_starts())
        ]

    def _begun_starts(self) -> set[str]:
        ids = self._scene.open_steps & set(self._scene.works)
        return {self._scene.steps[one].subject for one in ids if one in self._scene.steps}

    def explain_all(self, names: Sequence[str]) -> tuple[causes.Explanation, ...]:
        """Return an explanation for each root of several replicas: the longest chain to it, the
        others named."""
        by_root: dict[tuple[str, str], list[causes.Explanation]] = {}
        for name in names:
            one = self.explain(name)
            by_root.setdefault((one.root.kind, one.root.subject), []).append(one)
        found = []
        for mine in by_root.values():
            main = max(mine, key=lambda one: len(one.causes))
            told = {cause.subject for cause in main.causes}
            also = tuple(one.name for one in mine if one.name not in told)
            found.append(_with_affected(main, also))
        return tuple(found)

    def explain(self, name: str, others: Sequence[str] = ()) -> causes.Explanation:
        """Return why a replica is as it is; ``others`` are its service's other replicas."""
        hops = list(self._tracer.trace(name))
        hops += self._find_host(hops[-1])
        chain = [
            self._tell_middle(hop, hops[number + 1])
            for number, hop in enumerate(hops[:-1])
        ]  # fmt: skip
        chain.append(self._tell_root(hops[-1], hops[-2] if len(hops) > 1 else None))
        if others:
            chain[-1] = _with_evidence(chain[-1], self._say_others(name, others))
        return causes.Explanation(
            run=self._scene.status.run,
            name=name,
            headline=_say_headline(chain),
            causes=tuple(chain),
        )

    def _find_host(self, hop: tracing.Hop) -> list[tracing.Hop]:
        """Return the machine, where looking at the root has shown that it, or its engine, is what
        lacks."""
        look = self.looks.get(hop.subject)
        if hop.state not in states.ALIVE or not isinstance(look, errors.StackError):
            return []
        if not (isinstance(look, errors.HostError) or look.code == "run.engine-away"):
            return []
        host = self._scene.replicas[hop.subject].host
        return [tracing.Hop(host, "host", "failed", f"runs on {host}")]

    def _say_others(self, name: str, others: Sequence[str]) -> tuple[str, ...]:
        told = [f"{one} is {self._scene.replicas[one].state}" for one in others if one != name]
        more = f" and {len(told) - _NAMED_MAX} more" if len(told) > _NAMED_MAX else ""
        return (f"its other replicas: {', '.join(told[:_NAMED_MAX])}{more}",) if told else ()

    # --- in the middle --------------------------------------------------------------------------

    def _tell_middle(self, hop: tracing.Hop, next_: tracing.Hop) -> causes.Cause:
        one = self._scene.replicas[hop.subject]
        why = next_.via
        if one.state != "waiting" and one.reason:
            why = f"{telling.first_line(one.reason)}; it {next_.via}"
        also = [
            other.via or other.subject
            for other in self._tracer.list_nexts(hop.subject)
            if (other.kind, other.subject) != (next_.kind, next_.subject)
        ]
        return causes.Cause(
            subject=one.name,
            kind=hop.kind,  # type: ignore[arg-type]  # made by tracing, of the same words
            state=one.state,
            since=one.since,
            why=why,
            evidence=(f"it also {telling.list_some(also)}",) if also else (),
        )

    # --- the root -------------------------------------------------------------------------------

    def _tell_root(self, hop: tracing.Hop, before: tracing.Hop | None) -> causes.Cause:
        if hop.kind == "host":
            return self._tell_host(hop, before)
        if hop.step_id:
            return self._tell_step(hop)
        one = self._scene.replicas[hop.subject]
        look = self.looks.get(one.name)
        seen = look if isinstance(look, requests.Inspection) else requests.Inspection()
        teller = telling.Teller(self._scene, one, seen)
        why, evidence, do = telling.TELLERS[one.state](teller)
        return causes.Cause(
            subject=one.name,
            kind=hop.kind,  # type: ignore[arg-type]  # made by tracing, of the same words
            state=one.state,
            since=one.since,
            why=why,
            evidence=tuple(evidence),
            do=do,
        )

    def _tell_host(self, hop: tracing.Hop, before: tracing.Hop | None) -> causes.Cause:
        failed = self._scene.failures.get(hop.step_id)
        look = self.looks.get(before.subject) if before is not None else None
        found = failed[1] if failed else look if isinstance(look, errors.StackError) else None
        away = self._scene.engines_away.get(hop.subject)
        if found is None and away is not None:
            return causes.Cause(
                subject=hop.subject,
                kind="host",
                state=hop.state,
                since=times.format_time(away[0]),
                why=f"its engine of containers is away: {telling.first_line(away[1])}",
                evidence=telling.split(away[1])[1:],
                do="start the engine (systemctl start docker): what ran in it is taken back then",
            )
        if found is None:
            host = next((h for h in self._scene.status.hosts if h.name == hop.subject), None)
            why = host.reason if host is not None else ""
            do = "see whether the machine runs and is reached: stackdsl doctor"
            return causes.Cause(
                subject=hop.subject, kind="host", state=hop.state, why=why or "not reached", do=do
            )
        first = errors.flatten(found)[0]
        return causes.Cause(
            subject=hop.subject,
            kind="host",
            state=hop.state,
            since=times.format_time(failed[0]) if failed else "",
            why=first.what,
            evidence=telling.split(first.why),
            do=first.do,
        )

    def _tell_step(self, hop: tracing.Hop) -> causes.Cause:
        scene = self._scene
        failed = scene.failures.get(hop.step_id)
        if failed is not None:
            return _tell_failed_step(hop, *failed, scene.steps[hop.step_id])
        began_ns, text = scene.works.get(hop.step_id, (scene.now_ns, ""))
        age = telling.say_s((scene.now_ns - began_ns) / 1e9)
        step = scene.steps[hop.step_id]
        return causes.Cause(
            subject=hop.subject,
            kind=hop.kind,  # type: ignore[arg-type]  # made by tracing, of the same words
            state=hop.state,
            since=times.format_time(began_ns),
            why=f"{_WORKS.get(hop.kind, 'under way')} for {age}" + (f": {text}" if text else ""),
            evidence=(f"the step {step.id} of the plan: {step.cause}",),
            do="wait for it; what is done is told by: stackdsl events " + scene.status.run,
        )


_WORKS = {
    "image": "it has been pulled or built", "network": "it has been made",
    "link": "it has been tried", "forward": "they have been opened",
}  # fmt: skip


def _tell_failed_step(
    hop: tracing.Hop, failed_ns: int, error: errors.StackError, step: plans.Step
) -> causes.Cause:
    mine = errors.flatten(error)
    first = next((one for one in mine if f'"{hop.subject}"' in one.what), mine[0])
    return causes.Cause(
        subject=hop.subject,
        kind=hop.kind,  # type: ignore[arg-type]  # made by tracing, of the same words
        state=hop.state,
        since=times.format_time(failed_ns),
        why=first.what,
        evidence=(
            *telling.split(first.why),
            f"the step {step.id} of the plan: {step.cause}",
            *telling.say_lines(first.lines),
        ),
        do=first.do,
    )


def _say_headline(chain: Sequence[causes.Cause]) -> str:
    first, root = chain[0], chain[-1]
    if len(chain) == 1:
        return f"{first.subject} {tracing.say_is(first.state)}: {root.why}"
    return f"{first.subject} {tracing.say_is(first.state)} because {_say_root(root)}: {root.why}"


def _say_root(root: causes.Cause) -> str:
    match root.kind:
        case "image":
            is_failed = root.state == "failed"
            return f'image "{root.subject}" {"cannot be had" if is_failed else "is not there yet"}'
        case "link":
            is_tried = root.state == "running"
            return f"its link to {root.subject} " + ("is being tried" if is_tried else "is broken")
        case "host":
            return f"host {root.subject} does not do"
        case "network" | "forward":
            is_failed = root.state == "failed"
            return f"the {root.kind} of {root.subject} {'failed' if is_failed else 'is not there'}"
    return f"{root.subject} {tracing.say_is(root.state)}"


def _with_affected(one: causes.Explanation, names: tuple[str, ...]) -> causes.Explanation:
    return causes.Explanation(
        run=one.run, name=one.name, headline=one.headline, causes=one.causes, affects=names
    )


def _with_evidence(one: causes.Cause, more: tuple[str, ...]) -> causes.Cause:
    return causes.Cause(
        subject=one.subject, kind=one.kind, state=one.state, since=one.since, why=one.why,
        evidence=(*one.evidence, *more), do=one.do,
    )  # fmt: skip
