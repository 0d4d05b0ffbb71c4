import asyncio

from stackdsl.model import events, times
from stackdsl.run import timeline


async def collect(line: timeline.Timeline, since: int | None) -> list[events.Event]:
    return [event async for event in line.read(since)]


async def test_a_reader_gets_every_event_in_order_and_ends_with_the_timeline() -> None:
    line = timeline.Timeline()
    line.emit("run", "shop", state="starting")
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(collect(line, 0))
        await asyncio.sleep(0)
        line.emit("service-changed", "db", was="waiting", state="starting")
        line.close()
    assert [event.seq for event in reading.result()] == [1, 2]


async def test_a_reader_goes_on_after_a_number_without_loss_or_doubling() -> None:
    line = timeline.Timeline()
    for number in range(10):
        line.emit("step", f"start:{number}")
    line.close()
    assert [event.seq for event in await collect(line, 4)] == [5, 6, 7, 8, 9, 10]


async def test_a_reader_from_now_on_gets_nothing_that_was() -> None:
    line = timeline.Timeline()
    line.emit("step", "start:a")
    line.close()
    assert await collect(line, None) == []


async def test_beyond_the_window_a_reader_is_told_the_gap_and_gets_a_snapshot() -> None:
    line = timeline.Timeline(snapshot=lambda: {"run": "shop"}, window_events=3)
    for number in range(8):
        line.emit("step", f"start:{number}")
    line.close()
    gap, shot, *rest = await collect(line, 2)
    assert (gap.kind, dict(gap.details)) == ("gap", {"from": 3, "to": 5})
    assert dict(shot.details)["snapshot"] == {"run": "shop"}
    assert [event.seq for event in rest] == [6, 7, 8]


async def test_a_number_of_an_earlier_controller_is_told_as_a_gap_before_all_that_is_kept() -> None:
    line = timeline.Timeline(snapshot=lambda: "all")
    for number in range(2):
        line.emit("run", f"e{number}")
    line.close()
    gap, shot, *rest = await collect(line, 99)
    assert (gap.kind, dict(gap.details)) == ("gap", {"from": 99, "to": 0})
    assert dict(shot.details) == {"snapshot": "all"}
    assert [event.seq for event in rest] == [1, 2]


async def test_a_reader_that_falls_behind_the_window_is_told_the_gap() -> None:
    line = timeline.Timeline(window_events=3)
    line.emit("step", "start:0")
    reader = line.read(0)
    assert (await anext(reader)).seq == 1
    for number in range(1, 9):
        line.emit("step", f"start:{number}")
    assert (await anext(reader)).kind == "gap"
    assert (await anext(reader)).seq == 7


async def test_secrets_are_masked_in_reasons_and_details() -> None:
    line = timeline.Timeline(mask=lambda text: text.replace("pw", "***"))
    event = line.emit("log", "db", reason="bad pw", details={"lines": ("x pw",), "count": 3})
    assert event.reason == "bad ***"
    assert dict(event.details) == {"lines": ("x ***",), "count": 3}


def test_times_are_rfc_3339_in_utc() -> None:
    assert times.format_time(1_700_000_000_123_456_789) == "2023-11-14T22:13:20.123Z"


async def test_a_change_of_the_run_is_read_before_anything_else_happens() -> None:
    line = timeline.Timeline()
    seen: list[events.Event] = []

    async def read() -> None:
        async for event in line.read(0):
            seen.append(event)  # noqa: PERF401 - as they come

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        await asyncio.sleep(0)
        line.emit("step", "start:a")
        line.emit("run", "shop", state="ready")
        await asyncio.sleep(0)
        assert [event.seq for event in seen] == [1, 2]
        line.close()
