"""The frame of the live view: what stands where, at every size; what each one waits for."""

import re
from dataclasses import replace

import pytest

from stackdsl.model import events, plans, services, specs, states
from stackdsl.views import lines, live, liveends, liveruns, livetexts

PLAIN = lines.Paint(False)
FOOT = ("q stops it", "all output: stackdsl logs")


def planned(
    name: str, *, needs: tuple[tuple[str, services.Condition], ...] = (), **changes: object
) -> plans.PlannedService:
    made = plans.PlannedService(
        name=name, kind="service", service=name, index=0, host="local", target="local",
        needs=tuple(plans.PlannedNeed(name=n, condition=c) for n, c in needs),
        ports=(), bind="127.1.1.1", env=(), command=("x",),
        where=f"stacks/shop.py:3 @service {name}",
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def start(name: str, *needs: str) -> plans.StartService:
    return plans.StartService(id=f"start:{name}", subject=name, needs=needs, cause="new")


def ready(name: str) -> plans.AwaitReady:
    return plans.AwaitReady(
        id=f"ready:{name}", subject=name, needs=(f"start:{name}",), cause="needed"
    )


def live_run(*these: plans.PlannedService, steps: tuple[plans.Step, ...] = ()) -> liveruns.LiveRun:
    plan = plans.Plan(stack="shop", run="shop", hosts=(), services=these, links=(), steps=steps)
    return liveruns.LiveRun(plan, began_s=100.0)


def event(kind: events.EventKind, subject: str, **fields: object) -> events.Event:
    details = tuple((key, fields.pop(key)) for key in tuple(fields) if key not in _FIELDS)
    return events.Event(
        seq=1, time_ns=101_000_000_000, kind=kind, subject=subject, details=details, **fields  # type: ignore[arg-type]  # as given
    )  # fmt: skip


_FIELDS = ("was", "state", "reason")


def frame(
    run: liveruns.LiveRun, width: int = 100, height: int = 24, now_s: float = 112.0
) -> list[str]:
    return live.format_frame(run, PLAIN, now_s=now_s, width=width, height=height, foot=FOOT)


def row_of(run: liveruns.LiveRun, name: str, width: int = 100) -> str:
    return next(row for row in frame(run, width)[1:] if row.startswith(name))


def test_the_head_counts_what_is_ready_and_what_is_not_well() -> None:
    run = live_run(planned("api"), planned("db"), planned("web"))
    run.take(event("service-changed", "api", state="ready"))
    run.take(event("service-changed", "db", state="failed"))

    assert frame(run)[0] == "◌ shop starting  12 s · 1 of 3 ready · 1 failed"


def test_what_starts_shows_what_its_probe_sees() -> None:
    run = live_run(planned("db"))
    run.take(event("service-changed", "db", state="starting"))
    run.take(event("probe", "db", state="failing", reason="refused", probe="tcp 1:2", tries=12))

    assert row_of(run, "db").endswith("tcp 1:2 refused, 12 tries")


def test_what_waits_names_what_it_waits_for() -> None:
    run = live_run(
        planned("db"), planned("api"), steps=(start("db"), ready("db"), start("api", "ready:db"))
    )

    assert row_of(run, "api").endswith("waits for db ready")


def test_who_waits_for_what_failed_is_told_so() -> None:
    run = live_run(
        planned("db"), planned("api"), steps=(start("db"), ready("db"), start("api", "ready:db"))
    )
    run.take(event("service-changed", "db", state="failed"))

    assert row_of(run, "api").endswith("waits for db ready (it has failed)")


def test_the_progress_of_an_image_is_shown_at_who_waits_for_it() -> None:
    image = plans.PrepareImage(
        id="image:pg", subject="pg", needs=(), cause="new", host="local",
        image=specs.Image(reference="pg"),
    )  # fmt: skip
    run = live_run(planned("db"), steps=(image, start("db", "image:pg")))
    run.take(event("step", "image:pg", state="begun", reason="new"))
    assert row_of(run, "db").endswith("image pg")
    run.take(event("step", "image:pg", was="begun", state="begun", reason="pulling 12 of 40 MB"))

    assert row_of(run, "db").endswith("pulling 12 of 40 MB")


def test_needs_are_told_where_the_start_is_no_step_of_the_plan() -> None:
    run = live_run(planned("db"), planned("api", needs=(("db", "ready"),)))

    assert row_of(run, "api").endswith("waits for db ready")


def test_a_step_that_is_not_known_tells_that_the_plan_has_changed() -> None:
    run = live_run(planned("db"))
    run.take(event("step", "start:new", state="begun"))

    assert run.is_stale


def test_what_is_ready_shows_its_address_and_last_line() -> None:
    port = plans.PlannedPort(
        name="default", port=8080, scheme="http", protocol="tcp", host="127.1.1.1",
        told_port=8080, bound_host="127.1.1.1", bound_port=8080,
    )  # fmt: skip
    run = live_run(planned("api", ports=(port,)))
    run.take(event("service-changed", "api", state="ready"))
    run.take_lines([("api", "GET / 200")])

    assert row_of(run, "api").endswith("http://127.1.1.1:8080  GET / 200")


def test_restarts_are_counted() -> None:
    run = live_run(planned("api"))
    run.take(event("service-changed", "api", state="ready", restarts=3))

    assert "↻" in frame(run)[1]
    assert " 3 " in row_of(run, "api")


def test_where_something_runs_is_told_if_not_everything_is_local() -> None:
    run = live_run(planned("api"), planned("db", target="docker postgres:16"))

    assert "docker postgres:16" in row_of(run, "db", width=140)
    assert re.search(r" s +postgres:16", row_of(run, "db", width=70))


def test_where_room_is_short_the_last_line_is_dearer_than_where_something_runs() -> None:
    address = plans.PlannedPort(
        name="http",
        port=8080,
        scheme="http",
        protocol="tcp",
        host="127.100.100.100",
        told_port=8080,
    )
    run = live_run(planned("front", target="docker reg.example.com/shop/front", ports=(address,)))
    run.take(event("service-changed", "front", state="ready"))
    run.take_lines([("front", "listening to everybody")])

    assert "  listening to every" in row_of(run, "front", width=79)
    assert "  front  " in row_of(run, "front", width=110)


def test_a_run_that_was_ready_before_it_was_looked_at_tells_no_time_of_that() -> None:
    run = live_run(planned("api"))
    run.take_status(states.RunStatus(run="shop", stack="shop", state="ready", since=""))
    run.take(event("run", "shop", was="degraded", state="ready"))

    assert "was ready after" not in liveends.format_end(run, PLAIN, now_s=112.0, width=80)


def test_nothing_of_a_run_that_is_gone_is_shown_alive() -> None:
    run = live_run(planned("api"), planned("db"))
    run.take(event("service-changed", "api", state="ready"))
    run.take(event("service-changed", "db", state="failed", reason="exited with 1"))
    run.take_end()

    assert [row.state for row in run.rows.values()] == ["stopped", "failed"]


def test_a_line_without_end_is_the_last_line_until_it_is_whole() -> None:
    run = live_run(planned("api"))
    run.take(event("service-changed", "api", state="ready"))
    run.take_lines([("api", "hello")])
    run.take_unfinished({"api": "loading 40 %"})
    assert row_of(run, "api").endswith("  loading 40 %")

    run.take_unfinished({})
    assert row_of(run, "api").endswith("  hello")


def test_what_waits_for_nothing_any_more_is_about_to_start() -> None:
    run = live_run(planned("db"), planned("api"), steps=(start("db"), start("api", "start:db")))

    assert row_of(run, "db").endswith("about to start")
    assert row_of(run, "api").endswith("waits for db started")


def test_a_failure_is_shown_with_its_last_lines_its_code_and_its_place() -> None:
    run = live_run(planned("api"), planned("db"))
    run.take(
        event(
            "service-changed",
            "db",
            state="failed",
            exit_code=7,
            reason="it ended",
            lines=("a", "b"),
        )
    )
    shown = frame(run)

    assert "✘ db: it ended (exit code 7)  stacks/shop.py:3" in shown
    assert shown[shown.index("  | a") + 1] == "  | b"


@pytest.mark.parametrize("state", ["failed", "unready"])
def test_a_reason_that_a_program_has_given_moves_no_cursor(state: str) -> None:
    run = live_run(planned("db"))
    run.take(event("service-changed", "db", state=state, reason="gone\x1b[2J mad"))

    shown = "\n".join(frame(run))

    assert "gone mad" in shown
    assert "\x1b" not in shown


def test_where_not_all_have_room_the_pressing_ones_come_first_and_the_rest_is_counted() -> None:
    run = live_run(*(planned(f"s{n}") for n in range(30)))
    for n in range(30):
        state = "failed" if n == 29 else "starting" if n == 28 else "ready"
        run.take(event("service-changed", f"s{n}", state=state))
    shown = frame(run)

    assert [row.split()[0] for row in shown[2:5]] == ["s29", "s28", "s0"]
    assert any(row.startswith("… and ") and row.endswith(" ready") for row in shown)


def test_replicas_stand_in_the_order_of_their_numbers() -> None:
    run = live_run(planned("load-10"), planned("load-2"))

    assert list(run.rows) == ["load-2", "load-10"]


@pytest.mark.parametrize("height", range(1, 40))
@pytest.mark.parametrize("width", [1, 7, 20, 40, 59, 79, 109, 110, 250])
def test_a_frame_fits_every_size(width: int, height: int) -> None:
    run = live_run(*(planned(f"service-{n}", target="docker x") for n in range(20)))
    run.take(event("service-changed", "service-3", state="failed", lines=("長" * 200,) * 9))
    run.take_lines([("service-1", "長い" * 100), ("service-2", "\x1b[31m" + "x" * 300)])
    shown = frame(run, width, height)

    assert len(shown) == height
    assert all(livetexts.measure(row) <= width for row in shown)


def test_the_foot_keeps_what_is_dearest() -> None:
    run = live_run(planned("api"))

    assert frame(run, 100)[-1] == "q stops it · all output: stackdsl logs"
    assert frame(run, 20)[-1] == "q stops it"


def test_a_whole_status_is_taken_in() -> None:
    run = live_run(planned("api"))
    one = states.ServiceStatus(
        name="api", kind="service", service="api", index=0, state="failed", host="local",
        target="local", since="1970-01-01T00:01:41.000Z", exit_code=3, reason="exited with 3",
    )  # fmt: skip
    run.take_status(
        states.RunStatus(run="shop", stack="shop", state="degraded", since="", services=(one,))
    )

    assert row_of(run, "api").split() == ["api", "✘", "failed", "11", "s", "exited", "with", "3"]


def test_the_end_tells_the_failures_and_where_all_output_is() -> None:
    run = live_run(*(planned(f"s{n}") for n in range(20)))
    for n in range(20):
        state = "failed" if n == 19 else "stopped"
        run.take(event("service-changed", f"s{n}", state=state, reason="exited with 3"))
    run.take_lines([("s1", "last word")])
    told = liveends.format_end(run, PLAIN, now_s=112.0, width=80).splitlines()

    assert told[0] == "s1  | last word"
    assert "✘ shop failed after 12 s" in told
    assert "  s19      ✘ failed      exited with 3" in told
    assert told[-2:] == ["  19 stopped", "  all output: stackdsl logs shop"]
