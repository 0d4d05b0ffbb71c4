"""Starting a part of a plan that stands: what was asked for, and what it needs that is not there."""

from collections.abc import Iterable, Sequence

from stackdsl.model import plans, states

_THERE = states.ALIVE | {"completed"}


def make_start_plan(
    plan: plans.Plan, observed: Sequence[plans.Observed], names: Iterable[str]
) -> tuple[plans.Step, ...]:
    """Return the steps that start replicas (by name) and what they need that is not there.

    What is asked for and ended is started again; a completed task only if it was asked for.
    Whoever is there already is awaited where somebody needs it ready.
    """
    state_of = {one.name: one.state for one in observed}
    by_owner: dict[str, list[plans.PlannedService]] = {}
    for replica in plan.services:
        by_owner.setdefault(replica.service, []).append(replica)
    asked = set(names)
    work = [replica for replica in plan.services if replica.name in asked]
    starting: dict[str, plans.PlannedService] = {}
    for replica in work:
        is_asked_again = replica.name in asked and state_of.get(replica.name) == "completed"
        if replica.name in starting or replica.target.startswith("external "):
            continue
        if state_of.get(replica.name, "waiting") in _THERE and not is_asked_again:
            continue
        starting[replica.name] = replica
        for need in replica.needs:
            if need.condition != "planned":
                work.extend(by_owner.get(need.name, ()))
    steps: list[plans.Step] = []
    for replica in plan.services:
        if replica.name in starting:
            steps.extend(_make_steps(replica, by_owner, starting, state_of, asked))
    return tuple(steps)


def _make_steps(
    replica: plans.PlannedService,
    by_owner: dict[str, list[plans.PlannedService]],
    starting: dict[str, plans.PlannedService],
    state_of: dict[str, str],
    asked: set[str],
) -> list[plans.Step]:
    name = replica.name
    needs: list[str] = []
    for need in replica.needs:
        if need.condition == "planned":
            continue
        for other in by_owner.get(need.name, ()):
            if other.name in starting:
                needs.append(_id_of(other, need.condition))
    cause = "asked for by hand" if name in asked else f"{name} is needed and not there"
    if replica.kind == "task":
        return [plans.RunTask(id=f"task:{name}", subject=name, needs=tuple(needs), cause=cause)]
    begun = f"start:{name}"
    made: list[plans.Step] = [
        plans.StartService(id=begun, subject=name, needs=tuple(needs), cause=cause),
        plans.AwaitReady(id=f"ready:{name}", subject=name, needs=(begun,), cause=cause),
    ]
    if any(
        need.name == replica.service and need.condition == "completed"
        for other in starting.values()
        for need in other.needs
    ):
        made.append(
            plans.AwaitCompleted(id=f"completed:{name}", subject=name, needs=(begun,), cause=cause)
        )
    return made


def _id_of(other: plans.PlannedService, condition: str) -> str:
    if other.kind == "task":
        return f"task:{other.name}"
    return f"{'start' if condition == 'started' else condition}:{other.name}"
