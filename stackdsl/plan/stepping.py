"""The steps of a plan, each with what it waits for and its cause.

Laws: ids come from names; a step waits for what its needs say and for nothing else, so that the
engine can walk the plan as wide as the stack allows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stackdsl.model import plans, services, specs
from stackdsl.plan import claiming, placing, reconciling

Forwards = Mapping[str, tuple[specs.Forward, ...]]
_Bound = tuple[str, str, int]


def make_steps(
    world: placing.Survey,
    replicas: Sequence[plans.PlannedService],
    forwards: Forwards,
    previous: plans.Plan | None,
    observed: Sequence[plans.Observed],
) -> tuple[plans.Step, ...]:
    """Return the steps from what stands to what is wanted.

    ``replicas`` are the wanted ones in order of stages; ``forwards`` those wanted, by host.
    """
    stood = previous.services if previous is not None else replicas
    actions = reconciling.decide(replicas, previous, observed)
    stopping = reconciling.list_stopping(replicas, actions, observed)
    stops = reconciling.order_stops(stopping, stood)
    leaving = _map_leaving(stood, stopping)
    before = dict(previous.forwards) if previous is not None and observed else {}
    setting = _make_forwards(forwards, before, leaving)
    stepper = _Stepper(world, replicas, actions, leaving)
    stepper.note_forwards(forwards, before, {step.subject for step in setting})
    stepper.write()
    return (*stops, *setting, *stepper.steps)


@dataclass(slots=True)
class _Leaving:
    """The sockets of replicas that are to end: who has to be gone before one is bound anew."""

    sockets: dict[_Bound, dict[str, set[str]]] = field(default_factory=dict)

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
        for port in replica.ports:
            key = (replica.host, port.protocol, port.bound_port)
            held = leaving.sockets.setdefault(key, {})
            held.setdefault(port.bound_host, set()).add(f"stop:{replica.name}")
    return leaving


def _make_forwards(
    wanted: Forwards, before: Forwards, leaving: _Leaving
) -> list[plans.SetForwards]:
    """Return a step for each host whose forwards are not what they were."""
    steps: list[plans.SetForwards] = []
    for host in sorted({*wanted, *before}):
        forwards = wanted.get(host, ())
        if host in before and forwards == before[host]:
            continue
        needs: set[str] = set()
        for one in forwards:
            needs |= leaving.find(host, one.protocol, one.listen_host, one.listen_port)
        cause = f"{len(forwards)} told addresses are not the ones that programs bind"
        if not forwards:
            cause = "no address is forwarded any more"
        elif len(forwards) == 1:
            cause = forwards[0].cause
        steps.append(
            plans.SetForwards(
                id=f"forward:{host}",
                subject=host,
                needs=tuple(sorted(needs)),
                cause=cause,
                forwards=forwards,
            )
        )
    return steps


class _Stepper:
    """Writes the steps of replicas in order of stages."""

    def __init__(
        self,
        world: placing.Survey,
        replicas: Sequence[plans.PlannedService],
        actions: Mapping[str, reconciling.Action],
        leaving: _Leaving,
    ) -> None:
        self.steps: list[plans.Step] = []
        self._world = world
        self._replicas = replicas
        self._actions = actions
        self._leaving = leaving
        self._forwarded: dict[str, str] = {}
        self._asked = _list_askers(world)
        self._awaits: dict[tuple[str, str], tuple[str, ...]] = {}

    def note_forwards(self, wanted: Forwards, before: Forwards, setting: set[str]) -> None:
        """Note which replicas have or had a forward on a host whose forwards are set."""
        names: dict[str, list[str]] = {}
        for replica in self._replicas:
            names.setdefault(replica.service, []).append(replica.name)
        for host in setting:
            for one in (*wanted.get(host, ()), *before.get(host, ())):
                for name in (one.subject, *names.get(one.subject, ())):
                    self._forwarded[name] = f"forward:{host}"

    def write(self) -> None:
        """Write every replica's steps."""
        shared: dict[tuple[str, str], tuple[str, ...]] = {}
        for replica in self._replicas:
            key = (replica.service, replica.host)
            if key not in shared:
                shared[key] = tuple(self._find_needs(replica))
            self._write_one(replica, shared[key])

    def _find_needs(self, replica: plans.PlannedService) -> list[str]:
        needs: set[str] = set()
        for need in replica.needs:
            if need.condition != "planned":
                needs.update(self._find_awaited(need.name, need.condition, replica.host))
        return sorted(needs)

    def _find_awaited(self, name: str, condition: str, host: str) -> tuple[str, ...]:
        """Return the steps that bring about ``condition`` of a service, for a caller on a host."""
        if self._world.stands[name].vantage == "outside":
            return (_probe_id(name, host, self._list_probing(name)),)
        steps = self._awaits.get((name, condition))
        if steps is None:
            service = self._world.by_name[name]
            steps = tuple(
                self._find_step(service, replica, condition) for replica in service.replica_names()
            )
            self._awaits[name, condition] = steps
        return steps

    def _find_step(self, service: services.Service, replica: str, condition: str) -> str:
        action = self._actions[replica]
        if action.deed == "keep":
            if condition in {"started", action.state}:
                return f"keep:{replica}"
            if service.kind == "task":
                return f"keep:{replica}" if action.state == "completed" else f"completed:{replica}"
        elif service.kind == "task":
            return f"task:{replica}"
        return f"{'start' if condition == 'started' else condition}:{replica}"

    def _write_one(self, replica: plans.PlannedService, shared: tuple[str, ...]) -> None:
        if self._world.stands[replica.service].vantage == "outside":
            self._write_probes(replica, shared)
            return
        name = replica.name
        action = self._actions[name]
        begun = f"keep:{name}"
        if action.deed == "keep":
            self.steps.append(
                plans.KeepService(id=begun, subject=name, needs=(), cause=action.cause)
            )
            if replica.kind == "task":
                if action.state != "completed":
                    self._write_completed(replica, begun)
                return
        else:
            needs = self._add_own_needs(replica, action, shared)
            if replica.kind == "task":
                cause = self._say_cause(replica, "completed", action.cause)
                self.steps.append(
                    plans.RunTask(id=f"task:{name}", subject=name, needs=needs, cause=cause)
                )
                return
            begun = f"start:{name}"
            self.steps.append(
                plans.StartService(id=begun, subject=name, needs=needs, cause=action.cause)
            )
        self._write_waits(replica, action, begun)

    def _add_own_needs(
        self, replica: plans.PlannedService, action: reconciling.Action, shared: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Add to what a service needs what only this replica has to wait for."""
        own: set[str] = set()
        if action.deed == "replace" and action.state != "completed":
            own.add(f"stop:{replica.name}")
        forward = self._forwarded.get(replica.name)
        if forward is not None:
            own.add(forward)
        if self._leaving.sockets:
            for port in replica.ports:
                own |= self._leaving.find(
                    replica.host, port.protocol, port.bound_host, port.bound_port
                )
        return (*sorted(own), *shared) if own else shared

    def _write_waits(
        self, replica: plans.PlannedService, action: reconciling.Action, begun: str
    ) -> None:
        name = replica.name
        is_over = action.deed == "keep" and action.state in {"ready", "completed"}
        if not is_over:
            cause = self._say_cause(replica, "ready", f"the run is ready when {name} is")
            self.steps.append(
                plans.AwaitReady(id=f"ready:{name}", subject=name, needs=(begun,), cause=cause)
            )
        is_awaited = (replica.service, "completed") in self._asked
        if is_awaited and not (action.deed == "keep" and action.state == "completed"):
            self._write_completed(replica, begun)

    def _write_completed(self, replica: plans.PlannedService, begun: str) -> None:
        name = replica.name
        cause = self._say_cause(replica, "completed", f"{name} runs to its end")
        self.steps.append(
            plans.AwaitCompleted(id=f"completed:{name}", subject=name, needs=(begun,), cause=cause)
        )

    def _say_cause(self, replica: plans.PlannedService, condition: str, otherwise: str) -> str:
        """Return who waits for a condition of a replica, or another cause if nobody does."""
        asked = self._asked.get((replica.service, condition))
        if not asked:
            return otherwise
        first, is_parameter = asked[0]
        what = f"{replica.name} {condition}"
        if len(asked) > 1:
            return f"{first} and {len(asked) - 1} more need {what}"
        return f"{first} needs {what}{' (parameter)' if is_parameter else ''}"

    def _list_probing(self, name: str) -> list[str]:
        """Return the hosts from which an external service is probed, this one first."""
        hosts = {
            self._world.stands[asker].host
            for condition in ("started", "ready", "completed", "planned")
            for asker, _ in self._asked.get((name, condition), ())
        } - {""}
        return sorted(hosts, key=lambda host: (host != placing.LOCAL, host)) or [placing.LOCAL]

    def _write_probes(self, replica: plans.PlannedService, shared: tuple[str, ...]) -> None:
        service = self._world.by_name[replica.service]
        hosts = self._list_probing(service.name)
        for host in hosts:
            cause = self._say_cause(replica, "ready", f"{replica.name} is in the stack")
            self.steps.append(
                plans.ProbeExternal(
                    id=_probe_id(replica.name, host, hosts),
                    subject=replica.name,
                    needs=shared,
                    cause=cause,
                    host=host,
                    checks=replica.checks,
                    timeout_s=service.start_timeout_s,
                )
            )


def _probe_id(name: str, host: str, hosts: Sequence[str]) -> str:
    """Return the id of the probe of an external service from one host of several."""
    return f"probe:{name}" if host == hosts[0] or host not in hosts else f"probe:{name}@{host}"


def _list_askers(world: placing.Survey) -> dict[tuple[str, str], list[tuple[str, bool]]]:
    """Return for each (service, condition) who asks for it, and whether as a parameter."""
    asked: dict[tuple[str, str], list[tuple[str, bool]]] = {}
    for name, needs in world.needs.items():
        for need in needs:
            askers = asked.setdefault((need.name, need.condition), [])
            if not askers or askers[-1][0] != name:
                askers.append((name, need.parameter is not None))
    return asked
