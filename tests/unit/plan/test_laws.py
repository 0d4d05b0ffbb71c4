"""Laws that hold for every plan: order does not matter, addresses stay, nobody shares a socket."""

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stackdsl.model import errors, facts, places, services
from stackdsl.plan import claiming
from tests.unit.plan.making import (
    after,
    lan,
    observe,
    plan,
    port,
    service,
    ssh,
    stack,
    task,
    uses,
)

ADDRESSES = {"local": "10.0.0.1", "east": "10.0.0.2", "west": "10.0.0.3"}
PLACES = {"local": places.Local(), "east": ssh("east"), "west": ssh("west")}
NUMBERS = st.sampled_from([80, 5432, 8080, 9090])


@st.composite
def ports(draw: st.DrawFn) -> list[services.Port]:
    names = draw(st.lists(st.sampled_from(["default", "http", "admin"]), max_size=2, unique=True))
    numbers = draw(st.lists(NUMBERS, min_size=len(names), max_size=len(names), unique=True))
    made = []
    for name, number in zip(names, numbers, strict=True):
        listens = draw(st.sampled_from([None, None, None, ("127.0.0.1", 7000 + number)]))
        publish = draw(st.sampled_from([None, None, ("127.0.0.1", 9999 + number)]))
        made.append(port(number, name, listens=listens, publish=publish))
    return made


@st.composite
def members(draw: st.DrawFn) -> list[services.Service]:
    """Draw services that need only what was drawn before them, here and on two machines."""
    made: list[services.Service] = []
    for index in range(draw(st.integers(1, 7))):
        is_task = draw(st.booleans()) and index > 0
        needs = []
        for other in (
            draw(st.lists(st.sampled_from(made), max_size=3, unique_by=id)) if made else ()
        ):
            told = bool(other.ports) and draw(st.booleans())
            condition: services.Condition = "completed" if other.kind == "task" else "ready"
            needs.append(uses(other.name) if told else after(other.name, condition))
        name = f"{draw(st.sampled_from('abcxyz'))}{index}"
        options: dict[str, Any] = {
            "needs": needs,
            "runs_on": PLACES[draw(st.sampled_from(sorted(PLACES)))],
        }
        if is_task:
            made.append(task(name, **options))
            continue
        replicas = draw(st.integers(1, 3))
        made.append(
            service(
                name,
                *draw(ports()),
                replicas=replicas,
                is_stable=draw(st.booleans()),
                **options,
            )
        )
    return made


def can_be_planned(made: Sequence[services.Service]) -> bool:
    """Leave out what two programs insist on: that is an error, and tested as one."""
    sockets: set[tuple[str, tuple[str, int]]] = set()
    for one in made:
        for at in one.ports:
            for socket in (at.listens, at.publish):
                if socket is None:
                    continue
                key = (str(one.runs_on), socket)
                if key in sockets or (socket == at.listens and one.replicas > 1):
                    return False
                sockets.add(key)
    return True


STACKS = members().filter(can_be_planned)
FACTS = lan(ADDRESSES)


@settings(deadline=None, max_examples=60)
@given(STACKS, st.randoms(use_true_random=False))
def test_the_order_of_declaration_does_not_change_the_plan(
    made: list[services.Service], random: random.Random
) -> None:
    shuffled = list(made)
    random.shuffle(shuffled)

    assert plan(stack(*shuffled), FACTS) == plan(stack(*made), FACTS)


@settings(deadline=None, max_examples=60)
@given(STACKS, ports())
def test_adding_a_service_moves_no_address(
    made: list[services.Service], more: list[services.Port]
) -> None:
    first = plan(stack(*made), FACTS)
    newcomer = service("m", *more, needs=[uses(one.name) for one in made if one.ports])

    try:
        second = plan(stack(*made, newcomer), FACTS, previous=first)
    except errors.StackError:
        return  # two that insist on one socket

    told = {(x.source, x.target, x.port): x.address for x in second.links}
    for link in first.links:
        assert told[link.source, link.target, link.port] == link.address
    binds = {one.name: (one.bind, one.digest) for one in second.services}
    for one in first.services:
        assert binds[one.name] == (one.bind, one.digest)


@settings(deadline=None, max_examples=60)
@given(STACKS)
def test_every_told_address_is_bound_or_forwarded_on_the_callees_machine(
    made: list[services.Service],
) -> None:
    planned = plan(stack(*made), FACTS)

    answering: dict[str, set[str]] = {}
    for one in planned.services:
        answering.setdefault(one.host, set()).update(
            f"{at.bound_host}:{at.bound_port}" for at in one.ports
        )
    for host, forwards in planned.forwards:
        answering.setdefault(host, set()).update(
            f"{one.listen_host}:{one.listen_port}" for one in forwards
        )
    hosts = {one.service: one.host for one in planned.services}
    hosts |= {one.name: one.host for one in planned.services}
    for link in planned.links:
        assert link.address in answering[hosts[link.target]]
    for one in planned.services:
        for at in one.ports:
            assert f"{at.host}:{at.told_port}" in answering[one.host]


@settings(deadline=None, max_examples=60)
@given(STACKS)
def test_no_two_sockets_of_a_machine_are_the_same(made: list[services.Service]) -> None:
    planned = plan(stack(*made), FACTS)

    sockets = [
        (one.host, at.protocol, at.bound_host, at.bound_port)
        for one in planned.services
        for at in one.ports
    ]
    sockets += [
        (host, one.protocol, one.listen_host, one.listen_port)
        for host, forwards in planned.forwards
        for one in forwards
    ]
    assert len(sockets) == len(set(sockets))


@settings(deadline=None, max_examples=60)
@given(STACKS)
def test_a_plan_of_what_stands_keeps_everything(made: list[services.Service]) -> None:
    first = plan(stack(*made), FACTS)

    second = plan(stack(*made), FACTS, previous=first, observed=observe(first))

    assert {step.kind for step in second.steps} <= {"keep", "forward"}
    assert dataclasses.replace(second, steps=()) == dataclasses.replace(first, steps=())


@given(st.sampled_from(["tcp", "udp"]), st.integers(1, 65535), st.booleans())
def test_a_wildcard_meets_every_address_of_its_port(
    protocol: claiming.Protocol, number: int, is_wide_first: bool
) -> None:
    wide, narrow = "0.0.0.0", "127.1.2.3"
    held, asked = (wide, narrow) if is_wide_first else (narrow, wide)
    hosts = {"local": facts.HostFacts(name="local")}
    occupancy = claiming.Occupancy(hosts)

    occupancy.hold("local", protocol, held, number, "x")

    assert occupancy.find_holder("local", protocol, asked, number)
    assert not occupancy.find_holder("local", protocol, asked, number % 65535 + 1)
