"""Statuses and output as HTML: everything from outside escaped, times in the reader's zone."""

from datetime import UTC, datetime, timedelta, timezone

from stackdsl.model import states
from stackdsl.views import markup

NOW = datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC)
HARM = '<img src=x onerror="alert(1)">'


def service(name: str = "api", **changes: object) -> states.ServiceStatus:
    fields: dict[str, object] = {
        "name": name, "kind": "service", "service": name, "index": 0, "state": "ready",
        "host": "local", "target": "local", "since": "2026-01-01T12:00:00.000Z",
    }  # fmt: skip
    return states.ServiceStatus(**{**fields, **changes})  # type: ignore[arg-type]


def run(*services: states.ServiceStatus) -> states.RunStatus:
    return states.RunStatus(
        run="shop", stack="shop", state="ready", since="2026-01-01T12:00:00.000Z", services=services
    )


def test_names_reasons_and_addresses_are_escaped() -> None:
    harmful = service(
        HARM, state="failed", reason=HARM, target=HARM, addresses=(("default", HARM),)
    )

    drawn = markup.status_html(run(harmful), now=NOW)

    assert "<img" not in drawn
    assert "&lt;img" in drawn


def test_lines_of_output_are_escaped_and_lose_their_colouring() -> None:
    line = markup.LogLine(name="api", stream="err", time_ns=0, text=f"\x1b[31mred\x1b[0m {HARM}")

    drawn = markup.lines_html([line], zone=NOW)

    assert "<img" not in drawn
    assert 'class="sd-red">red &lt;img' in drawn
    assert "\x1b" not in drawn


def test_a_time_is_told_in_the_readers_zone() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=2)))

    assert "14:00:00" in markup.table_html([service()], now=there)


def test_a_time_of_another_day_has_its_date() -> None:
    assert "01 Jan 12:00" in markup.table_html([service()], now=NOW + timedelta(days=2))


def test_an_address_with_a_web_scheme_is_a_link() -> None:
    web = service(addresses=(("default", "127.1.1.1:80"),))

    assert "<a " not in markup.table_html([web], now=NOW)
    assert '<a href="http://x:1"' in markup._address_html("http://x:1")
    assert "<a " not in markup._address_html("javascript:alert(1)")


def test_the_note_of_a_failed_service_is_the_first_line_of_its_reason() -> None:
    drawn = markup.table_html([service(state="failed", reason="exited 3\nmore")], now=NOW)

    assert ">exited 3</td>" in drawn
    assert "sd-red" in drawn


def test_of_many_services_the_number_of_the_rest_is_told() -> None:
    drawn = markup.status_html(run(*[service(f"s{i}") for i in range(5)]), now=NOW, count=3)

    assert drawn.count("<tr data-service") == 3
    assert "and 2 more" in drawn
