"""Rehearsing: bodies called with stand-ins for addresses, so that a stack that is refused anyway is
told of its bodies' faults too.

A stack that is right is not rehearsed: the planner calls its bodies with real values.
"""

from collections.abc import Collection, Mapping, Sequence

from stackdsl.dsl import faults
from stackdsl.model import errors, refs, services

_HOST = "127.0.0.1"


# What a body may raise only because a keyword beside it was refused.
_DOUBTFUL = frozenset(
    f"definition.{slug}" for slug in ("no-command", "no-port", "no-scheme", "unknown-port")
)


def rehearse(
    read: Sequence[services.Service], flawed: Collection[int], found: faults.Faults
) -> None:
    """Call the bodies of services once, and note what they raise.

    ``flawed`` are the ids of services with faults of their own. Bodies that take a task, or
    something unknown, are passed over.
    """
    by_name = {service.name: service for service in read}
    for service in read:
        values = _stand_ins(service, by_name)
        if values is None:
            continue
        try:
            service.body(values)
        except errors.StackError as error:
            met = [service, *(by_name[n.name] for n in service.needs if n.name in by_name)]
            is_doubtful = any(id(one) in flawed for one in met)
            for one in errors.flatten(error):
                if not (is_doubtful and one.code in _DOUBTFUL):
                    found.take(service.where, one)


def _stand_ins(
    service: services.Service, by_name: Mapping[str, services.Service]
) -> dict[str, refs.Ref | refs.Me] | None:
    told = {need.parameter: by_name.get(need.name) for need in service.needs}
    values: dict[str, refs.Ref | refs.Me] = {}
    for parameter in service.parameters:
        if parameter == "me":
            values["me"] = _make_me(service)
            continue
        dependency = told.get(parameter)
        if dependency is None or dependency.kind == "task":
            return None
        values[parameter] = _make_ref(dependency)
    return values


def _make_ref(service: services.Service) -> refs.Ref:
    ports = refs.Ports(
        {
            port.name: refs.PortRef(
                name=port.name,
                host=_HOST,
                port=port.number,
                scheme=port.scheme,
                owner=service.name,
            )
            for port in service.ports
        }
    )
    default = None if service.default_port is None else ports.get(service.default_port)
    names = service.replica_names()
    others = [refs.Ref(name=name, default=default, ports=ports) for name in names]
    return refs.Ref(
        name=service.name,
        default=default,
        ports=ports,
        others=tuple(others) if names != (service.name,) else (),
    )


def _make_me(service: services.Service) -> refs.Me:
    return refs.Me(
        name=service.replica_names()[0],
        bind=_HOST,
        dir=f"/nonexistent/{service.name}",
        own=_make_ref(service),
        bound={port.name: port.number for port in service.ports},
        default_port=service.default_port,
    )
