"""Statuses: JSON to the letter, tables that hold what a person looks for."""

from datetime import UTC, datetime

from stackdsl.model import plans, specs, states
from stackdsl.views import lines, statuses

PLAIN = lines.Paint(False)
NOW = datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC)
SINCE = "2026-01-01T12:00:00.000Z"


def service(name: str = "api", **changes: object) -> states.ServiceStatus:
    fields: dict[str, object] = {
        "name": name,
        "kind": "service",
        "service": name,
        "index": 0,
        "state": "ready",
        "host": "local",
        "target": "local",
        "since": SINCE,
    }
    return states.ServiceStatus(**{**fields, **changes})  # type: ignore[arg-type]


def run(*services: states.ServiceStatus, **changes: object) -> states.RunStatus:
    fields: dict[str, object] = {"run": "shop", "stack": "shop", "state": "ready", "since": SINCE}
    return states.RunStatus(services=services, **{**fields, **changes})  # type: ignore[arg-type]


def plan_with(
    ports: tuple[plans.PlannedPort, ...], forwards: tuple[specs.Forward, ...] = ()
) -> plans.Plan:
    planned = plans.PlannedService(
        name="api", kind="service", service="api", index=0, host="local", target="local",
        needs=(), ports=ports, bind="127.1.1.1", env=(), command=("x",),
    )  # fmt: skip
    return plans.Plan(
        stack="shop", run="shop", hosts=(), services=(planned,), links=(), steps=(),
        forwards=(("local", forwards),),
    )  # fmt: skip


HTTP = plans.PlannedPort(
    name="default", port=8080, scheme="http", protocol="tcp", host="127.1.1.1", told_port=8080,
    bound_host="127.1.1.1", bound_port=8080,
)  # fmt: skip


def test_the_status_has_exactly_the_keys_of_the_contract() -> None:
    link = states.LinkStatus(
        source="web", target="api", port="default", kind="loopback", address="a:1", state="up"
    )
    host = states.HostStatus(name="local", state="connected")
    made = statuses.status_json(run(service(), links=(link,), hosts=(host,)))

    assert set(made) == {"run", "stack", "state", "since", "services", "hosts", "links"}
    assert set(made["services"][0]) == {
        "name", "kind", "service", "index", "state", "host", "target", "pid", "container",
        "addresses", "restarts", "since", "exit_code", "reason",
    }  # fmt: skip
    assert set(made["hosts"][0]) == {"name", "state", "reason"}
    assert set(made["links"][0]) == {"from", "to", "port", "kind", "address", "state"}


def test_addresses_are_told_by_the_ports_name() -> None:
    made = statuses.service_json(service(addresses=(("default", "127.0.0.1:1"), ("admin", "h:2"))))

    assert made["addresses"] == {"default": "127.0.0.1:1", "admin": "h:2"}


def test_an_address_with_a_scheme_is_shown_as_a_url() -> None:
    one = service(addresses=(("default", "127.1.1.1:8080"),))

    assert statuses.addresses_of(one, plan_with((HTTP,))) == ("http://127.1.1.1:8080",)


def test_what_is_published_is_shown_after_the_address() -> None:
    forward = specs.Forward(
        subject="api", listen_host="127.0.0.1", listen_port=80, targets=(("127.1.1.1", 8080),)
    )
    one = service(addresses=(("default", "127.1.1.1:8080"),))

    assert statuses.addresses_of(one, plan_with((HTTP,), (forward,))) == (
        "http://127.1.1.1:8080",
        "http://127.0.0.1:80",
    )


def test_a_forward_at_the_told_address_itself_is_not_shown_twice() -> None:
    forward = specs.Forward(
        subject="api", listen_host="127.1.1.1", listen_port=8080, targets=(("127.0.0.1", 9),)
    )
    one = service(addresses=(("default", "127.1.1.1:8080"),))

    assert len(statuses.addresses_of(one, plan_with((HTTP,), (forward,)))) == 1


def test_the_table_says_why_a_service_failed() -> None:
    status = run(service(state="failed", reason="exited with 3", restarts=2), state="failed")
    text = statuses.format_status(status, PLAIN, now=NOW)

    assert "✘ failed" in text
    assert "2 restarts; exited with 3" in text


def test_a_reason_that_a_program_has_given_moves_no_cursor() -> None:
    status = run(service(state="unready", reason="gone\x1b[2J mad"))

    assert "gone mad" in statuses.format_status(status, PLAIN, now=NOW)


def test_the_table_fits_a_terminal() -> None:
    status = run(service(state="failed", reason="because " * 30))
    text = statuses.format_status(status, PLAIN, now=NOW, width=80)

    assert max(map(len, text.splitlines())) <= 80


def test_the_summary_says_how_long_each_took() -> None:
    text = statuses.format_summary(
        run(service(), service("seed", kind="task", state="completed")),
        PLAIN,
        took_s=1.2,
        ready_s={"api": 0.35},
        advice="Ctrl-C stops it",
    )

    assert text.splitlines() == [
        "● shop is ready: 1 service and 1 task in 1.2 s",
        "  api   ● ready      350 ms",
        "  seed  ✔ completed",
        "Ctrl-C stops it",
    ]


def test_every_state_has_a_symbol() -> None:
    known = set(states.State.__args__) | set(states.RunState.__args__)  # type: ignore[attr-defined]

    assert known <= set(statuses.SYMBOLS)


def test_a_run_without_a_controller_is_said_to_have_none() -> None:
    row = {
        "run": "shop",
        "state": "adopted",
        "since": "2026-01-01T00:00:00.000Z",
        "pid": None,
        "file": None,
    }
    table = statuses.format_runs([row], PLAIN, now=NOW)

    assert "no controller" in table
    assert "adopted" not in table
