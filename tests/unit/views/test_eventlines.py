"""Events: an object with its details beside the fields, or a line for people."""

import pytest

from stackdsl.model import events, states
from stackdsl.views import eventlines, lines
from stackdsl.wire import codec

PLAIN = lines.Paint(False)


def event(**changes: object) -> events.Event:
    fields: dict[str, object] = {
        "seq": 7,
        "time_ns": 1_767_268_800_250_000_000,
        "kind": "service-changed",
        "subject": "api",
        "was": "starting",
        "state": "ready",
    }
    return events.Event(**{**fields, **changes})  # type: ignore[arg-type]


def test_details_stand_beside_the_fields() -> None:
    row = eventlines.event_json(event(details=(("pid", 12), ("lines", ("a", "b")))))

    assert row == {
        "seq": 7,
        "time": "2026-01-01T12:00:00.250Z",
        "kind": "service-changed",
        "subject": "api",
        "was": "starting",
        "state": "ready",
        "reason": "",
        "pid": 12,
        "lines": ["a", "b"],
    }


def test_a_detail_never_hides_a_field() -> None:
    row = eventlines.event_json(event(details=(("kind", "service"),)))

    assert row["kind"] == "service-changed"


@pytest.mark.parametrize("is_encoded", [True, False])
def test_the_snapshot_after_a_gap_is_a_status(is_encoded: bool) -> None:
    status = states.RunStatus(run="shop", stack="shop", state="ready", since="")
    shot = codec.encode(status) if is_encoded else status
    row = eventlines.event_json(event(kind="run", details=(("snapshot", shot),)))

    assert row["snapshot"]["run"] == "shop"
    assert "$" not in row["snapshot"]


def test_a_change_is_one_line() -> None:
    text = eventlines.format_event(event(reason="first\nsecond"), PLAIN)

    assert text == "    7 12:00:00.250 service-changed api starting → ready (first)"


def test_output_is_a_line_each() -> None:
    made = event(kind="log", was=None, state=None, details=(("lines", ("one", "two")),))

    assert eventlines.format_event(made, PLAIN).splitlines() == [
        "    7 12:00:00.250 api | one",
        "    7 12:00:00.250 api | two",
    ]


def test_a_service_that_is_ready_is_told_with_its_address() -> None:
    text = eventlines.format_change(event(), PLAIN, prefix="api | ", addresses="http://h:1")

    assert text == "api | ● ready  http://h:1"


def test_a_failure_is_told_with_its_reason() -> None:
    text = eventlines.format_change(event(state="failed", reason="exited with 3"), PLAIN)

    assert text == "✘ failed  (exited with 3)"


def test_a_reason_that_a_program_has_given_moves_no_cursor() -> None:
    made = event(state="unready", reason="gone\x1b[2J mad")

    for text in (eventlines.format_change(made, PLAIN), eventlines.format_event(made, PLAIN)):
        assert "(gone mad)" in text


def test_a_restart_is_counted() -> None:
    made = event(state="starting", was="restarting", details=(("restarts", 2),))

    assert eventlines.format_change(made, PLAIN) == "◌ starting  restart 2"
