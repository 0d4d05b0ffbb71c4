"""The steps of replicas, each with what it waits for and its cause.

Laws: ids come from names; a step waits for what its needs say and for nothing else, so that the
engine can walk the plan as wide as the stack allows.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

from stackdsl.model import plans
from stackdsl.plan import deciding, grounding, placing


def write_steps(
    replicas: Sequence[plans.PlannedService],
    actions: Mapping[str, deciding.Action],
    extra: Mapping[str, Collection[str]],
    readied: grounding.Readied,
) -> list[plans.Step]:
    """Return the steps of ``replicas``, which come in order of stages.

    ``actions`` say what is done about each; ``extra`` are steps that the start of one waits for
    besides what the replica needs and what has ``readied`` its machine. Needs of services that are
    not among ``replicas`` are left out.
    """
    stepper = _Stepper(replicas, actions, extra, readied)
    stepper.write()
    return stepper.steps


def add_needs(step: plans.StopService, ids: Collection[str]) -> plans.StopService:
    """Return a stop that waits for ``ids`` too."""
    return dataclasses.replace(step, needs=tuple(sorted({*step.needs, *ids})))


def drop_needs(step: plans.Step, ids: Collection[str]) -> plans.Step:
    """Return a step that no longer waits for ``ids``."""
    if not any(need in ids for need in step.needs):
        return step
    return dataclasses.replace(step, needs=tuple(n for n in step.needs if n not in ids))


class _Stepper:
    """Writes ``steps``, replica by replica."""

    def __init__(
        self,
        replicas: Sequence[plans.PlannedService],
        actions: Mapping[str, deciding.Action],
        extra: Mapping[str, Collection[str]],
        readied: grounding.Readied,
    ) -> None:
        self.steps: list[plans.Step] = []
        self._replicas = replicas
        self._actions = actions
        self._extra = extra
        self._readied = readied
        self._by_service: dict[str, list[plans.PlannedService]] = {}
        self._owners = {replica.name: replica.service for replica in replicas}
        for replica in replicas:
            self._by_service.setdefault(replica.service, []).append(replica)
        self._askers = _list_askers(self._by_service)
        self._awaited: dict[tuple[str, str], tuple[str, ...]] = {}

    def write(self) -> None:
        shared: dict[str, tuple[str, ...]] = {}
        for replica in self._replicas:
            needs = shared.get(replica.service)
            if needs is None:
                needs = shared[replica.service] = self._find_needs(replica)
            if not replica.host:
                self._write_probes(replica, needs)
            elif self._actions[replica.name].deed == "keep":
                self._write_keep(replica)
            else:
                self._write_start(replica, needs)

    def _find_needs(self, replica: plans.PlannedService) -> tuple[str, ...]:
        needs: set[str] = set()
        for need in replica.needs:
            if need.condition != "planned" and need.name in self._by_service:
                needs.update(self._find_awaited(need, replica.host))
        return tuple(sorted(needs))

    def _find_awaited(self, need: plans.PlannedNeed, host: str) -> tuple[str, ...]:
        """Return the steps that bring about what is needed, for a caller on a host."""
        callees = self._by_service[need.name]
        if not callees[0].host:
            return (_probe_id(need.name, host, self._list_probing(need.name)),)
        key = (need.name, need.condition)
        steps = self._awaited.get(key)
        if steps is None:
            steps = tuple(self._find_step(callee, need.condition) for callee in callees)
            self._awaited[key] = steps
        return steps

    def _find_step(self, callee: plans.PlannedService, condition: str) -> str:
        action = self._actions[callee.name]
        if callee.kind == "task":
            condition = "completed"
        if action.deed == "keep" and condition in {"started", action.state}:
            return f"keep:{callee.name}"
        if action.deed != "keep" and callee.kind == "task":
            return f"task:{callee.name}"
        return f"{'start' if condition == 'started' else condition}:{callee.name}"

    def _write_keep(self, replica: plans.PlannedService) -> None:
        name = replica.name
        action = self._actions[name]
        begun = f"keep:{name}"
        self.steps.append(plans.KeepService(id=begun, subject=name, needs=(), cause=action.cause))
        if action.state == "completed":
            return
        if replica.kind == "task":
            self._write_completed(replica, begun)
            return
        if action.state != "ready":
            self._write_ready(replica, begun)
        if (replica.service, "completed") in self._askers:
            self._write_completed(replica, begun)

    def _write_start(self, replica: plans.PlannedService, needs: tuple[str, ...]) -> None:
        name = replica.name
        action = self._actions[name]
        extra = set(self._extra.get(name, ()))
        if action.is_stopped_first:
            extra.add(f"stop:{name}")
        extra |= self._readied.needs.get(name, set())
        if name in self._readied.edges:
            extra.add(self._write_proof(replica))
        if extra:
            needs = (*sorted(extra.difference(needs)), *needs)
        if replica.kind == "task":
            cause = action.cause
            if not action.state:
                cause = self._say_asked(replica, "completed") or cause
            task = plans.RunTask(id=f"task:{name}", subject=name, needs=needs, cause=cause)
            self.steps.append(task)
            return
        begun = f"start:{name}"
        start = plans.StartService(id=begun, subject=name, needs=needs, cause=action.cause)
        self.steps.append(start)
        self._write_ready(replica, begun)
        if (replica.service, "completed") in self._askers:
            self._write_completed(replica, begun)

    def _write_proof(self, replica: plans.PlannedService) -> str:
        """Write the step that tries a replica's links, and return its id."""
        edges = self._readied.edges[replica.name]
        callees = list(dict.fromkeys(edge.target for edge in edges))
        called = {self._owners[callee] for callee in callees}
        needs = set(self._readied.edge_needs[replica.name])
        for need in replica.needs:
            if need.name in called and need.condition == "ready":
                needs.update(self._find_awaited(need, replica.host))
        more = f" and {len(callees) - 1} more" if len(callees) > 1 else ""
        step = plans.ProveLinks(
            id=f"link:{replica.name}",
            subject=replica.name,
            needs=tuple(sorted(needs)),
            cause=f"{replica.name} calls {callees[0]}{more}",
            host=replica.host,
            edges=edges,
        )
        self.steps.append(step)
        return step.id

    def _write_ready(self, replica: plans.PlannedService, begun: str) -> None:
        name = replica.name
        cause = self._say_asked(replica, "ready") or f"the run is ready when {name} is"
        step = plans.AwaitReady(id=f"ready:{name}", subject=name, needs=(begun,), cause=cause)
        self.steps.append(step)

    def _write_completed(self, replica: plans.PlannedService, begun: str) -> None:
        name = replica.name
        cause = self._say_asked(replica, "completed") or f"{name} runs to its end"
        self.steps.append(
            plans.AwaitCompleted(id=f"completed:{name}", subject=name, needs=(begun,), cause=cause)
        )

    def _say_asked(self, replica: plans.PlannedService, condition: str) -> str:
        """Return who waits for a condition of a replica, "" if nobody does."""
        askers = self._askers.get((replica.service, condition))
        if not askers:
            return ""
        first, is_parameter = askers[0]
        what = f"{replica.name} {condition}"
        if len(askers) > 1:
            return f"{first} and {len(askers) - 1} more need {what}"
        return f"{first} needs {what}{' (parameter)' if is_parameter else ''}"

    def _list_probing(self, name: str) -> list[str]:
        """Return the hosts from which an external service is probed, this one first."""
        hosts = {
            self._by_service[asker][0].host
            for condition in ("started", "ready", "completed", "planned")
            for asker, _ in self._askers.get((name, condition), ())
        } - {""}
        return sorted(hosts, key=lambda host: (host != placing.LOCAL, host)) or [placing.LOCAL]

    def _write_probes(self, replica: plans.PlannedService, needs: tuple[str, ...]) -> None:
        hosts = self._list_probing(replica.service)
        cause = self._say_asked(replica, "ready") or f"{replica.name} is in the stack"
        for host in hosts:
            self.steps.append(
                plans.ProbeExternal(
                    id=_probe_id(replica.name, host, hosts),
                    subject=replica.name,
                    needs=needs,
                    cause=cause,
                    host=host,
                    checks=replica.checks,
                    timeout_s=replica.start_timeout_s,
                )
            )


def _probe_id(name: str, host: str, hosts: Sequence[str]) -> str:
    """Return the id of the probe of an external service from one host of several."""
    return f"probe:{name}" if host == hosts[0] or host not in hosts else f"probe:{name}@{host}"


def _list_askers(
    by_service: Mapping[str, Sequence[plans.PlannedService]],
) -> dict[tuple[str, str], list[tuple[str, bool]]]:
    """Return for each (service, condition) who asks for it by name, and whether by parameter."""
    askers: dict[tuple[str, str], list[tuple[str, bool]]] = {}
    for name in sorted(by_service):
        for need in by_service[name][0].needs:
            askers.setdefault((need.name, need.condition), []).append((name, need.is_parameter))
    return askers
