"""From what stands to what is wanted: the steps of a start, a change and a stop.

Laws: what runs as wanted is left alone; dependents end before what they need; a socket is bound
anew only when its old owner is gone.
"""

from collections.abc import Iterable, Mapping, Sequence

from stackdsl.model import plans, specs, states
from stackdsl.plan import claiming, deciding, grounding, stepping

Forwards = grounding.Forwards
_Bound = tuple[str, str, int]


def make_steps(
    replicas: Sequence[plans.PlannedService],
    ground: grounding.Ground,
    previous: plans.Plan | None,
    observed: Sequence[plans.Observed],
    secrets: Sequence[str] = (),
) -> tuple[plans.Step, ...]:
    """Return the steps from what stands to what is wanted.

    ``replicas`` are the wanted ones in order of stages; ``ground`` what they stand on and are told;
    ``secrets`` must not stand in causes.
    """
    stood = previous.services if previous is not None else replicas
    actions = deciding.decide(replicas, previous, observed, secrets)
    stopping = deciding.list_stopping(replicas, actions, observed)
    leaving = _map_leaving(stood, stopping)
    before = dict(previous.forwards) if previous is not None and observed else {}
    extra = _find_extra_needs(replicas, (ground.forwards, before), leaving)
    readied = grounding.ready(
        replicas,
        [name for name, action in actions.items() if action.deed != "keep"],
        ground,
        replaced=_find_replaced(previous, observed, ground, stopping),
    )
    return (
        *readied.steps,
        *_follow_images(order_stops(stopping, stood), readied),
        *_make_forwards(ground, before, leaving),
        *stepping.write_steps(replicas, actions, extra, readied),
    )


def _find_replaced(
    previous: plans.Plan | None,
    observed: Sequence[plans.Observed],
    ground: grounding.Ground,
    stopping: Mapping[str, str],
) -> dict[str, list[str]]:
    if previous is None or not observed or not previous.networks:
        return {}
    hosts = {one.name: one.host for one in previous.services}
    stops = {f"stop:{name}": hosts.get(name, "") for name in stopping}
    return grounding.find_replaced(dict(previous.networks), ground, stops)


def _follow_images(
    stops: Sequence[plans.StopService], readied: grounding.Readied
) -> list[plans.Step]:
    """Let what is to be replaced live on until the image of its successor is there."""
    return [
        stepping.add_needs(stop, [readied.images[stop.subject]])
        if stop.subject in readied.images
        else stop
        for stop in stops
    ]


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
) -> tuple[plans.StopService, ...]:
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


class _Leaving:
    """The sockets of replicas that are to end: who has to be gone before one is bound anew."""

    def __init__(self) -> None:
        self.sockets: dict[_Bound, dict[str, set[str]]] = {}

    def find(self, host: str, protocol: str, address: str, port: int) -> set[str]:
        """Return the stop steps that free a socket."""
        held = self.sockets.get((host, protocol, port))
        if not held:
            return set()
        return {
            step
            for other, steps in held.items()
            if other == address or claiming.is_wildcard(other) or claiming.is_wildcard(address)
            for step in steps
        }


def _map_leaving(stood: Sequence[plans.PlannedService], stopping: Mapping[str, str]) -> _Leaving:
    leaving = _Leaving()
    for replica in stood if stopping else ():
        if replica.name not in stopping:
            continue
        for protocol, address, number in claiming.list_sockets(replica):
            held = leaving.sockets.setdefault((replica.host, protocol, number), {})
            held.setdefault(address, set()).add(f"stop:{replica.name}")
    return leaving


def _make_forwards(
    ground: grounding.Ground, before: Forwards, leaving: _Leaving
) -> list[plans.SetForwards]:
    """Return a step for each host that has forwards, or had: a node that was started anew knows
    nothing of them, and setting them twice changes nothing."""
    steps: list[plans.SetForwards] = []
    for host in sorted({*ground.forwards, *before}):
        forwards = ground.forwards.get(host, ())
        needs = grounding.find_forward_needs(host, forwards, ground)
        for one in forwards:
            needs |= leaving.find(host, one.protocol, one.listen_host, one.listen_port)
        steps.append(
            plans.SetForwards(
                id=f"forward:{host}",
                subject=host,
                needs=tuple(sorted(needs)),
                cause=_say_forwards(forwards),
                forwards=forwards,
            )
        )
    return steps


def _say_forwards(forwards: Sequence[specs.Forward]) -> str:
    if not forwards:
        return "no address is forwarded any more"
    rest = len(forwards) - 1
    return forwards[0].cause + (f", and {rest} more" if rest else "")


def _find_extra_needs(
    replicas: Sequence[plans.PlannedService],
    forwards: tuple[Forwards, Forwards],
    leaving: _Leaving,
) -> dict[str, set[str]]:
    """Return what the start of a replica waits for besides its needs: forwards that it has or had,
    and the end of whoever holds its sockets. ``forwards`` are the wanted and the former ones."""
    names: dict[str, list[str]] = {}
    for replica in replicas:
        names.setdefault(replica.service, []).append(replica.name)
    extra: dict[str, set[str]] = {}
    for by_host in forwards:
        for host, some in by_host.items():
            for one in some:
                for name in (one.subject, *names.get(one.subject, ())):
                    extra.setdefault(name, set()).add(f"forward:{host}")
    for replica in replicas if leaving.sockets else ():
        for socket in claiming.list_sockets(replica):
            stops = leaving.find(replica.host, *socket)
            if stops:
                extra.setdefault(replica.name, set()).update(stops)
    return extra
