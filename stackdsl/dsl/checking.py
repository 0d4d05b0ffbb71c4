"""Checking: what is wrong between the services of a stack, everything noted at once."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stackdsl.dsl import faults
from stackdsl.model import orders, places, services, substitution

_OTHER = re.compile(r"[^A-Z0-9]")
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - compared with, never bound here


def check(stack: Sequence[services.Service], found: faults.Faults) -> None:
    """Note every fault that lies between services."""
    by_name: dict[str, services.Service] = {}
    for service in stack:
        by_name.setdefault(service.name, service)
    _check_names(stack, found)
    _check_cycles(by_name, found)
    _check_restarts(by_name, found)
    _check_sockets(stack, found)
    for service in stack:
        _check_variables(service, by_name, found)
        _check_templates(service, by_name, found)


def _check_names(stack: Sequence[services.Service], found: faults.Faults) -> None:
    taken: dict[str, services.Service] = {}
    for service in stack:
        other = taken.setdefault(_plain(service.name), service)
        if other is not service:
            found.add(
                service.where,
                "definition.name-taken",
                f'cannot name {service.kind} "{service.name}": {_of(other)} has that name',
                do="give one of them name=… of its own; - and _ in a name are one",
            )
    for service in stack:
        if service.replica_names() == (service.name,):
            continue
        for name in service.replica_names():
            other = taken.get(_plain(name), service)
            if other is not service:
                found.add(
                    service.where,
                    "definition.name-taken",
                    f'cannot name replica "{name}" of "{service.name}": {_of(other)} has that name',
                    do=f'rename "{other.name}" or "{service.name}"',
                )


def _check_cycles(by_name: dict[str, services.Service], found: faults.Faults) -> None:
    edges = {
        name: [need.name for need in service.needs if need.condition != "planned"]
        for name, service in by_name.items()
    }
    for cycle in orders.find_cycles(edges):
        first = by_name[cycle[0]]
        after = by_name[cycle[1 % len(cycle)]]
        route = " -> ".join([*cycle, cycle[0]])
        advice = "take one of these needs out"
        if after.kind == "service":
            advice = (
                f'if "{first.name}" needs only the address of "{after.name}", give it'
                f' needs=[planned("{after.name}")] beside the parameter; else {advice}'
            )
        found.add(
            first.where,
            "definition.cycle",
            f"cannot order the stack: {route} is a cycle, each waits for the next",
            why="\n".join(str(by_name[name].where) for name in cycle),
            do=advice,
        )


def _check_restarts(by_name: dict[str, services.Service], found: faults.Faults) -> None:
    """Note services that would restart each other for ever."""
    edges = {name: list(service.restart_with) for name, service in by_name.items()}
    for cycle in orders.find_cycles(edges):
        found.add(
            by_name[cycle[0]].where,
            "definition.cycle",
            f"cannot follow restarts: {' -> '.join([*cycle, cycle[0]])} is a cycle, each restarts"
            " the next for ever",
            why="\n".join(str(by_name[name].where) for name in cycle),
            do="take one of these services out of restart_with= of the one before it",
        )


def _check_variables(
    service: services.Service, by_name: dict[str, services.Service], found: faults.Faults
) -> None:
    """Note variables that two sources inject; those that the author sets are settled."""
    sources: dict[str, str] = dict.fromkeys(_own_keys(service), f'"{service.name}" itself')
    settled = {key for key, _ in service.env}
    told = dict.fromkeys(need.name for need in service.needs if need.is_addressed)
    for name in told:
        dependency = by_name.get(name)
        if dependency is None:
            continue
        own = f'its dependency "{name}"'
        clashes: dict[str, list[str]] = {}
        for key in _told_keys(dependency):
            first = sources.setdefault(key, own)
            if first != own and key not in settled:
                clashes.setdefault(first, []).append(key)
        for first, keys in clashes.items():
            listed = ", ".join(f"${key}" for key in keys)
            found.add(
                service.where,
                "definition.variable-clash",
                f'cannot tell {service.kind} "{service.name}" {listed}: two sources give it',
                why=f"both {first} and {own} bring it",
                do=f'say which with env={{"{keys[0]}": …}}, or rename a port or a service',
            )


def _own_keys(service: services.Service) -> Iterator[str]:
    yield "HOST"
    for port in service.ports:
        yield "PORT" if port.name == service.default_port else f"{_key(port.name)}_PORT"
    yield from ("STACKDSL_RUN", "STACKDSL_SERVICE", "STACKDSL_INDEX", "STACKDSL_DIR")


def _told_keys(dependency: services.Service) -> Iterator[str]:
    prefix = _key(dependency.name)
    for port in dependency.ports:
        starts = [prefix] if port.name == dependency.default_port else []
        starts += [f"{prefix}_{_key(port.name)}"] if port.name != "default" else []
        for start in starts:
            yield from (f"{start}_HOST", f"{start}_PORT", f"{start}_ADDR")
            if port.scheme is not None:
                yield f"{start}_URL"
    if dependency.ports:
        yield f"{prefix}_ADDRS"


def _check_templates(
    service: services.Service, by_name: dict[str, services.Service], found: faults.Faults
) -> None:
    """Note names in templates that the service is not told; a task is told by its output."""
    names = {"me"}
    for need in service.needs:
        callee = by_name.get(need.name)
        if need.is_addressed or (callee is not None and callee.kind == "task"):
            names.add(need.name)
    known = {_plain(name) for name in names}
    for entry in service.files:
        if entry.template is None:
            continue
        for reference in substitution.find_references(entry.template, entry.where):
            if _plain(reference.name) not in known:
                error = substitution.unknown_name(reference.name, names, reference.where)
                found.take(service.where, error)


class _Socket(NamedTuple):
    """A socket that a port needs whatever becomes of the plan, and the keyword that says so."""

    keyword: str
    address: str
    number: int


def _check_sockets(stack: Sequence[services.Service], found: faults.Faults) -> None:
    """Note two services of one machine that would need one socket, as their ports insist on it."""
    wanting: dict[tuple[str | None, int], dict[int, services.Service]] = {}
    insisting: list[tuple[services.Service, services.Port, _Socket]] = []
    for service in stack:
        for port in service.ports:
            sockets = list(_insisted(service, port))
            for number in {port.number, *(socket.number for socket in sockets)}:
                wanting.setdefault((_machine(service), number), {})[id(service)] = service
            insisting += [(service, port, socket) for socket in sockets]
    noted: set[frozenset[int]] = set()
    for service, port, socket in insisting:
        machine = _machine(service)
        for other in wanting[machine, socket.number].values() if machine is not None else ():
            pair = frozenset((id(service), id(other)))
            if other is service or pair in noted:
                continue
            if any(_meets(socket, port, other, theirs) for theirs in other.ports):
                noted.add(pair)
                _note_clash(service, other, socket, found)


def _insisted(service: services.Service, port: services.Port) -> Iterator[_Socket]:
    """Return what a port insists on of its machine; what listens in a container or a namespace
    takes nothing of it."""
    is_apart = service.is_isolated or isinstance(service.runs_on, places.Docker)
    if port.listens is not None and not is_apart:
        yield _Socket("listens", *port.listens)
    elif port.bind is not None and not is_apart:
        yield _Socket("bind", port.bind, port.number)
    if port.publish is not None:
        yield _Socket("publish", *port.publish)


def _meets(
    socket: _Socket, port: services.Port, other: services.Service, theirs: services.Port
) -> bool:
    """Tell whether a socket meets one of another port: one that it insists on too, or its
    canonical one on an address of its own."""
    if port.protocol != theirs.protocol:
        return False
    is_own = not other.is_isolated  # its canonical one is on this machine's loopback
    if socket.address == _EVERYWHERE and theirs.number == socket.number and is_own:
        return True
    return any(
        held.number == socket.number
        and (_EVERYWHERE in {socket.address, held.address} or socket.address == held.address)
        for held in _insisted(other, theirs)
    )


def _note_clash(
    service: services.Service, other: services.Service, socket: _Socket, found: faults.Faults
) -> None:
    later, earlier = (service, other) if service.where.line > other.where.line else (other, service)
    keyword, address, number = socket
    advice = f'give "{service.name}" another {keyword}=, or "{other.name}" another port'
    if keyword != "publish":  # what is published is taken here, wherever the program runs
        narrow = (
            f'listens="127.0.0.1:{number}"' if address == _EVERYWHERE else f"another {keyword}="
        )
        advice = (
            f'give "{service.name}" {narrow}, or "{other.name}" another port,'
            " or give one of them isolated=True, an address of its own"
        )
    found.add(
        later.where,
        "definition.port-clash",
        f'cannot give "{later.name}" port {number}: {_of(earlier)} wants it on the same machine',
        why=f'"{service.name}" has {keyword}=, and so takes {address}:{number}',
        do=advice,
    )


def _machine(service: services.Service) -> str | None:
    """Return the machine whose sockets a service takes; None if it takes none of them."""
    match service.runs_on:
        case places.Local() | places.Docker(on=places.Local()):
            return "local"
        case places.Ssh() as machine:
            return str(machine)
        case places.Docker(on=places.Ssh() as machine):
            return str(machine)
    return None


def _of(service: services.Service) -> str:
    return f'{service.kind} "{service.name}" of {service.where.file}:{service.where.line}'


def _plain(name: str) -> str:
    return name.replace("_", "-")


def _key(name: str) -> str:
    return _OTHER.sub("_", name.upper())
