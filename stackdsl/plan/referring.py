"""What callers are told of a callee, as rows of a link table, and the values bodies get from them.

Laws: values are made from rows alone, so that a finished plan's links give the same values again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from stackdsl.model import plans, refs, services
from stackdsl.plan import addressing, binding, claiming, linking, placing

_MESH_BASE = 0x64400000  # 100.64.0.0: stands in until the mesh is carried out


class Row(NamedTuple):
    """One port of a callee (``target``: a service, or a replica addressed singly) as told."""

    target: str
    port: str
    kind: plans.LinkKind
    host: str
    number: int
    reason: str


def list_rows(
    service: services.Service,
    route: linking.Route,
    layout: binding.Layout,
    addresses: addressing.Addresses,
) -> tuple[Row, ...]:
    """Return what a caller that comes by ``route`` is told of ``service``."""
    rows: list[Row] = []
    names = service.replica_names()
    if service.is_stable and placing.is_launched(service):
        for port_name, endpoint in layout.stable.get(service.name, {}).items():
            slot = addresses.slots[placing.stable_key(service.name)]
            rows.append(_make_row(service.name, endpoint, route, (layout, slot, port_name)))
        if names == (service.name,):
            return tuple(rows)
    for name in names:
        slot = addresses.slots.get(name, 0)
        for port_name, endpoint in layout.endpoints[name].items():
            rows.append(_make_row(name, endpoint, route, (layout, slot, port_name)))
    return tuple(rows)


def _make_row(
    subject: str,
    endpoint: binding.Endpoint,
    route: linking.Route,
    at: tuple[binding.Layout, int, str],
) -> Row:
    layout, slot, port = at
    reason = route.reason
    if route.shared:
        given = layout.shared.get(binding.shared_key(subject, port, route.shared))
        if given is None:
            reason += "; it listens on every address there"
            return Row(subject, port, route.kind, route.shared, endpoint.bound[1], reason)
        if given.reason:
            reason += f"; {given.reason}"
        return Row(subject, port, route.kind, route.shared, given.number, reason)
    if route.kind == "wireguard":
        host = addressing.format_address(_MESH_BASE + slot)
        return Row(subject, port, route.kind, host, endpoint.port.number, reason)
    told = endpoint.told
    if route.kind == "bridge" and endpoint.bridged is not None:
        told = endpoint.bridged
    if told[1] != endpoint.port.number:
        reason += f"; {endpoint.reason or f'its program listens on {told[1]}'}"
    return Row(subject, port, route.kind, *told, reason)


def read_rows(links: Iterable[plans.Link]) -> tuple[Row, ...]:
    """Return the rows that a plan's links were made from."""
    rows: list[Row] = []
    for link in links:
        host, _, number = link.address.rpartition(":")
        rows.append(Row(link.target, link.port, link.kind, host, int(number), link.reason))
    return tuple(rows)


def make_ref(service: services.Service, rows: Sequence[Row], output: str | None = None) -> refs.Ref:
    """Return a dependency as its caller reaches it; ``output`` is a completed task's."""
    schemes = {port.name: port.scheme for port in binding.list_ports(service)}
    by_target: dict[str, refs.Ports] = {}
    for row in rows:
        by_target.setdefault(row.target, refs.Ports())[row.port] = refs.PortRef(
            name=row.port,
            host=row.host,
            port=row.number,
            scheme=schemes.get(row.port),
            owner=service.name,
        )
    default = binding.find_default(service)
    names = service.replica_names()
    others: tuple[refs.Ref, ...] = ()
    if names != (service.name,):
        others = tuple(
            _make_one(name, by_target.get(name, refs.Ports()), default) for name in names
        )
    ports = by_target.get(service.name) or by_target.get(names[0], refs.Ports())
    return refs.Ref(
        name=service.name,
        default=None if default is None else ports.get(default),
        ports=ports,
        others=others,
        task_output=output,
        is_task=service.kind == "task",
    )


def _make_one(name: str, ports: Mapping[str, refs.PortRef], default: str | None) -> refs.Ref:
    return refs.Ref(name=name, default=None if default is None else ports.get(default), ports=ports)


def make_me(service: services.Service, planned: plans.PlannedService, own: refs.Ref) -> refs.Me:
    """Return the service itself as its body sees it; ``own`` comes from `make_own_ref`."""
    return refs.Me(
        name=planned.name,
        index=planned.index,
        bind=planned.bind,
        dir=planned.dir,
        own=own,
        bound={port.name: port.bound_port for port in planned.ports},
        default_port=binding.find_default(service),
    )


def make_own_ref(service: services.Service, replicas: Sequence[plans.PlannedService]) -> refs.Ref:
    """Return all replicas of a service as one of them reaches them.

    Where a program binds an address that all its callers are told, that is its own address too,
    so that a caller that joins on its machine changes nothing for it; containers reach each other
    at their own addresses.
    """
    rows: list[Row] = []
    for replica in replicas:
        for port in replica.ports:
            is_shared = not (
                claiming.is_wildcard(port.bound_host) or port.bound_host.startswith("127.")
            )
            host, number = port.host, port.told_port
            if replica.container is not None:
                host, number = replica.container.address, port.bound_port
            elif is_shared and replica.namespace is None:
                host, number = port.bound_host, port.bound_port
            rows.append(Row(replica.name, port.name, "loopback", host, number, ""))
    return make_ref(service, rows)
