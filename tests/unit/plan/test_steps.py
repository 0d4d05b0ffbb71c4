"""The steps of a start, a change, a stop: what each waits for, and its cause."""

import dataclasses
from collections.abc import Iterable

from stackdsl.model import places, plans, services, stacks
from stackdsl.plan import capabilities, reconciling, starting
from tests.unit.plan.making import (
    after,
    find_step,
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

DB = service("db", port(5432))
MIGRATE = task("migrate", needs=[uses("db")])
API = service("api", port(8080), needs=[uses("db"), after("migrate", "completed")])
WEB = service("web", port(8000), needs=[uses("api")])
SHOP = stack(DB, MIGRATE, API, WEB)


def ids(steps: Iterable[plans.Step]) -> list[str]:
    return [step.id for step in steps]


def test_a_start_follows_needs_and_says_why() -> None:
    made = plan(SHOP)

    assert find_step(made, "start:api").needs == ("ready:db", "task:migrate")
    assert find_step(made, "ready:api").needs == ("start:api",)
    assert find_step(made, "start:db").cause == "db is in the stack"
    assert find_step(made, "ready:api").cause == "web needs api ready (parameter)"
    assert find_step(made, "ready:db").cause == "api and 1 more need db ready"
    assert find_step(made, "ready:web").cause == "the run is ready when web is"


def test_conditions_choose_the_step_that_is_waited_for() -> None:
    made = plan(
        stack(
            service("seed"),
            service("a", needs=[after("seed", "started")]),
            service("b", needs=[after("seed", "completed")]),
            service("c", needs=[after("seed", "planned")]),
        )
    )

    assert find_step(made, "start:a").needs == ("start:seed",)
    assert find_step(made, "start:b").needs == ("completed:seed",)
    assert find_step(made, "start:c").needs == ()
    assert find_step(made, "completed:seed").needs == ("start:seed",)


def test_all_replicas_of_a_dependency_are_waited_for() -> None:
    made = plan(stack(service("db", port(5432), replicas=2), service("api", needs=[uses("db")])))

    assert find_step(made, "start:api").needs == ("ready:db-0", "ready:db-1")


def test_only_those_with_forwards_wait_for_them() -> None:
    made = plan(stack(service("app", port(8000, listens=("127.0.0.1", 9000))), DB))

    assert find_step(made, "start:app").needs == ("forward:local",)
    assert find_step(made, "start:db").needs == ()


def test_an_external_service_is_probed_from_every_callers_machine() -> None:
    place = places.External(host="db.example.com", port=5432)
    made = plan(
        stack(
            service("db", runs_on=place, me=False, start_timeout_s=7),
            service("api", needs=[uses("db")]),
            service("job", needs=[uses("db")], runs_on=ssh("edge")),
        ),
        lan({"local": "10.0.0.1", "edge": "10.0.0.2"}),
    )

    here, there = find_step(made, "probe:db"), find_step(made, "probe:db@edge")
    assert isinstance(here, plans.ProbeExternal)
    assert isinstance(there, plans.ProbeExternal)
    assert (here.host, there.host) == ("local", "edge")
    assert here.checks[0].label == "tcp db.example.com:5432"
    assert here.timeout_s == 7
    assert find_step(made, "start:api").needs == ("probe:db",)
    assert find_step(made, "start:job").needs == ("probe:db@edge",)


# --- changes --------------------------------------------------------------------------------------


def change(before: stacks.StackModel, after_: stacks.StackModel, **states: str) -> plans.Plan:
    first = plan(before)
    return plan(after_, previous=first, observed=observe(first, **states))


def test_what_runs_as_wanted_is_kept() -> None:
    made = change(SHOP, SHOP)

    assert ids(made.steps) == ["keep:db", "keep:migrate", "keep:api", "keep:web"]


def test_what_is_kept_but_not_ready_is_waited_for() -> None:
    made = change(SHOP, SHOP, db="starting")

    assert find_step(made, "ready:db").needs == ("keep:db",)


def test_what_differs_is_replaced_and_says_how() -> None:
    changed = dataclasses.replace(
        API, env=(("LEVEL", "1"),), body=lambda v: services.Command(argv=("serve", "--fast"))
    )

    made = change(SHOP, stack(DB, MIGRATE, changed, WEB))

    stop, start = find_step(made, "stop:api"), find_step(made, "start:api")
    assert start.needs == ("stop:api", "keep:db", "keep:migrate")
    assert start.cause == "api: command changed: serve --fast, env LEVEL added"
    assert stop.cause == start.cause
    assert "keep:web" in ids(made.steps)


def test_secrets_do_not_stand_in_causes() -> None:
    changed = dataclasses.replace(API, body=lambda v: services.Command(argv=("serve", "hunter2")))

    made = change(SHOP, stack(DB, MIGRATE, changed, WEB, secrets=("hunter2",)))

    assert "hunter2" not in find_step(made, "start:api").cause


def test_dependents_that_asked_for_it_restart_with_what_changed() -> None:
    api = dataclasses.replace(API, restart_with=("db",))
    web = dataclasses.replace(WEB, restart_with=("api",))
    before = stack(DB, MIGRATE, api, web)
    db = dataclasses.replace(DB, umask=0o77)

    made = change(before, stack(db, MIGRATE, api, web))

    assert find_step(made, "start:api").cause == "api: restart_with db"
    assert find_step(made, "start:web").cause == "web: restart_with api"
    assert find_step(made, "stop:db").needs == ("stop:api",)
    assert find_step(made, "stop:api").needs == ("stop:web",)
    assert find_step(made, "start:db").cause == "db: umask changed"


def test_what_is_gone_from_the_stack_is_stopped() -> None:
    made = change(SHOP, stack(DB, MIGRATE, API))

    assert find_step(made, "stop:web").cause == "web was removed from the stack"


def test_what_is_new_is_added() -> None:
    made = change(stack(DB), stack(DB, service("cache", port(6379))))

    assert find_step(made, "start:cache").cause == "cache was added to the stack"


def test_what_had_ended_is_started_again() -> None:
    made = change(SHOP, SHOP, web="failed", db="stopped")

    assert find_step(made, "start:web").cause == "web had failed"
    assert find_step(made, "start:db").cause == "db had been stopped"
    assert not any(step.kind == "stop" for step in made.steps)


def test_a_task_that_completed_is_not_run_again_unless_it_changed() -> None:
    assert "keep:migrate" in ids(change(SHOP, SHOP).steps)
    changed = dataclasses.replace(MIGRATE, env=(("TO", "head"),))
    again = change(SHOP, stack(DB, changed, API, WEB))
    assert find_step(again, "task:migrate").cause == "migrate: env TO added"


def test_a_body_that_waits_for_a_task_that_runs_again_is_replaced() -> None:
    api = service("api", needs=[uses("token", "completed")])
    made = change(stack(task("token"), api), stack(task("token"), api), token="failed")

    assert find_step(made, "start:api").cause == "api: task token runs again"


def test_a_socket_is_bound_anew_only_when_its_old_owner_is_gone() -> None:
    old = stack(service("old", port(8080, listens=("0.0.0.0", 8080))))
    new = stack(service("new", port(8080, listens=("0.0.0.0", 8080))))

    assert "stop:old" in find_step(change(old, new), "start:new").needs


def test_forwards_are_taken_back_before_the_address_is_bound() -> None:
    old = stack(service("app", port(8000, listens=("127.0.0.1", 9000))))
    new = stack(service("app", port(8000)))

    made = change(old, new)

    forward = find_step(made, "forward:local")
    assert isinstance(forward, plans.SetForwards)
    assert forward.forwards == ()
    assert "forward:local" in find_step(made, "start:app").needs


def test_forwards_are_set_again_for_a_node_that_was_started_anew() -> None:
    made = stack(service("app", port(8000, listens=("127.0.0.1", 9000))))

    assert ids(change(made, made).steps) == ["forward:local", "keep:app"]


# --- stops and starts by hand ---------------------------------------------------------------------


def test_a_stop_takes_dependents_first_and_the_rest_side_by_side() -> None:
    made = plan(stack(DB, MIGRATE, API, WEB, service("alone")))

    steps = reconciling.make_stop_plan(made, observe(made))

    needs = {step.id: step.needs for step in steps}
    assert needs == {
        "stop:web": (),
        "stop:api": ("stop:web",),
        "stop:alone": (),
        "stop:db": ("stop:api",),
    }


def test_a_stop_of_one_leaves_the_others_alone() -> None:
    made = plan(SHOP)

    assert ids(reconciling.make_stop_plan(made, observe(made), ["api"])) == ["stop:api"]


def test_a_stop_finds_all_replicas_of_a_service() -> None:
    made = plan(stack(service("api", port(8080), replicas=2)))

    steps = reconciling.make_stop_plan(made, observe(made), ["api"])

    assert ids(steps) == ["stop:api-0", "stop:api-1"]


def test_a_start_by_hand_takes_what_is_missing_along() -> None:
    made = plan(SHOP)
    stands = observe(made, web="stopped", api="failed", db="ready")

    steps = starting.make_start_plan(made, stands, ["web"])

    needs = {step.id: step.needs for step in steps}
    assert needs == {
        "start:api": (),
        "ready:api": ("start:api",),
        "start:web": ("ready:api",),
        "ready:web": ("start:web",),
    }


def test_a_start_by_hand_waits_for_what_is_on_its_way() -> None:
    made = plan(SHOP)
    stands = observe(made, web="stopped", api="starting")

    steps = starting.make_start_plan(made, stands, ["web"])

    assert {step.id: step.needs for step in steps}["start:web"] == ("ready:api",)


# --- what can be carried out ----------------------------------------------------------------------


def test_what_cannot_be_carried_out_yet_is_refused_service_by_service() -> None:
    made = stack(
        service("a", runs_on=places.Docker(image="x", on=ssh("edge"))),
        service("b", runs_on=ssh("edge"), is_isolated=True),
        service("c", runs_on=places.Systemd(unit="x")),
        service("d", runs_on=places.Attach(systemd="x")),
        service("f", network="wireguard"),
        service("g", scale=services.Scale(min=2, max=3)),
        service("h", sync=("/x",)),
    )

    wrong = capabilities.check_supported(made)

    assert len(wrong) == 7
    assert {error.code for error in wrong} == {"plan.not-yet"}
    assert all(error.do and error.where for error in wrong)


def test_processes_of_other_machines_can_be_carried_out() -> None:
    made = stack(
        service("a", port(80), runs_on=ssh("edge")),
        service("b", port(81), runs_on=ssh("edge"), network="tunnel", needs=[uses("a")]),
    )

    assert capabilities.check_supported(made) == []


def test_everything_of_this_machine_can_be_carried_out() -> None:
    made = stack(
        service("boxed", runs_on=places.Docker(image="x")),
        service("found", runs_on=places.Attach(container="x")),
        service("apart", is_isolated=True),
        DB,
        MIGRATE,
        service("x", runs_on=places.External(host="h", port=1)),
        service("y", runs_on=places.Attach(pid=1)),
        service("z", runs_on=places.Attach(process="x")),
    )

    assert capabilities.check_supported(made) == []


def test_every_step_waits_for_steps_that_are_in_the_plan() -> None:
    first = plan(SHOP)
    changed = stack(dataclasses.replace(DB, umask=1), MIGRATE, API)
    second = plan(changed, previous=first, observed=observe(first))

    for made in (first, second):
        known = set(ids(made.steps))
        assert len(known) == len(made.steps)
        assert all(need in known for step in made.steps for need in step.needs)
    assert isinstance(find_step(second, "stop:web"), plans.StopService)
