"""Where services are told to be: blocks, slots, ports that give way, forwards."""

import dataclasses

from stackdsl.model import facts, places, plans, specs
from stackdsl.plan import addressing
from tests.unit.plan.making import (
    fail,
    find,
    find_spec,
    lan,
    listener,
    local,
    observe,
    plan,
    port,
    service,
    ssh,
    stack,
    uses,
)

CANONICAL = stack(service("db", port(5432)), service("api", port(8080), needs=[uses("db")]))


def forwards_of(made: plans.Plan) -> dict[str, specs.Forward]:
    return {f.id: f for _, forwards in made.forwards for f in forwards}


def test_a_service_is_told_its_own_loopback_address_at_its_canonical_port() -> None:
    made = plan(CANONICAL)

    link = made.links[0]
    db = find(made, "db")
    assert link.kind == "loopback"
    assert link.address == f"{db.bind}:5432"
    assert db.bind.startswith("127.")
    assert db.ports[0].bound_port == 5432
    assert made.forwards == ()


def test_two_runs_have_blocks_of_their_own() -> None:
    first = plan(CANONICAL)
    second = plan(CANONICAL, local(blocks_taken=(first.block,)))

    assert second.block[0] > first.block[1] or second.block[1] < first.block[0]


def test_the_block_moves_on_when_somebody_listens_in_it_at_a_port_of_the_stack() -> None:
    first = plan(CANONICAL)
    inside = addressing.format_address(first.block[0] + 77)

    assert plan(CANONICAL, local(listener(inside, 8080))).block != first.block
    assert plan(CANONICAL, local(listener(inside, 9999))).block == first.block


def test_a_previous_block_is_kept_while_no_other_run_holds_it() -> None:
    first = plan(CANONICAL)
    block = (0x7F500000, 0x7F5000FF)
    moved = dataclasses.replace(first, block=block)

    assert plan(CANONICAL, previous=moved).block == block
    assert plan(CANONICAL, local(blocks_taken=(block,)), previous=moved).block != block


def test_a_block_that_got_too_small_grows_and_no_address_moves() -> None:
    few = stack(*(service(f"s{n}", port(80 + 8000)) for n in range(3)))
    many = stack(*(service(f"s{n}", port(80 + 8000)) for n in range(600)))
    first = plan(few)

    second = plan(many, previous=first)

    assert second.block[1] - second.block[0] + 1 == 2048
    assert [find(second, f"s{n}").bind for n in range(3)] == [
        find(first, f"s{n}").bind for n in range(3)
    ]


def test_addresses_end_neither_in_0_nor_in_255() -> None:
    made = plan(stack(*(service(f"s{n}", port(8000)) for n in range(400))))

    ends = {one.bind.rpartition(".")[2] for one in made.services}
    assert ends.isdisjoint({"0", "255"})
    assert len({one.bind for one in made.services}) == 400


def test_an_address_rests_for_one_plan_when_its_service_is_gone() -> None:
    first = plan(stack(service("a", port(80 + 8000)), service("b", port(8000))))

    second = plan(stack(service("b", port(8000)), service("c", port(8000))), previous=first)

    assert find(second, "c").bind != find(first, "a").bind
    assert find(second, "b").bind == find(first, "b").bind


def test_a_low_port_gives_way_without_privilege_and_says_why() -> None:
    made = plan(stack(service("web", port(80)), service("probe", needs=[uses("web")])))

    web = find(made, "web")
    number = web.ports[0].bound_port
    assert 20000 <= number <= 29999
    assert made.links[0].address == f"{web.bind}:{number}"
    assert "privilege" in made.links[0].reason
    assert dict(web.env)["PORT"] == str(number)
    assert [notice.code for notice in made.warnings] == ["plan.port-changed"]


def test_a_low_port_holds_where_everything_may_be_bound() -> None:
    seen = facts.Facts(hosts=(facts.HostFacts(name="local", first_port=0),))

    assert find(plan(stack(service("web", port(80))), seen), "web").ports[0].bound_port == 80


def test_a_port_that_gave_way_is_kept_over_plans() -> None:
    made = stack(service("web", port(80)))
    first = plan(made)
    kept = dataclasses.replace(first, ports_kept=(("web/default", 21234),))

    assert find(plan(made, previous=kept), "web").ports[0].bound_port == 21234


def test_a_canonical_port_that_somebody_holds_everywhere_is_an_error_of_the_plan() -> None:
    wrong = fail(CANONICAL, local(listener("0.0.0.0", 5432)))

    assert [error.code for error in wrong] == ["plan.port-taken"]
    assert '"db"' in wrong[0].what
    assert "5432" in wrong[0].what


def test_a_run_of_ours_that_holds_a_port_is_named_and_may_be_stopped() -> None:
    held = dataclasses.replace(listener("0.0.0.0", 5432), owner="shop@two")
    (wrong,) = fail(CANONICAL, local(held))

    assert 'run "shop@two" on local holds 0.0.0.0:5432' in wrong.what
    assert "stackdsl stop shop@two" in wrong.do
    assert "another program" not in wrong.text()


def test_a_listener_on_another_loopback_address_is_in_nobodys_way() -> None:
    assert plan(CANONICAL, local(listener("127.0.0.1", 5432)))


def test_listeners_of_the_run_itself_are_in_nobodys_way() -> None:
    made = stack(service("web", port(8080, listens=("0.0.0.0", 8080))))
    first = plan(made)

    again = plan(made, local(listener("0.0.0.0", 8080)), previous=first, observed=observe(first))

    assert [step.id for step in again.steps] == ["keep:web"]


def test_a_program_that_insists_on_a_socket_is_forwarded_to() -> None:
    made = plan(stack(service("app", port(8000, listens=("127.0.0.1", 9000)))))

    app = find(made, "app")
    told = app.ports[0]
    forward = forwards_of(made)[f"tcp/{told.host}:8000"]
    assert forward.targets == (("127.0.0.1", 9000),)
    assert app.checks[0].label == "tcp 127.0.0.1:9000"


def test_a_program_that_takes_the_port_of_the_whole_machine_is_told_without_a_forward() -> None:
    made = plan(stack(service("app", port(8080, listens=("0.0.0.0", 8080)))))

    app = find(made, "app")
    assert made.forwards == ()
    assert app.checks[0].label == f"tcp {app.ports[0].host}:8080"


def test_a_program_on_every_address_at_another_port_is_forwarded_to_at_its_own() -> None:
    made = plan(stack(service("app", port(80 + 8000, listens=("0.0.0.0", 9000)))))

    told = find(made, "app").ports[0]
    assert forwards_of(made)[f"tcp/{told.host}:8080"].targets == ((told.host, 9000),)


def test_a_second_one_that_wants_the_whole_machines_port_is_an_error_that_names_isolated() -> None:
    wrong = fail(
        stack(
            service("one", port(8080, listens=("0.0.0.0", 8080))),
            service("two", port(8080)),
        )
    )

    assert [error.code for error in wrong] == ["plan.port-clash"]
    assert "isolated=True" in wrong[0].do
    assert '"one"' in wrong[0].what
    assert '"two"' in wrong[0].what


def test_replicas_that_insist_on_one_socket_clash() -> None:
    wrong = fail(stack(service("app", port(8000, listens=("127.0.0.1", 9000)), replicas=2)))

    assert [error.code for error in wrong] == ["plan.port-clash"]


def test_a_published_port_is_forwarded_for_people() -> None:
    made = plan(stack(service("web", port(8080, publish=("127.0.0.1", 8888)))))

    forward = forwards_of(made)["tcp/127.0.0.1:8888"]
    assert forward.targets == ((find(made, "web").bind, 8080),)
    assert made.warnings == ()


def test_publishing_to_every_address_is_warned_about() -> None:
    made = plan(stack(service("web", port(8080, publish=("0.0.0.0", 8888)))))

    assert [notice.code for notice in made.warnings] == ["plan.published-widely"]


def test_publishing_the_canonical_port_everywhere_binds_it_there_without_a_forward() -> None:
    made = plan(stack(service("web", port(8080, publish=("0.0.0.0", 8080)))))

    assert find(made, "web").bind == "0.0.0.0"
    assert made.forwards == ()


def test_a_published_port_that_is_taken_is_an_error() -> None:
    made = stack(service("web", port(8080, publish=("127.0.0.1", 8888))))

    assert [e.code for e in fail(made, local(listener("127.0.0.1", 8888)))] == ["plan.port-taken"]


def test_publishing_a_low_port_needs_privilege() -> None:
    wrong = fail(stack(service("web", port(8080, publish=("127.0.0.1", 80)))))

    assert [error.code for error in wrong] == ["plan.port-privileged"]


def test_an_offline_plan_does_not_judge_privileges() -> None:
    made = stack(service("web", port(8080, publish=("127.0.0.1", 80))))

    planned = plan(made, facts.Facts(is_offline=True))

    assert [forward.listen_port for _, mine in planned.forwards for forward in mine] == [80]


def test_bind_overrides_what_is_told_to_the_program() -> None:
    made = plan(stack(service("app", port(8000, bind="127.0.0.1"))))

    app = find(made, "app")
    assert app.bind == "127.0.0.1"
    assert forwards_of(made)[f"tcp/{app.ports[0].host}:8000"].targets == (("127.0.0.1", 8000),)


def test_datagrams_are_forwarded_as_datagrams() -> None:
    insists = port(5353, protocol="udp", listens=("127.0.0.1", 15353))
    made = plan(stack(service("dns", insists)))

    app = find(made, "dns")
    assert f"udp/{app.ports[0].host}:5353" in forwards_of(made)
    assert app.checks == ()


def test_callers_of_a_stable_service_are_told_one_more_address_that_goes_to_all_replicas() -> None:
    made = plan(
        stack(
            service("api", port(8080), replicas=2, is_stable=True),
            service("web", needs=[uses("api")]),
        )
    )

    told = next(link for link in made.links if link.target == "api").address
    binds = [find(made, f"api-{index}").bind for index in range(2)]
    assert told.removesuffix(":8080") not in binds
    assert forwards_of(made)[f"tcp/{told}"].targets == tuple((bind, 8080) for bind in binds)


def test_an_external_service_is_told_as_declared() -> None:
    place = places.External(host="db.example.com", port=5432)
    made = plan(stack(service("db", runs_on=place, me=False), service("api", needs=[uses("db")])))

    assert made.links[0].kind == "external"
    assert made.links[0].port == "default"
    assert made.links[0].address == "db.example.com:5432"
    assert find(made, "db").spec is None


def test_what_runs_already_is_told_where_it_listens() -> None:
    made = plan(
        stack(
            service("db", port(5432), runs_on=places.Attach(process="postgres"), me=False),
            service("api", needs=[uses("db")]),
        ),
        local(listener("127.0.0.1", 5432)),
    )

    assert made.links[0].address == "127.0.0.1:5432"
    assert made.links[0].kind == "loopback"
    assert find_spec(made, "db").attach_process == "postgres"


# --- between machines -----------------------------------------------------------------------------

THREE = {"local": "192.168.1.5", "edge": "192.168.1.7", "far": "192.168.1.9"}


def test_a_service_that_only_other_machines_call_binds_the_address_that_they_reach() -> None:
    made = plan(
        stack(
            service("db", port(5432), runs_on=ssh("edge")),
            service("api", needs=[uses("db")], runs_on=ssh("far")),
        ),
        lan(THREE),
    )

    assert made.links[0].kind == "lan"
    assert made.links[0].address == "192.168.1.7:5432"
    assert find(made, "db").bind == "192.168.1.7"
    assert made.forwards == ()
    assert next(host for host in made.hosts if host.name == "edge").lan == "192.168.1.7"


def test_a_service_that_is_called_from_here_and_elsewhere_binds_its_own_and_is_forwarded() -> None:
    made = plan(
        stack(
            service("db", port(5432), runs_on=ssh("edge")),
            service("api", needs=[uses("db")], runs_on=ssh("far")),
            service("job", needs=[uses("db")], runs_on=ssh("edge")),
        ),
        lan(THREE),
    )

    db = find(made, "db")
    assert db.bind.startswith("127.")
    assert forwards_of(made)["tcp/192.168.1.7:5432"].targets == ((db.bind, 5432),)
    assert {link.kind for link in made.links} == {"lan", "loopback"}


def test_of_two_that_want_one_port_of_a_machine_one_gives_way_and_the_link_says_why() -> None:
    made = plan(
        stack(
            service("a", port(8080), runs_on=ssh("edge")),
            service("b", port(8080), runs_on=ssh("edge")),
            service("web", needs=[uses("a"), uses("b")]),
        ),
        lan(THREE),
    )

    first, second = made.links
    assert first.address == "192.168.1.7:8080"
    number = int(second.address.rpartition(":")[2])
    assert 20000 <= number <= 29999
    assert '"a" listens on 192.168.1.7:8080' in second.reason
    assert find(made, "b").ports[0].bound_port == number


def test_a_newcomer_does_not_take_the_shared_port_that_another_was_given() -> None:
    b = service("b", port(8080), runs_on=ssh("edge"))
    first = plan(stack(b, service("web", needs=[uses("b")])), lan(THREE))

    a = service("a", port(8080), runs_on=ssh("edge"))
    second = plan(
        stack(a, b, service("web", needs=[uses("a"), uses("b")])), lan(THREE), previous=first
    )

    assert next(x for x in second.links if x.target == "b").address == "192.168.1.7:8080"
    assert next(x for x in second.links if x.target == "a").address != "192.168.1.7:8080"


def test_a_caller_that_joins_on_the_same_machine_is_forwarded_and_the_callee_stays() -> None:
    db = service("db", port(5432), runs_on=ssh("edge"))
    api = service("api", needs=[uses("db")], runs_on=ssh("far"))
    first = plan(stack(db, api), lan(THREE))

    job = service("job", needs=[uses("db")], runs_on=ssh("edge"))
    second = plan(stack(db, api, job), lan(THREE), previous=first)

    assert find(second, "db").digest == find(first, "db").digest
    told = next(link for link in second.links if link.source == "job").address
    assert forwards_of(second)[f"tcp/{told}"].targets == (("192.168.1.7", 5432),)


def test_a_caller_that_joins_elsewhere_is_forwarded_and_the_callee_is_left_alone() -> None:
    db = service("db", port(5432), runs_on=ssh("edge"))
    job = service("job", needs=[uses("db")], runs_on=ssh("edge"))
    first = plan(stack(db, job), lan(THREE))

    api = service("api", needs=[uses("db")], runs_on=ssh("far"))
    second = plan(stack(db, api, job), lan(THREE), previous=first)

    assert find(second, "db").digest == find(first, "db").digest
    assert "tcp/192.168.1.7:5432" in forwards_of(second)


def test_a_machine_that_is_not_reached_is_called_through_the_controller() -> None:
    seen = facts.Facts(hosts=(facts.HostFacts(name="local"), facts.HostFacts(name="edge")))
    db = service("db", port(5432), runs_on=ssh("edge"))

    planned = plan(stack(db, service("api", needs=[uses("db")])), seen)

    (link,) = planned.links
    assert (link.kind, "no probe from local reached edge" in link.reason) == ("tunnel", True)
    ((host, (forward,)),) = planned.forwards
    bound = find_spec(planned, "db").ports[0]
    assert (host, forward.via, forward.targets) == ("local", "edge", ((bound.host, bound.port),))
    assert link.address == f"{forward.listen_host}:{forward.listen_port}"


def test_datagrams_to_a_machine_that_is_not_reached_are_an_error_that_says_why() -> None:
    seen = facts.Facts(hosts=(facts.HostFacts(name="local"), facts.HostFacts(name="edge")))
    db = service("db", port(5432, protocol="udp"), runs_on=ssh("edge"))
    made = stack(db, service("api", needs=[uses("db")]))

    wrong = fail(made, seen)

    assert [error.code for error in wrong] == ["plan.no-route"]
    assert "no probe from local reached edge" in wrong[0].why


def test_a_public_address_is_no_lan_unless_the_author_says_so() -> None:
    seen = facts.Facts(
        hosts=(facts.HostFacts(name="local"), facts.HostFacts(name="edge", kind="ssh")),
        reached=(facts.Reach(source="local", target="edge", address="203.0.113.9"),),
    )
    db = service("db", port(5432), runs_on=ssh("edge"))
    api = service("api", needs=[uses("db")])

    (link,) = plan(stack(db, api), seen).links
    assert (link.kind, "public" in link.reason) == ("tunnel", True)
    made = plan(stack(dataclasses.replace(db, network="lan"), api), seen)
    assert made.links[0].address == "203.0.113.9:5432"


def test_an_offline_plan_assumes_links_so_that_bodies_can_be_called() -> None:
    made = stack(service("db", port(5432), runs_on=ssh("edge")), service("api", needs=[uses("db")]))

    planned = plan(made, facts.Facts(is_offline=True))

    assert planned.links[0].kind == "wireguard"
    assert "assumed" in planned.links[0].reason
    assert find(planned, "api").command is not None


def test_bodies_of_stacks_with_containers_get_addresses_too() -> None:
    image = places.Docker(image="postgres:16")
    made = plan(
        stack(
            service("db", port(5432), runs_on=image, body=lambda values: None, me=False),
            service("job", runs_on=image, needs=[uses("db")]),
            service("api", needs=[uses("db")]),
        )
    )

    kinds = {link.source: link.kind for link in made.links}
    assert kinds == {"job": "bridge", "api": "loopback"}
    assert find(made, "db").bind == "0.0.0.0"
    assert find_spec(made, "db").argv == ()
