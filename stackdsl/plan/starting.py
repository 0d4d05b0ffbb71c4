"""Starting a part of a plan that stands: what was asked for, and what it needs that is missing."""

from collections.abc import Iterable, Sequence

from stackdsl.model import plans, states
from stackdsl.plan import deciding, grounding, stepping


def make_start_plan(
    plan: plans.Plan, observed: Sequence[plans.Observed], names: Iterable[str]
) -> tuple[plans.Step, ...]:
    """Return the steps that start services or replicas which do not live, and what they need.

    What is asked for and has ended is started again, a completed task too; of what it needs, only
    what is missing. What stands already is waited for where it is not yet what is needed.
    """
    wanted = set(names)
    stood = {one.name: one.state for one in observed}
    asked = {r.name for r in plan.services if r.name in wanted or r.service in wanted}
    replicas = _find_needed(plan, asked, stood)
    actions: dict[str, deciding.Action] = {}
    for replica in replicas:
        state = stood.get(replica.name, "")
        is_asked = replica.name in asked
        if _stands(state, is_asked=is_asked):
            actions[replica.name] = deciding.Action("keep", f"{replica.name} stands", state)
        else:
            cause = "asked for by hand" if is_asked else f"{replica.name} is needed and missing"
            actions[replica.name] = deciding.Action("start", cause, state or "waiting")
    fresh = [name for name, action in actions.items() if action.deed == "start"]
    ground = grounding.Ground(dict(plan.networks), dict(plan.forwards), plan.links)
    readied = grounding.ready(plan.services, fresh, ground, replaced={})
    needing = {need for name in fresh for need in readied.needs.get(name, ())}
    proving = {need for name in fresh for need in readied.edge_needs.get(name, ())}
    begun = [step for step in readied.steps if step.id in needing | proving]
    steps = [*begun, *stepping.write_steps(replicas, actions, {}, readied)]
    done = {
        step.id
        for step in steps
        if isinstance(step, plans.KeepService)
        or (isinstance(step, plans.ProbeExternal) and stood.get(step.subject) == "ready")
    }
    return tuple(stepping.drop_needs(step, done) for step in steps if step.id not in done)


def _stands(state: str, *, is_asked: bool) -> bool:
    return state in states.ALIVE or (state == "completed" and not is_asked)


def _find_needed(
    plan: plans.Plan, asked: set[str], stood: dict[str, str]
) -> list[plans.PlannedService]:
    """Return, in the plan's order, what was asked for and what that needs; what stands needs
    nothing more."""
    by_service: dict[str, list[plans.PlannedService]] = {}
    for replica in plan.services:
        by_service.setdefault(replica.service, []).append(replica)
    queue = [replica for replica in plan.services if replica.name in asked]
    found = set(asked)
    for replica in queue:
        if _stands(stood.get(replica.name, ""), is_asked=replica.name in asked):
            continue
        for need in replica.needs:
            for callee in by_service[need.name] if need.condition != "planned" else ():
                if callee.name not in found:
                    found.add(callee.name)
                    queue.append(callee)
    return [replica for replica in plan.services if replica.name in found]
