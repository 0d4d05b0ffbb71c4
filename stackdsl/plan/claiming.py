"""Who listens where: ports on addresses that are shared, and sockets that two would both need.

Laws (Linux, ip(7)): a socket on 0.0.0.0 holds its port on every address, so it clashes with one on
any specific address, and the other way round.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from stackdsl.model import errors, facts, plans, services, states
from stackdsl.plan import addressing

FIRST_SPARE = 20000
LAST_SPARE = 29999

_WILDCARDS = frozenset({"0.0.0.0", "::", "*", ""})  # noqa: S104 - compared with, never bound

Protocol = Literal["tcp", "udp"]
_Slot = tuple[str, Protocol, int]


class Claim(NamedTuple):
    """A listening socket that the plan needs on ``host``; ``subject`` is a replica or a service
    and ``deed`` what is to happen there."""

    host: str
    protocol: Protocol
    address: str
    port: int
    subject: str
    service: services.Service
    deed: str


class PortRequest(NamedTuple):
    """A wish for a port number on an address; ``key`` is how it is kept from plan to plan."""

    key: str
    host: str
    protocol: Protocol
    address: str
    number: int


class Allotment(NamedTuple):
    """The number given, and why it is not the wished one ("" if it is)."""

    number: int
    reason: str = ""


def is_wildcard(address: str) -> bool:
    """Tell whether an address stands for all addresses of the machine."""
    return address in _WILDCARDS


class Occupancy:
    """What is listened on, on every host: others' sockets first, then what the plan adds."""

    def __init__(self, hosts: Mapping[str, facts.HostFacts]) -> None:
        self._hosts = hosts
        self._held: dict[_Slot, dict[str, str]] = {}
        for name, host in hosts.items():
            for listener in host.listeners:
                slot = (name, listener.protocol, listener.port)
                self._held.setdefault(slot, {})[listener.address] = _say_owner(listener)

    def hold(self, host: str, protocol: Protocol, address: str, port: int, who: str) -> None:
        """Note that ``who`` listens there."""
        self._held.setdefault((host, protocol, port), {}).setdefault(address, who)

    def find_holder(self, host: str, protocol: Protocol, address: str, port: int) -> str:
        """Return who is in the way of a socket there, "" if nobody is."""
        held = self._held.get((host, protocol, port))
        if not held:
            return ""
        if address in held:
            return f"{held[address]} listens on {address}:{port}"
        for other in sorted(held):
            if is_wildcard(other) or is_wildcard(address):
                return f"{held[other]} listens on {other}:{port}"
        return ""

    def allot(
        self, requests: Iterable[PortRequest], kept: Mapping[str, int]
    ) -> dict[str, Allotment]:
        """Give every request a number: the kept one, else the wished one, else a spare one.

        Raises:
            PlanError: no spare port is left on an address.
        """
        given: dict[str, Allotment] = {}
        waiting: list[tuple[PortRequest, str]] = []
        ordered = sorted(requests, key=lambda request: (request.key not in kept, request.key))
        for request in ordered:
            obstacle = self._find_obstacle(request, request.number)
            number = kept.get(request.key, request.number)
            if number == request.number and not obstacle:
                given[request.key] = Allotment(number)
            elif number != request.number and not self._find_obstacle(request, number):
                reason = obstacle or f"port {number} was given before and is kept"
                given[request.key] = Allotment(number, reason)
            else:
                waiting.append((request, obstacle))
                continue
            self._take(request, number)
        for request, obstacle in waiting:
            number = self._find_spare(request)
            given[request.key] = Allotment(number, obstacle)
            self._take(request, number)
        return given

    def _take(self, request: PortRequest, number: int) -> None:
        who = request.key.partition("/")[0]
        self.hold(request.host, request.protocol, request.address, number, f'"{who}"')

    def _find_obstacle(self, request: PortRequest, number: int) -> str:
        if number < self._hosts[request.host].first_port:
            return f"port {number} needs privilege on {request.host}"
        return self.find_holder(request.host, request.protocol, request.address, number)

    def _find_spare(self, request: PortRequest) -> int:
        count = LAST_SPARE - FIRST_SPARE + 1
        start = addressing.hash_number(request.key) % count
        for turn in range(count):
            number = FIRST_SPARE + (start + turn) % count
            if not self.find_holder(request.host, request.protocol, request.address, number):
                return number
        raise errors.PlanError(
            "plan.no-port",
            f"cannot give {request.key.partition('/')[0]} a port on {request.address}:"
            f" {FIRST_SPARE}-{LAST_SPARE} are all taken on {request.host}",
            do="spread the stack over more machines",
        )


def list_sockets(replica: plans.PlannedService) -> list[tuple[Protocol, str, int]]:
    """Return the sockets that a replica takes of its machine: what it binds there, or what its
    engine publishes for it."""
    if replica.container is not None:
        return [(one.protocol, one.host, one.port) for one in replica.container.publishes]
    if replica.namespace is not None:
        return []
    return [(port.protocol, port.bound_host, port.bound_port) for port in replica.ports]


def drop_own(
    seen: facts.Facts, previous: plans.Plan | None, observed: Sequence[plans.Observed]
) -> facts.Facts:
    """Return the facts without the listeners that are those of the run itself.

    What the previous plan has bound counts as ours where the replica lives, its forwards while
    anything does.
    """
    living = {one.name for one in observed if one.state in states.ALIVE}
    if previous is None or not living:
        return seen
    own = {
        (replica.host, *socket)
        for replica in previous.services
        if replica.name in living
        for socket in list_sockets(replica)
    }
    own |= {
        (host, one.protocol, one.listen_host, one.listen_port)
        for host, forwards in previous.forwards
        for one in forwards
    }
    hosts = tuple(
        dataclasses.replace(
            host,
            listeners=tuple(
                one
                for one in host.listeners
                if (host.name, one.protocol, one.address, one.port) not in own
            ),
        )
        for host in seen.hosts
    )
    return dataclasses.replace(seen, hosts=hosts)


def find_conflicts(
    claims: Sequence[Claim], hosts: Mapping[str, facts.HostFacts]
) -> list[errors.StackError]:
    """Return an error for each socket that another program holds or two of the plan want."""
    wrong = _find_taken(claims, hosts)
    slots: dict[_Slot, list[Claim]] = {}
    for claim in claims:
        slots.setdefault((claim.host, claim.protocol, claim.port), []).append(claim)
    for group in slots.values():
        if len(group) > 1:
            wrong.extend(_find_clashes(group))
    return wrong


def _find_taken(
    claims: Sequence[Claim], hosts: Mapping[str, facts.HostFacts]
) -> list[errors.StackError]:
    held: dict[_Slot, dict[str, facts.Listener]] = {}
    for name, host in hosts.items():
        for listener in host.listeners:
            slot = (name, listener.protocol, listener.port)
            held.setdefault(slot, {})[listener.address] = listener
    wrong: list[errors.StackError] = []
    reported: set[tuple[str, str, Protocol, int]] = set()
    for claim in claims if held else ():
        others = held.get((claim.host, claim.protocol, claim.port), {})
        key = (claim.service.name, claim.host, claim.protocol, claim.port)
        for other in sorted(others):
            meets = other == claim.address or is_wildcard(other) or is_wildcard(claim.address)
            if meets and key not in reported:
                reported.add(key)
                wrong.append(_report_taken(claim, others[other]))
    return wrong


def _say_owner(listener: facts.Listener) -> str:
    return f'run "{listener.owner}"' if listener.owner else "another program"


def _report_taken(claim: Claim, held: facts.Listener) -> errors.StackError:
    other = held.address
    why = f'"{claim.subject}" {claim.deed} {claim.address}:{claim.port}'
    if other != claim.address:
        why += ", and a socket on all addresses holds its port on every single one as well"
    flag = "-ltnp" if claim.protocol == "tcp" else "-lunp"
    end = f'end that program (ss {flag} "sport = :{claim.port}" names it)'
    if held.owner:
        end = f"stop that run (stackdsl stop {held.owner})"
    return errors.PlanError(
        "plan.port-taken",
        f'cannot give "{claim.subject}" port {claim.port}: {_say_owner(held)} on {claim.host}'
        f" holds {other}:{claim.port}",
        where=str(claim.service.where),
        why=why,
        do=f'{end}, or give "{claim.service.name}" another port',
    )


def _find_clashes(group: Sequence[Claim]) -> list[errors.StackError]:
    """Return one error for each service that loses to an earlier one, in order of name."""
    wrong: list[errors.StackError] = []
    winners: dict[str, Claim] = {}
    widest: Claim | None = None
    reported: set[tuple[str, str]] = set()
    for claim in sorted(group, key=lambda c: (not is_wildcard(c.address), c.subject, c.address)):
        winner = winners.get(claim.address) or widest
        if winner is None:
            winners[claim.address] = claim
            widest = claim if is_wildcard(claim.address) else None
            continue
        pair = (winner.service.name, claim.service.name)
        if pair not in reported:
            reported.add(pair)
            wrong.append(_report_clash(winner, claim))
    return wrong


def _report_clash(winner: Claim, loser: Claim) -> errors.StackError:
    first = f"{winner.address}:{winner.port}"
    second = f"{loser.address}:{loser.port}"
    why = f'"{winner.subject}" {winner.deed} {first}, "{loser.subject}" {loser.deed} {second}'
    if first != second:
        why += "; a socket on all addresses holds its port on every single one as well"
    return errors.PlanError(
        "plan.port-clash",
        f'cannot give "{loser.subject}" port {loser.port}: "{winner.subject}" takes it'
        f" on {winner.host}",
        where="\n".join(dict.fromkeys((str(winner.service.where), str(loser.service.where)))),
        why=why,
        do=f'let "{loser.service.name}" use another port, or give one of them isolated=True,'
        " an address of its own",
    )
