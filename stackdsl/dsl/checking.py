"""Checking: what is wrong between the services of a stack, everything noted at once."""

from collections.abc import Sequence

from stackdsl.dsl import faults
from stackdsl.model import orders, services


def check(stack: Sequence[services.Service], found: faults.Faults) -> None:
    """Note every fault that lies between services."""
    _check_names(stack, found)
    _check_cycles(stack, found)


def _check_names(stack: Sequence[services.Service], found: faults.Faults) -> None:
    taken: dict[str, services.Service] = {}
    for service in stack:
        other = taken.setdefault(service.name.replace("_", "-"), service)
        if other is not service:
            found.add(
                service.where,
                "definition.name-taken",
                f'cannot name {service.kind} "{service.name}": {other.kind} "{other.name}" of'
                f" {other.where.file}:{other.where.line} has that name",
                do="give one of them name=… of its own; names that differ in - and _ only are one",
            )
    for service in stack:
        for name in service.replica_names() if service.replicas > 1 else ():
            other = taken.get(name.replace("_", "-"), service)
            if other is not service:
                found.add(
                    service.where,
                    "definition.name-taken",
                    f'cannot name replica "{name}" of "{service.name}": {other.kind}'
                    f' "{other.name}" of {other.where.file}:{other.where.line} has that name',
                    do=f'rename "{other.name}" or "{service.name}"',
                )


def _check_cycles(stack: Sequence[services.Service], found: faults.Faults) -> None:
    edges: dict[str, list[str]] = {}
    by_name: dict[str, services.Service] = {}
    for service in stack:
        by_name.setdefault(service.name, service)
        waits = [need.name for need in service.needs if need.condition != "planned"]
        edges.setdefault(service.name, []).extend(waits)
    for cycle in orders.find_cycles(edges):
        first = by_name[cycle[0]]
        after = cycle[1] if len(cycle) > 1 else cycle[0]
        found.add(
            first.where,
            "definition.cycle",
            f"cannot order the stack: {' -> '.join([*cycle, cycle[0]])} wait for each other",
            why="\n".join(str(by_name[name].where) for name in cycle[1:]),
            do=f'if "{first.name}" needs only the address of "{after}", give it'
            f' needs=[planned("{after}")]; else take one need out',
        )
