"""Our other runs on this machine: which of them holds a socket that a stack would like to have."""

import dataclasses
from collections.abc import Mapping

from stackdsl.model import facts, plans, stacks
from stackdsl.registry import store as stores

_Socket = tuple[str, int]


def name_owners(
    host: facts.HostFacts, store: stores.Store, run: str, stack: stacks.StackModel
) -> facts.HostFacts:
    """Return the facts of this machine with the runs of ours that listen where a stack could be in
    their way; other plans are read only where somebody does."""
    ports = [port for service in stack.services for port in service.ports]
    numbers = {port.number for port in ports}
    numbers |= {given[1] for port in ports for given in (port.publish, port.listens) if given}
    others = [one for one in store.records() if one.run != run and not one.is_ended]
    blocks = [one.block for one in others]
    if not any(one.port in numbers and not _is_in(one.address, blocks) for one in host.listeners):
        return host
    owners: dict[_Socket, str] = {}
    for other in others:
        plan = store.load_plan(other.run)
        if plan is not None:
            owners.update(dict.fromkeys(list_sockets(plan), other.run))
    return dataclasses.replace(
        host, listeners=tuple(_with_owner(one, owners) for one in host.listeners)
    )


def _with_owner(listener: facts.Listener, owners: Mapping[_Socket, str]) -> facts.Listener:
    owner = owners.get((listener.address, listener.port), "")
    return dataclasses.replace(listener, owner=owner) if owner else listener


def _is_in(address: str, blocks: list[tuple[int, int]]) -> bool:
    """Whether an address is in the loopback block of one of the runs: nobody else gets it."""
    parts = address.split(".")
    if len(parts) != 4 or not all(part.isdigit() for part in parts):
        return False
    number = int.from_bytes(bytes(map(int, parts)), "big")
    return any(first <= number <= last for first, last in blocks)


def list_sockets(plan: plans.Plan) -> set[_Socket]:
    """Return the (address, port) that a plan listens on."""
    own = {
        (port.host, port.port)
        for service in plan.services
        if service.spec is not None
        for port in service.spec.ports
    }
    own |= {(f.listen_host, f.listen_port) for _, mine in plan.forwards for f in mine}
    own |= {
        (published.host, published.port)
        for service in plan.services
        if service.container is not None
        for published in service.container.publishes
    }
    return own
