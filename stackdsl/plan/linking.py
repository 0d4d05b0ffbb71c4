"""By which kind of link a caller reaches a callee: decided from where both stand and what was seen.

Laws: a link between machines is used only if a probe reached its address; that two machines have
addresses of one subnet proves nothing.
"""

from collections.abc import Mapping
from typing import NamedTuple

from stackdsl.model import errors, facts, plans, services
from stackdsl.plan import placing


class Route(NamedTuple):
    """How one stand reaches one callee. ``shared`` is the address of the callee's machine for
    kinds that share it among services, else ""."""

    kind: plans.LinkKind
    shared: str
    reason: str


ReachMap = Mapping[tuple[str, str], tuple[str, ...]]

_LOOPBACK = Route("loopback", "", "same machine: the service's own loopback address")
_FOUND = Route("loopback", "", "same machine: where it listens already")
_EXTERNAL = Route("external", "", "outside the stack: as declared")
_BRIDGE = Route("bridge", "", "same machine: its own address on the stack's bridge")


def map_reach(seen: facts.Facts) -> ReachMap:
    """Return for each (source, target) the addresses that were reached, private ones first."""
    found: dict[tuple[str, str], set[str]] = {}
    for reach in seen.reached:
        found.setdefault((reach.source, reach.target), set()).add(reach.address)
    return {
        pair: tuple(sorted(addresses, key=lambda text: (not is_private(text), text)))
        for pair, addresses in found.items()
    }


def is_private(address: str) -> bool:
    """Tell whether an IPv4 address is private (RFC 1918) or link-local (RFC 3927)."""
    first, _, rest = address.partition(".")
    second = rest.partition(".")[0]
    if first == "10":
        return True
    if first == "172":
        return second.isdecimal() and 16 <= int(second) <= 31
    return (first, second) in {("192", "168"), ("169", "254")}


def find_route(
    caller: placing.Stand,
    callee: services.Service,
    world: placing.Survey,
    reach: ReachMap,
    gateways: Mapping[str, str],
) -> Route | None:
    """Return how ``caller`` reaches ``callee``; None: not with what was seen. ``gateways`` are the
    addresses that natives share on the bridges of machines where they can have none of their own.
    """
    stand = world.stands[callee.name]
    if stand.vantage == "outside":
        return _EXTERNAL
    if caller.host == stand.host:
        if caller.vantage == "native" and (stand.vantage != "isolated" or callee.is_stable):
            is_found = placing.is_attached(callee) and not placing.is_found_container(callee)
            return _FOUND if is_found else _LOOPBACK
        if stand.vantage == "native" or callee.is_stable:
            return _find_machine_route(stand.host, gateways)
        return _BRIDGE
    return _find_far_route(caller, callee, world, reach)


def _find_machine_route(host: str, gateways: Mapping[str, str]) -> Route:
    """Return how what stands on a bridge reaches sockets of the machine itself."""
    gateway = gateways.get(host)
    if gateway is None:
        return _BRIDGE
    reason = "same machine, through the gateway of the stack's bridge: no address may be added"
    return Route("bridge", gateway, reason)


def _find_far_route(
    caller: placing.Stand, callee: services.Service, world: placing.Survey, reach: ReachMap
) -> Route | None:
    source = caller.host
    target = world.stands[callee.name].host
    if callee.network == "tunnel":
        asked = f'network="tunnel" is asked for by {callee.name}'
        return _find_tunnel(caller, callee, world, asked)
    if callee.network == "wireguard":
        return Route("wireguard", "", f'network="wireguard" is asked for by {callee.name}')
    if world.stack.network.encrypt == "always":
        return Route("wireguard", "", 'the stack\'s network has encrypt="always"')
    for address in reach.get((source, target), ()):
        if is_private(address) or callee.network == "lan":
            return Route("lan", address, f"{source} reaches {target} directly at {address}")
    if world.seen.is_offline:
        return Route("wireguard", "", "assumed: no host was looked at")
    reached = reach.get((source, target), ())
    if reached:
        why = f"{source} reaches {target} only at {reached[0]}, a public address: over SSH"
    else:
        why = f"no probe from {source} reached {target}: over SSH, through the controller"
    return _find_tunnel(caller, callee, world, why)


def _find_tunnel(
    caller: placing.Stand, callee: services.Service, world: placing.Survey, reason: str
) -> Route | None:
    """Return the way through the controller; None where there is none: for datagrams, and for what
    is plugged into bridges."""
    stand = world.stands[callee.name]
    is_plain = (caller.vantage, stand.vantage) == ("native", "native")
    is_stream = all(port.protocol == "tcp" for port in callee.ports)
    if not is_plain or not is_stream or not placing.is_launched(callee):
        return None
    return Route("tunnel", "", reason)


def report_no_route(
    caller: services.Service, callee: services.Service, world: placing.Survey, reach: ReachMap
) -> errors.StackError:
    """Return the error that says why no link can be made."""
    source = world.stands[caller.name].host
    target = world.stands[callee.name].host
    reached = reach.get((source, target), ())
    if reached:
        why = f"{source} reaches {target} only at {', '.join(reached)}, which is a public address"
        do = f'if that network is safe, give "{callee.name}" network="lan"'
    else:
        tried = world.hosts[target].addresses
        seen = f" at {', '.join(tried)}" if tried else ""
        why = f"no probe from {source} reached {target}{seen}, and SSH carries only TCP of natives"
        do = f'let {source} reach {target} on one network, or run "{callee.name}" on {source}'
    return errors.PlanError(
        "plan.no-route",
        f'cannot link "{caller.name}" to "{callee.name}": {target} is on no LAN of {source}',
        where=str(caller.where),
        why=why,
        do=do,
    )
