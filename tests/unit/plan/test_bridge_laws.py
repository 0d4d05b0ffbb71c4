"""Laws of plans with containers, isolated processes and natives on one machine: who is told where,
what answers there, what stays."""

import dataclasses
import ipaddress
import random
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stackdsl.model import facts, places, plans, services
from stackdsl.plan import claiming, specifying
from tests.unit.plan.making import (
    after,
    boxed,
    fail,
    grounded,
    observe,
    plan,
    port,
    service,
    stack,
    task,
    uses,
)

NUMBERS = st.sampled_from([80, 5432, 8080, 9090])
KINDS = ["native", "container", "isolated", "attached"]
FACTS = grounded(subnets=("10.200.0.0/16",))
PLAIN = grounded(can_network=False)


@st.composite
def ports(draw: st.DrawFn, kind: str) -> list[services.Port]:
    names = draw(st.lists(st.sampled_from(["default", "http", "admin"]), max_size=2, unique=True))
    numbers = draw(st.lists(NUMBERS, min_size=len(names), max_size=len(names), unique=True))
    made = []
    for name, number in zip(names, numbers, strict=True):
        protocol = draw(st.sampled_from(["tcp", "tcp", "udp"]))
        listens = draw(st.sampled_from([None, None, ("127.0.0.1", 7000 + number)]))
        publish = draw(st.sampled_from([None, None, ("127.0.0.1", 9999 + number)]))
        is_native = kind == "native"
        made.append(
            port(
                number,
                name,
                protocol=protocol,
                listens=listens if is_native else None,
                publish=None if kind == "attached" else publish,
            )
        )
    return made


@st.composite
def members(draw: st.DrawFn, kinds: Sequence[str]) -> list[services.Service]:
    """Draw services that need only what was drawn before them, on this machine."""
    made: list[services.Service] = []
    for index in range(draw(st.integers(1, 7))):
        kind = draw(st.sampled_from(kinds))
        needs = []
        for other in (
            draw(st.lists(st.sampled_from(made), max_size=3, unique_by=id)) if made else ()
        ):
            is_told = bool(other.ports) and draw(st.booleans())
            condition: services.Condition = "completed" if other.kind == "task" else "ready"
            needs.append(uses(other.name) if is_told else after(other.name, condition))
        name = f"{draw(st.sampled_from('abcxyz'))}{index}"
        made.append(draw(member(name, kind, needs)))
    return made


@st.composite
def member(draw: st.DrawFn, name: str, kind: str, needs: list[services.Need]) -> services.Service:
    own = draw(ports(kind))
    if kind == "attached":
        return service(name, *own, runs_on=places.Attach(process=name), me=False)
    if kind == "native" and not own and draw(st.booleans()):
        return task(name, needs=needs)
    options: dict[str, Any] = {
        "needs": needs,
        "replicas": 1 if any(one.publish for one in own) else draw(st.integers(1, 3)),
        "is_stable": draw(st.booleans()),
    }
    if kind == "container":
        return boxed(name, *own, **options)
    return service(name, *own, is_isolated=kind == "isolated", **options)


def can_be_planned(made: Sequence[services.Service]) -> bool:
    """Leave out what two programs insist on: that is an error, and tested as one."""
    sockets: set[tuple[str, str, int]] = set()
    for one in made:
        for at in one.ports:
            is_found = isinstance(one.runs_on, places.Attach)
            found = ("127.0.0.1", at.number) if is_found else None
            for socket in (at.listens, at.publish, found):
                if socket is None:
                    continue
                key = (at.protocol, *socket)
                if key in sockets or (socket == at.listens and one.replicas > 1):
                    return False
                sockets.add(key)
    return True


STACKS = members(KINDS).filter(can_be_planned)
WITHOUT_PRIVILEGE = members(["native", "container", "attached"]).filter(can_be_planned)
ANY = st.one_of(st.tuples(STACKS, st.just(FACTS)), st.tuples(WITHOUT_PRIVILEGE, st.just(PLAIN)))
Drawn = tuple[list[services.Service], facts.Facts]


def addresses_of(made: plans.Plan) -> dict[str, str]:
    """Return the address on the bridge of everything that is plugged in."""
    return {one.name: address for one in made.services if (address := specifying.find_address(one))}


def answering(made: plans.Plan) -> set[tuple[str, str, int]]:
    """Return every socket of the machine and of what is plugged into its bridge."""
    open_sockets: set[tuple[str, str, int]] = set()
    inside = addresses_of(made)
    for one in made.services:
        open_sockets.update(claiming.list_sockets(one))
        for at in one.ports:
            if one.name in inside:
                open_sockets.add((at.protocol, inside[one.name], at.bound_port))
    for _, forwards in made.forwards:
        open_sockets.update((one.protocol, one.listen_host, one.listen_port) for one in forwards)
    return open_sockets


@settings(deadline=None, max_examples=60)
@given(ANY)
def test_addresses_on_the_bridge_are_in_its_subnet_and_nobody_shares_one(drawn: Drawn) -> None:
    made = plan(stack(*drawn[0]), drawn[1])

    for _, network in made.networks:
        subnet = ipaddress.ip_network(network.subnet)
        inside = [*addresses_of(made).values(), *network.addresses]
        assert len(inside) == len(set(inside))
        usable = set(subnet.hosts()) - {ipaddress.ip_address(network.gateway)}
        assert {ipaddress.ip_address(one) for one in inside} <= usable
        assert not subnet.overlaps(ipaddress.ip_network("10.200.0.0/16"))


@settings(deadline=None, max_examples=60)
@given(ANY)
def test_every_told_address_is_answered_by_what_the_plan_makes(drawn: Drawn) -> None:
    made = plan(stack(*drawn[0]), drawn[1])

    protocols = {(one.service, at.name): at.protocol for one in made.services for at in one.ports}
    owners = {one.name: one.service for one in made.services}
    sockets = answering(made)
    for link in made.links:
        host, _, number = link.address.rpartition(":")
        protocol = protocols[owners.get(link.target, link.target), link.port]
        assert (protocol, host, int(number)) in sockets, link


@settings(deadline=None, max_examples=60)
@given(ANY)
def test_containers_and_namespaces_are_told_no_loopback_address(drawn: Drawn) -> None:
    made = plan(stack(*drawn[0]), drawn[1])

    inside = addresses_of(made)
    for link in made.links:
        if link.source in inside:
            assert link.kind == "bridge"
            assert not link.address.startswith("127.")


@settings(deadline=None, max_examples=60)
@given(ANY, st.randoms(use_true_random=False))
def test_the_order_of_declaration_does_not_change_the_plan(
    drawn: Drawn, random: random.Random
) -> None:
    shuffled = list(drawn[0])
    random.shuffle(shuffled)

    assert plan(stack(*shuffled), drawn[1]) == plan(stack(*drawn[0]), drawn[1])


@settings(deadline=None, max_examples=60)
@given(ANY, st.sampled_from(["native", "container"]))
def test_adding_a_caller_of_everything_moves_nothing(drawn: Drawn, kind: str) -> None:
    made, seen = drawn
    first = plan(stack(*made), seen)
    needs = [uses(one.name) for one in made if one.ports]
    newcomer = boxed("m", needs=needs) if kind == "container" else service("m", needs=needs)

    second = plan(stack(*made, newcomer), seen, previous=first)

    told = {(x.source, x.target, x.port): x.address for x in second.links}
    for link in first.links:
        assert told[link.source, link.target, link.port] == link.address
    digests = {one.name: (one.bind, one.digest) for one in second.services}
    for one in first.services:
        assert digests[one.name] == (one.bind, one.digest)
    for host, network in first.networks:
        assert dict(second.networks)[host].subnet == network.subnet


@settings(deadline=None, max_examples=60)
@given(ANY)
def test_no_two_sockets_of_the_machine_are_the_same(drawn: Drawn) -> None:
    made = plan(stack(*drawn[0]), drawn[1])

    sockets = [socket for one in made.services for socket in claiming.list_sockets(one)]
    sockets += [
        (one.protocol, one.listen_host, one.listen_port)
        for _, forwards in made.forwards
        for one in forwards
    ]
    assert len(sockets) == len(set(sockets))


@settings(deadline=None, max_examples=60)
@given(ANY)
def test_a_plan_of_what_stands_keeps_everything(drawn: Drawn) -> None:
    first = plan(stack(*drawn[0]), drawn[1])

    second = plan(stack(*drawn[0]), drawn[1], previous=first, observed=observe(first))

    assert {step.kind for step in second.steps} <= {"keep", "forward", "network"}
    assert dataclasses.replace(second, steps=()) == dataclasses.replace(first, steps=())


@settings(deadline=None, max_examples=60)
@given(ANY)
def test_every_step_waits_for_steps_that_there_are_and_none_for_itself(drawn: Drawn) -> None:
    made = plan(stack(*drawn[0]), drawn[1])

    waits = {step.id: set(step.needs) for step in made.steps}
    assert len(waits) == len(made.steps)
    while waits:
        free = {step for step, needs in waits.items() if not needs}
        assert free
        waits = {step: needs - free for step, needs in waits.items() if step not in free}


@settings(deadline=None, max_examples=30)
@given(ANY)
def test_everything_on_a_bridge_starts_after_it_and_what_calls_over_it_is_proved(
    drawn: Drawn,
) -> None:
    made = plan(stack(*drawn[0]), drawn[1])

    steps = {step.id: step for step in made.steps}
    for name in addresses_of(made):
        assert "network:local" in steps[f"start:{name}"].needs
    proved = {
        (edge.source, f"{edge.host}:{edge.number}")
        for step in made.steps
        if isinstance(step, plans.ProveLinks)
        for edge in step.edges
    }
    for link in made.links:
        if link.kind == "bridge":
            assert (link.source, link.address) in proved


def test_what_two_insist_on_is_still_an_error() -> None:
    taken = port(80, publish=("127.0.0.1", 8000))

    wrong = fail(stack(boxed("a", taken), boxed("b", taken)), FACTS)

    assert [error.code for error in wrong] == ["plan.port-clash"]
