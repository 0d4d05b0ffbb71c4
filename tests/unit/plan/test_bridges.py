"""The run's bridge: its subnet, who stands on it, what is missing for it, what follows a change."""

import dataclasses
import ipaddress
from typing import Any

import pytest

from stackdsl.model import errors, facts, places, plans, probes, refs, services, specs, stacks
from stackdsl.plan import starting
from tests.unit.plan.making import (
    ENGINE,
    FOLDER,
    Values,
    after,
    boxed,
    fail,
    find,
    find_spec,
    find_step,
    grounded,
    listener,
    observe,
    plan,
    port,
    service,
    stack,
    uses,
)

DB = boxed("db", port(5432))
API = service("api", port(8080))
FROM_BOX = stack(API, boxed("web", needs=[uses("api")]))


def network_of(made: plans.Plan) -> specs.Network:
    return dict(made.networks)["local"]


def box_of(made: plans.Plan, name: str) -> specs.Container:
    found = find_spec(made, name).container
    assert found is not None
    return found


def test_a_stack_of_natives_has_no_bridge() -> None:
    made = plan(stack(API, service("web", needs=[uses("api")])), grounded())

    assert made.networks == ()
    assert made.bridge_slots == ()
    assert {step.kind for step in made.steps} == {"start", "ready"}


def test_two_runs_have_subnets_of_their_own() -> None:
    first = network_of(plan(stack(DB), grounded()))
    second = network_of(plan(stack(DB), grounded(subnets=(first.subnet,))))

    assert first.subnet != second.subnet
    assert len(first.bridge) <= 15


def test_a_default_route_is_in_nobodys_way() -> None:
    assert (
        plan(stack(DB), grounded(subnets=("0.0.0.0/0",))).networks
        == plan(stack(DB), grounded()).networks
    )


def test_where_all_of_10_is_routed_another_private_subnet_is_taken() -> None:
    made = network_of(plan(stack(DB), grounded(subnets=("10.0.0.0/8",))))

    assert ipaddress.IPv4Network(made.subnet).subnet_of(ipaddress.IPv4Network("172.16.0.0/12"))


def test_the_subnet_is_inside_the_one_that_the_stack_names() -> None:
    made = plan(
        stack(DB, network=stacks.Network(subnet="10.9.0.0/16")), grounded(subnets=("10.9.0.0/17",))
    )

    assert ipaddress.IPv4Network(network_of(made).subnet).subnet_of(
        ipaddress.IPv4Network("10.9.128.0/17")
    )


def test_a_small_subnet_of_the_stack_is_used_whole() -> None:
    made = plan(stack(DB, network=stacks.Network(subnet="192.168.77.0/28")), grounded())

    assert network_of(made).subnet == "192.168.77.0/28"


def test_the_last_address_is_left_for_those_who_try_links() -> None:
    made = plan(
        stack(*(boxed(f"s{n}") for n in range(12)),
              network=stacks.Network(subnet="192.168.77.0/28")), grounded()
    )  # fmt: skip
    wrong = fail(
        stack(*(boxed(f"s{n}") for n in range(13)),
              network=stacks.Network(subnet="192.168.77.0/28")), grounded()
    )  # fmt: skip

    assert "192.168.77.14" not in {box_of(made, one.name).address for one in made.services}
    assert [error.code for error in wrong] == ["plan.no-subnet"]


def test_no_free_subnet_is_an_error_that_names_the_routes() -> None:
    named = stack(DB, network=stacks.Network(subnet="10.9.0.0/24"))

    (wrong,) = fail(named, grounded(subnets=("10.9.0.0/16",)))

    assert wrong.code == "plan.no-subnet"
    assert "10.9.0.0/16" in wrong.why


def test_a_subnet_is_kept_while_nothing_meets_it_and_in_any_case_while_something_stands() -> None:
    first = plan(stack(DB), grounded())
    moved = dataclasses.replace(
        first,
        networks=(("local", dataclasses.replace(network_of(first), subnet="10.150.1.0/24")),),
    )
    met = grounded(subnets=("10.150.0.0/16",))

    assert network_of(plan(stack(DB), grounded(), previous=moved)).subnet == "10.150.1.0/24"
    assert network_of(plan(stack(DB), met, previous=moved)).subnet != "10.150.1.0/24"
    stands = observe(moved)
    kept = plan(stack(DB), met, previous=moved, observed=stands)
    assert network_of(kept).subnet == "10.150.1.0/24"


def test_an_engine_makes_the_bridge_where_there_is_one() -> None:
    alone = stack(service("a", port(80), is_isolated=True))
    broken = dataclasses.replace(ENGINE, problem="refused")

    assert network_of(plan(alone, grounded())).is_engine
    assert not network_of(plan(alone, grounded(engine=None))).is_engine
    assert not network_of(plan(alone, grounded(engine=broken))).is_engine


def test_a_native_that_only_containers_call_binds_its_address_on_the_bridge() -> None:
    made = plan(FROM_BOX, grounded())

    api = find(made, "api")
    assert api.bind in network_of(made).addresses
    assert made.links[0].address == f"{api.bind}:8080"
    assert made.forwards == ()
    assert "network:local" in find_step(made, "start:api").needs


def test_a_native_caller_that_joins_is_served_by_a_forward() -> None:
    first = plan(FROM_BOX, grounded())
    more = stack(*FROM_BOX.services, service("cli", needs=[uses("api")]))

    second = plan(more, grounded(), previous=first, observed=observe(first))

    api = find(second, "api")
    assert api.bind == find(first, "api").bind
    assert [step.id for step in second.steps if step.subject in {"api", "web"}] == [
        "keep:api",
        "keep:web",
    ]
    (forward,) = dict(second.forwards)["local"]
    assert (forward.listen_host, forward.targets) == (api.ports[0].host, ((api.bind, 8080),))
    assert api.ports[0].host.startswith("127.")


def test_a_container_that_joins_is_served_by_a_forward() -> None:
    first = plan(stack(API, service("cli", needs=[uses("api")])), grounded())
    more = stack(API, service("cli", needs=[uses("api")]), boxed("web", needs=[uses("api")]))

    second = plan(more, grounded(), previous=first, observed=observe(first))

    assert find(second, "api").bind == find(first, "api").bind
    assert find_step(second, "keep:api")
    (forward,) = dict(second.forwards)["local"]
    assert forward.listen_host in network_of(second).addresses


def test_a_container_that_went_leaves_what_natives_bind() -> None:
    first = plan(FROM_BOX, grounded())
    rest = stack(API, boxed("other"))

    second = plan(rest, grounded(), previous=first, observed=observe(first))

    assert find(second, "api").bind == find(first, "api").bind
    assert find(second, "api").bind in network_of(second).addresses
    assert find_step(second, "keep:api")


def test_without_privilege_natives_share_the_gateway_by_the_rules_of_shared_addresses() -> None:
    seen = grounded(listener("0.0.0.0", 8080), can_network=False)
    made = plan(stack(service("api", port(8080, listens=("127.0.0.1", 9000)), me=False),
                      boxed("web", needs=[uses("api")])), grounded(can_network=False))  # fmt: skip

    assert made.links[0].address == f"{network_of(made).gateway}:8080"
    assert "gateway" in made.links[0].reason
    assert network_of(made).addresses == ()
    moved = plan(FROM_BOX, seen)
    number = int(moved.links[0].address.rpartition(":")[2])
    assert 20000 <= number <= 29999
    assert "another program" in moved.links[0].reason
    again = plan(FROM_BOX, grounded(can_network=False), previous=moved)
    assert again.links[0].address == moved.links[0].address


def test_an_offline_plan_assumes_privileges_and_an_engine() -> None:
    made = plan(
        stack(DB, service("one", port(80), is_isolated=True), API,
              boxed("web", needs=[uses("db"), uses("api"), uses("one")])),
        facts.Facts(is_offline=True),
    )  # fmt: skip

    assert {link.kind for link in made.links} == {"bridge"}
    assert network_of(made).gateway not in {link.address.partition(":")[0] for link in made.links}


def test_a_container_is_published_at_its_own_address_and_for_people() -> None:
    made = plan(stack(boxed("web", port(80, publish=("127.0.0.1", 8000)))), grounded())

    own = find(made, "web").ports[0].host
    assert [(p.host, p.port, p.target) for p in box_of(made, "web").publishes] == [
        (own, 80, 80),
        ("127.0.0.1", 8000, 80),
    ]
    assert made.forwards == ()
    assert made.warnings == ()  # the engine needs no privilege of ours for port 80


def test_a_container_published_on_every_address_takes_its_port_once() -> None:
    made = plan(stack(boxed("web", port(8080, publish=("0.0.0.0", 8080)))), grounded())

    assert [(p.host, p.port) for p in box_of(made, "web").publishes] == [("0.0.0.0", 8080)]
    assert [notice.code for notice in made.warnings] == ["plan.published-widely"]


def test_a_program_in_a_container_that_listens_elsewhere_is_told_there_on_the_bridge() -> None:
    made = plan(
        stack(
            boxed("web", port(80, listens=("0.0.0.0", 8080))),
            boxed("probe", needs=[uses("web")]),
            service("cli", needs=[uses("web")]),
        ),
        grounded(),
    )

    told = {link.source: link for link in made.links}
    assert told["probe"].address.endswith(":8080")
    assert "listens on 8080" in told["probe"].reason
    assert told["cli"].address.endswith(":80")
    assert box_of(made, "probe").hosts == ()  # its name would promise the canonical port


def test_probes_of_a_container_go_to_its_own_address_and_its_own_files() -> None:
    wanted = (probes.Tcp(), probes.File(path="up"))

    made = plan(stack(boxed("db", port(5432), ready=wanted)), grounded())

    tcp, file = find(made, "db").checks
    assert (tcp.host, tcp.port, tcp.is_own) == (box_of(made, "db").address, 5432, False)
    assert file.label == "file /stackdsl/up"


def test_an_engine_in_a_virtual_machine_is_probed_where_it_publishes() -> None:
    engine = dataclasses.replace(ENGINE, is_direct=False)

    made = plan(stack(DB), grounded(engine=engine))

    assert find(made, "db").checks[0].host == find(made, "db").ports[0].host


def test_a_container_has_a_folder_inside_and_one_on_the_machine() -> None:
    made = plan(stack(boxed("db", body=lambda values: services.Command(
        argv=("run", values["me"].dir), cwd="/srv"))), grounded())  # fmt: skip

    spec = find_spec(made, "db")
    assert (spec.dir, box_of(made, "db").dir) == (f"{FOLDER}/dirs/db", "/stackdsl")
    assert (spec.argv, spec.cwd) == (("run", "/stackdsl"), "/srv")
    assert dict(spec.env)["STACKDSL_DIR"] == "/stackdsl"


def test_a_container_without_a_command_or_a_folder_keeps_those_of_its_image() -> None:
    spec = find_spec(plan(stack(DB), grounded()), "db")

    assert (spec.argv, spec.cwd) == ((), "")


def test_replicas_in_containers_reach_each_other_at_their_own_addresses() -> None:
    def body(values: Values) -> services.Command:
        me = values["me"]
        assert isinstance(me, refs.Me)
        return services.Command(argv=tuple(one.addr for one in me.replicas))

    made = plan(stack(boxed("raft", port(7000), replicas=2, body=body)), grounded())

    expected = tuple(f"{box_of(made, name).address}:7000" for name in ("raft-0", "raft-1"))
    assert find_spec(made, "raft-0").argv == expected
    assert find_spec(made, "raft-1").argv == expected


def test_names_of_callees_resolve_where_their_canonical_port_holds() -> None:
    made = plan(
        stack(
            service("order_api", port(8080)),
            service("low", port(80)),
            boxed("web", needs=[uses("order_api"), uses("low")]),
        ),
        grounded(),
    )

    address = find(made, "order_api").bind
    assert box_of(made, "web").hosts == (("order_api", address), ("order-api", address))


def test_volumes_are_named_after_the_run_and_folders_are_bound_as_they_are() -> None:
    volumes = (
        services.Volume(kind="named", source="data", path="/data"),
        services.Volume(kind="bind", source="/home/ann/x", path="/x", is_read_only=True),
        services.Volume(kind="tmpfs", source="", path="/tmp"),
    )

    made = plan(stack(boxed("db", volumes=volumes)), grounded())

    assert [(m.kind, m.source, m.is_read_only) for m in box_of(made, "db").mounts] == [
        ("named", "stackdsl-shop-data", False),
        ("bind", "/home/ann/x", True),
        ("tmpfs", "", False),
    ]


# --- what is missing ------------------------------------------------------------------------------


def test_an_engine_that_cannot_be_used_is_an_error_of_the_host_told_once() -> None:
    broken = dataclasses.replace(ENGINE, problem="permission denied", do="join the group docker")

    (wrong,) = fail(stack(DB, boxed("cache")), grounded(engine=broken))

    assert isinstance(wrong, errors.HostError)
    assert (wrong.code, wrong.why, wrong.do) == (
        "host.no-engine",
        "permission denied",
        "join the group docker",
    )


def test_natives_do_not_care_about_a_broken_engine() -> None:
    broken = dataclasses.replace(ENGINE, problem="permission denied")

    assert plan(stack(API), grounded(engine=broken))


def test_an_image_that_is_not_to_be_had_is_an_error_with_its_line() -> None:
    seen = grounded(images_missing=(("db:1", "the registry does not have it"),))

    (wrong,) = fail(stack(DB, boxed("cache")), seen)

    assert (wrong.code, wrong.where) == ("plan.no-image", str(DB.where))
    assert "the registry does not have it" in wrong.why


@pytest.mark.parametrize(
    "found", [(), (facts.FoundContainer(name="old", id="c0", state="exited"),)]
)
def test_a_container_to_attach_to_has_to_be_there(found: Any) -> None:
    old = service("old", port(80), runs_on=places.Attach(container="old"), me=False)

    (wrong,) = fail(stack(old), grounded(containers=found))

    assert wrong.code == "plan.no-container"


def test_isolating_without_privilege_is_an_error_that_says_what_to_do() -> None:
    (wrong,) = fail(stack(service("a", is_isolated=True)), grounded(can_network=False))

    assert wrong.code == "plan.no-privilege"
    assert "root" in wrong.do


# --- changes --------------------------------------------------------------------------------------


def built(fingerprint: str) -> facts.Facts:
    return grounded(builds=(("/app", fingerprint),))


def test_a_rebuilt_image_replaces_its_container_once_it_is_there() -> None:
    place = places.Docker(build=places.Build(context="/app"))
    made = stack(boxed("app", place=place), DB)
    first = plan(made, built("aaaaaaaaaaaaaaaa"))

    second = plan(made, built("bbbbbbbbbbbbbbbb"), previous=first, observed=observe(first))

    image = box_of(second, "app").image.reference
    assert find_step(second, "stop:app").needs == (f"image:{image}",)
    assert "sources of its image changed" in find_step(second, "start:app").cause
    assert find_step(second, "keep:db")
    assert not any(step.id.startswith("image:db") for step in second.steps)


def test_another_image_is_named_in_the_cause() -> None:
    first = plan(stack(DB), grounded())
    newer = boxed("db", port(5432), place=places.Docker(image="db:2"))

    second = plan(stack(newer), grounded(), previous=first, observed=observe(first))

    assert find_step(second, "start:db").cause == "db: image changed from db:1 to db:2"


def test_services_that_are_built_alike_share_an_image() -> None:
    place = places.Docker(build=places.Build(context="/app"))
    other = places.Docker(build=places.Build(context="/app", target="test"))

    made = plan(stack(boxed("a", place=place), boxed("b", place=place), boxed("c", place=other)),
                grounded())  # fmt: skip

    images = [step for step in made.steps if isinstance(step, plans.PrepareImage)]
    assert len(images) == 2
    assert all(step.subject.islower() for step in images)


def test_a_network_that_becomes_another_is_made_when_what_stood_in_it_has_ended() -> None:
    first = plan(stack(DB), grounded())
    elsewhere = stack(DB, network=stacks.Network(subnet="192.168.77.0/24"))

    second = plan(elsewhere, grounded(), previous=first, observed=observe(first))

    assert find_step(second, "network:local").needs == ("stop:db",)


def test_what_is_started_by_hand_has_its_image_network_and_links_first() -> None:
    made = plan(stack(DB, boxed("api", needs=[uses("db")]), service("n", needs=[after("db")])),
                grounded())  # fmt: skip
    stands = observe(made, api="stopped")

    steps = starting.make_start_plan(made, stands, ["api"])

    assert [step.id for step in steps] == ["image:api:1", "network:local", "link:api", "start:api",
                                           "ready:api"]  # fmt: skip
    assert find_step_in(steps, "start:api").needs == ("image:api:1", "link:api", "network:local")


def find_step_in(steps: tuple[plans.Step, ...], step_id: str) -> plans.Step:
    return next(step for step in steps if step.id == step_id)
