"""Probes with their targets worked out: the program's own socket, never a forwarder before it.

A forwarder accepts before the program listens, so a probe through it would succeed too early.
"""

import dataclasses
import posixpath
from collections.abc import Sequence
from typing import NamedTuple

from stackdsl.model import errors, places, plans, probes, services, specs
from stackdsl.plan import binding, claiming


class Site(NamedTuple):
    """Where one replica is: its ports, what it binds, its folder as it knows it, its address on
    the bridge if it stands there."""

    ports: tuple[plans.PlannedPort, ...]
    bind: str
    folder: str
    address: str = ""


def find_ready_checks(service: services.Service, site: Site) -> tuple[specs.Check, ...]:
    """Return how a replica's readiness is found out.

    Without a word of the author: TCP on the default port, else on the first TCP port, else
    nothing. A task has none: it completes.

    Raises:
        PlanError: a probe names a port that there is not.
    """
    if service.ready is not None:
        return make_checks(service, site, service.ready)
    if service.kind == "task":
        return ()
    default = binding.find_default(service)
    ports = sorted(site.ports, key=lambda port: port.name != default)
    for port in ports:
        if port.protocol == "tcp":
            return (_check_own(service, probes.Tcp(), port),)
    return ()


def make_checks(
    service: services.Service, site: Site, wanted: Sequence[probes.Probe]
) -> tuple[specs.Check, ...]:
    """Return probes of one replica with addresses and absolute paths.

    Raises:
        PlanError: a probe names a port that there is not.
    """
    return tuple(_make_check(service, site, probe) for probe in wanted)


def find_target(port: plans.PlannedPort) -> tuple[str, int]:
    """Return the socket at which the program itself answers."""
    return port.target_host, port.target_port


def _make_check(service: services.Service, site: Site, probe: probes.Probe) -> specs.Check:
    match probe:
        case probes.Http() | probes.Tcp():
            return _resolve_port(service, site, probe)
        case probes.File():
            path = posixpath.join(site.folder, probe.path)
            return specs.Check(probe=dataclasses.replace(probe, path=path))
        case _:
            return specs.Check(probe=probe)


def _check_own(
    service: services.Service, probe: probes.Http | probes.Tcp, port: plans.PlannedPort
) -> specs.Check:
    host, number = find_target(port)
    is_native = isinstance(service.runs_on, places.Local | places.Ssh)
    is_own = is_native and not service.is_isolated
    return specs.Check(probe=probe, host=host, port=number, is_own=is_own)


def _resolve_port(
    service: services.Service, site: Site, probe: probes.Http | probes.Tcp
) -> specs.Check:
    wanted = binding.find_default(service) if probe.port is None else probe.port
    for port in site.ports:
        if wanted in {port.name, port.port}:
            return _check_own(service, probe, port)
    if isinstance(wanted, int):
        return specs.Check(probe=probe, host=_find_host(site), port=wanted)
    known = ", ".join(f'"{port.name}"' for port in site.ports) or "none"
    named = "its default port" if wanted is None else f'port "{wanted}"'
    raise errors.PlanError(
        "plan.unknown-port",
        f'cannot probe "{service.name}": it has no {named.removeprefix("its ")}',
        where=str(service.where),
        why=f"its ports: {known}",
        do=f'give "{service.name}" the port, or give the probe a port that there is',
    )


def _find_host(site: Site) -> str:
    if site.address or (site.bind and not claiming.is_wildcard(site.bind)):
        return site.address or site.bind
    return site.ports[0].host if site.ports else "127.0.0.1"
