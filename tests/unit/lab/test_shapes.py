"""What an uplink does to packets: when each leaves, which are lost."""

import random

from stackdsl.lab import shapes


def departures(
    shape: shapes.Shape, arrivals: list[float], size_bytes: int = 1250
) -> list[float | None]:
    table = shapes.Timetable(shape, random.Random(1))
    return [table.departure(arrived_s, size_bytes) for arrived_s in arrivals]


def test_a_packet_leaves_after_the_delay() -> None:
    assert departures(shapes.Shape(delay_s=0.02), [1.0, 1.5]) == [1.02, 1.52]


def test_an_uplink_of_a_rate_sends_one_packet_after_the_other() -> None:
    found = departures(shapes.Shape(rate_bps=1_000_000), [0.0, 0.0, 0.0])

    assert [round(each or 0, 6) for each in found] == [0.01, 0.02, 0.03]


def test_what_a_slow_uplink_cannot_hold_is_dropped() -> None:
    found = departures(shapes.Shape(rate_bps=1_000_000), [0.0] * 1000)

    kept = [each for each in found if each is not None]
    assert kept[-1] < 0.3
    assert found[-1] is None


def test_as_many_packets_are_lost_as_was_said() -> None:
    found = departures(shapes.Shape(loss=0.1), [number / 1000 for number in range(20_000)])

    assert 0.09 < found.count(None) / len(found) < 0.11


def test_jitter_stays_within_its_bounds_and_keeps_the_order() -> None:
    arrivals = [number / 2000 for number in range(20_000)]
    found = departures(shapes.Shape(delay_s=0.05, jitter_s=0.005), arrivals)

    left = [each for each in found if each is not None]
    took = [leaves - arrived for leaves, arrived in zip(left, arrivals, strict=True)]
    assert left == sorted(left)
    assert 0.045 <= min(took) < 0.047
    assert 0.053 < max(took) <= 0.055
    assert 0.0495 < sum(took) / len(took) < 0.0505


def test_the_kernel_is_told_the_same() -> None:
    shape = shapes.Shape(delay_s=0.02, jitter_s=0.002, loss=0.015, rate_bps=20e6)

    assert " ".join(shapes.netem_words(shape)) == (
        "netem limit 100000 delay 20000us 2000us loss random 1.5% rate 20000000bit"
    )
