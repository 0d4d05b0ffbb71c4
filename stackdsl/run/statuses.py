"""The status of a run, put together from what its engine knows."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from stackdsl.model import plans, states, times
from stackdsl.run import engine, replicas


def make_status(
    of: engine.Engine, state: states.RunState, since_ns: int, mask: Callable[[str], str]
) -> states.RunStatus:
    """Return the run's status; ``mask`` hides secrets in reasons."""
    plan = of.current_plan
    mine = [of.ledger.replicas[s.name] for s in plan.services if s.name in of.ledger.replicas]
    services = [replicas.service_status(replica) for replica in mine]
    return states.RunStatus(
        run=plan.run,
        stack=plan.stack,
        state=state,
        since=times.format_time(since_ns),
        services=tuple(replace(one, reason=mask(one.reason)) for one in services),
        hosts=tuple(_host_status(of, host.name, mask) for host in plan.hosts),
        links=_link_statuses(plan, mine),
        seq=of.events.last_seq,
    )


def _host_status(of: engine.Engine, name: str, mask: Callable[[str], str]) -> states.HostStatus:
    why = of.hosts_lost.get(name)
    if why is None:
        return states.HostStatus(name=name, state="connected")
    return states.HostStatus(name=name, state="lost", reason=mask(why))


def _link_statuses(
    plan: plans.Plan, replicas: Iterable[replicas.Replica]
) -> tuple[states.LinkStatus, ...]:
    up: set[str] = set()
    for replica in replicas:
        if replica.state == "ready":
            up |= {replica.planned.name, replica.planned.service}
    return tuple(
        states.LinkStatus(
            source=link.source,
            target=link.target,
            port=link.port,
            kind=link.kind,
            address=link.address,
            state="up" if link.target in up else "down",
        )
        for link in plan.links
    )
