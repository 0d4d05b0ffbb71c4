"""Why something is as it is, from scenes made by hand: what real runs seldom show."""

import itertools
from typing import Any

from stackdsl.model import causes, errors, plans, requests, specs, states
from stackdsl.run import reasoning, scenes

NOW_NS = 1_800_000_000_000_000_000
THEN = "2027-01-15T07:59:50.000Z"


def replica(name: str, state: Any, **more: Any) -> states.ServiceStatus:
    fields: dict[str, Any] = {
        "kind": "service", "service": name, "index": 0, "host": "local", "target": "process",
        "since": THEN,
    }  # fmt: skip
    return states.ServiceStatus(name=name, state=state, **{**fields, **more})


def planned(name: str, *needs: str, condition: Any = "ready", **more: Any) -> plans.PlannedService:
    return plans.PlannedService(
        name=name,
        kind="service",
        service=name,
        index=0,
        host="local",
        target="process",
        needs=tuple(plans.PlannedNeed(name=need, condition=condition) for need in needs),
        ports=(),
        bind="",
        env=(),
        command=(),
        **more,
    )


def reason(
    replicas: list[states.ServiceStatus],
    services: list[plans.PlannedService],
    steps: tuple[plans.Step, ...] = (),
    hosts: tuple[states.HostStatus, ...] = (),
    links: tuple[plans.Link, ...] = (),
    **more: Any,
) -> reasoning.Reasoner:
    status = states.RunStatus(
        run="shop",
        stack="shop",
        state="degraded",
        since=THEN,
        services=tuple(replicas),
        hosts=hosts,
    )
    plan = plans.Plan(
        stack="shop", run="shop", hosts=(), services=tuple(services), links=links, steps=steps
    )
    return reasoning.Reasoner(scenes.Scene(status, plan, now_ns=NOW_NS, **more))


def chain_of(found: causes.Explanation) -> list[str]:
    return [one.subject for one in found.causes]


PULL = plans.PrepareImage(
    id="image:pg:16",
    subject="pg:16",
    needs=(),
    cause="db runs in it",
    host="local",
    image=specs.Image(reference="pg:16"),
)
START = plans.StartService(id="start:db", subject="db", needs=("image:pg:16",), cause="")
READY = plans.AwaitReady(id="ready:db", subject="db", needs=("start:db",), cause="")
START_API = plans.StartService(id="start:api", subject="api", needs=("ready:db",), cause="")


def test_an_image_that_is_pulled_is_the_root_of_who_waits_for_its_container() -> None:
    reasoner = reason(
        [replica("api", "waiting"), replica("db", "waiting")],
        [planned("api", "db"), planned("db")],
        (PULL, START, READY, START_API),
        works={"image:pg:16": (NOW_NS - 7_000_000_000, "34 % of 120 MB")},
        open_steps=frozenset(one.id for one in (PULL, START, READY, START_API)),
    )

    found = reasoner.explain("api")

    assert chain_of(found) == ["api", "db", "pg:16"]
    assert found.root.kind == "image"
    assert "for 7.0 s: 34 % of 120 MB" in found.headline
    assert found.exit_code == 0


def test_an_image_that_cannot_be_pulled_is_the_root_with_its_own_advice() -> None:
    denied = errors.ServiceError(
        "start.image-denied", 'cannot pull "pg:16": denied', why="log in first", do="docker login"
    )
    reasoner = reason(
        [replica("db", "failed", reason='cannot pull "pg:16": denied')],
        [planned("db")],
        (PULL, START, READY),
        failures={"image:pg:16": (NOW_NS, denied)},
    )

    found = reasoner.explain("db")

    assert chain_of(found) == ["db", "pg:16"]
    assert (found.root.why, found.root.do) == (denied.what, "docker login")
    assert "log in first" in found.root.evidence
    assert found.exit_code == 1


def test_an_engine_that_is_not_there_is_a_fault_of_the_machine() -> None:
    absent = errors.HostError("host.no-engine", "cannot reach an engine", do="start Docker")
    reasoner = reason(
        [replica("db", "failed", reason="cannot reach an engine")],
        [planned("db")],
        (PULL, START, READY),
        failures={"image:pg:16": (NOW_NS, absent)},
    )

    found = reasoner.explain("db")

    assert (found.root.kind, found.root.subject, found.root.do) == ("host", "local", "start Docker")
    assert found.exit_code == 3


def test_an_earlier_failure_of_a_step_is_not_blamed_for_another_end() -> None:
    denied = errors.ServiceError("start.image-denied", "cannot pull it", do="docker login")
    reasoner = reason(
        [replica("db", "failed", reason="exited with 3", exit_code=3)],
        [planned("db")],
        (PULL, START, READY),
        failures={"image:pg:16": (NOW_NS, denied)},
    )

    assert chain_of(reasoner.explain("db")) == ["db"]


def test_a_lost_machine_is_the_root_of_everything_on_it() -> None:
    lost = states.HostStatus(name="edge", state="lost", reason="its lease ran out")
    reasoner = reason(
        [replica("api", "unready", since=THEN), replica("db", "ready", host="edge")],
        [planned("api", "db"), planned("db")],
        hosts=(lost,),
    )

    found = reasoner.explain("db")

    assert (found.root.kind, found.root.subject, found.root.why) == (
        "host", "edge", "its lease ran out",
    )  # fmt: skip
    assert found.root.do


def test_a_planned_circle_that_is_all_unready_ends_somewhere() -> None:
    both = [replica("one", "unready", reason="refused"), replica("two", "unready")]
    circle = [
        planned("one", "two", condition="planned"),
        planned("two", "one", condition="planned"),
    ]

    found = reason(both, circle).explain("one")

    assert chain_of(found) in (["one"], ["one", "two"])


def test_who_failed_later_is_not_what_another_failed_of() -> None:
    reasoner = reason(
        [
            replica("api", "failed", reason="exited with 1", since="2027-01-15T07:59:00.000Z"),
            replica("db", "failed", reason="exited with 2", since="2027-01-15T07:59:30.000Z"),
        ],
        [planned("api", "db"), planned("db")],
    )

    assert chain_of(reasoner.explain("api")) == ["api"]


def test_a_chain_may_be_as_long_as_a_stack_is_large() -> None:
    names = [f"s{number}" for number in range(1500)]
    replicas = [replica(name, "waiting") for name in names]
    replicas[-1] = replica(names[-1], "failed", reason="exited with 3")
    services = [planned(name, after) for name, after in itertools.pairwise(names)]

    found = reason(replicas, [*services, planned(names[-1])]).explain("s0")

    assert len(found.causes) == 1500
    assert found.root.subject == names[-1]


def test_the_worst_off_of_what_is_waited_for_is_followed_and_the_others_are_named() -> None:
    reasoner = reason(
        [replica("api", "waiting"), replica("cache", "starting"), replica("db", "stopped")],
        [planned("api", "cache", "db"), planned("cache"), planned("db")],
    )

    found = reasoner.explain("api")

    assert chain_of(found) == ["api", "db"]
    assert "it also waits for cache ready" in found.causes[0].evidence


def test_a_whole_run_is_explained_by_its_roots_and_whom_they_keep() -> None:
    reasoner = reason(
        [
            replica("api", "waiting"), replica("db", "failed", reason="exited with 3"),
            replica("web", "waiting"), replica("mail", "restarting", reason="exited with 4"),
            replica("ok", "ready"),
        ],
        [planned("api", "db"), planned("db"), planned("web", "db"), planned("mail"), planned("ok")],
    )  # fmt: skip

    found = reasoner.explain_all(reasoner.list_unwell())

    assert [chain_of(one) for one in found] == [["api", "db"], ["mail"]]
    assert found[0].affects == ("web",)


def test_one_that_is_ready_says_whom_it_serves() -> None:
    link = plans.Link(
        source="api", target="db", port="default", kind="loopback", address="127.42.0.3:5432",
        reason="",
    )  # fmt: skip
    reasoner = reason(
        [replica("api", "ready"), replica("db", "ready")],
        [planned("api", "db"), planned("db")],
        links=(link,),
    )

    found = reasoner.explain("db")

    assert found.is_well
    assert found.exit_code == 0
    assert found.headline == "db is ready: it has been ready for 10 s"
    assert found.root.evidence == ("it serves api at 127.42.0.3:5432",)


def test_what_a_look_shows_of_a_starting_root_is_told_with_its_last_line() -> None:
    reasoner = reason(
        [replica("api", "waiting"), replica("db", "starting")],
        [planned("api", "db"), planned("db")],
    )
    assert reasoner.find_roots(["api"]) == ["db"]

    reasoner.looks = {
        "db": requests.Inspection(
            lines=("one", "", "two"),
            reason="tcp 127.42.0.3:5432 refused 14 times in 3 s",
            do="do it",
        )
    }
    found = reasoner.explain("api")

    assert found.headline == (
        "api is waiting because db is starting: tcp 127.42.0.3:5432 refused 14 times in 3 s"
    )
    assert found.root.evidence[-1] == "last lines:\none\ntwo"
    assert found.root.do == "do it"


def test_the_printed_form_has_the_chain_what_was_seen_and_what_to_do() -> None:
    reasoner = reason(
        [replica("api", "waiting"), replica("db", "failed", reason="exited with 3")],
        [planned("api", "db"), planned("db")],
        notes={"db": scenes.Note(lines=("Traceback", "boom"), do="mend it")},
    )

    assert str(reasoner.explain("api")).splitlines() == [
        "api is waiting because db has failed: exited with 3",
        "  chain  api  waiting: waits for db ready",
        "         db   failed",
        "  seen   last lines:",
        "  | Traceback",
        "  | boom",
        "  do     mend it",
    ]
