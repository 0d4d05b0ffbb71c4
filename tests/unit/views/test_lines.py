"""Plain lines: colours where wanted, prefixes of one width, nothing that harms a terminal."""

import pytest

from stackdsl.views import lines

ON, OFF = lines.Paint(True), lines.Paint(False)


def test_without_colours_text_comes_back_as_it_is() -> None:
    assert OFF("text", "bold red") == "text"


def test_colours_are_reset_after_the_text() -> None:
    assert ON("text", "bold red") == "\x1b[1;31mtext\x1b[0m"


@pytest.mark.parametrize("colour", lines.PREFIX_COLOURS)
def test_every_colour_of_prefixes_is_known(colour: str) -> None:
    assert ON("x", colour).startswith("\x1b[")


def test_prefixes_have_one_width() -> None:
    prefixes = lines.Prefixes(["a", "longer"], OFF)

    assert [prefixes["a"], prefixes["longer"]] == ["a      | ", "longer | "]


def test_a_very_long_name_is_cut() -> None:
    prefixes = lines.Prefixes(["n" * 50], OFF)

    assert prefixes["n" * 50] == "n" * (lines.PREFIX_WIDTH_MAX - 1) + "… | "


def test_a_name_that_comes_later_gets_a_prefix_too() -> None:
    prefixes = lines.Prefixes(["first"], OFF)

    assert prefixes["new"] == "new   | "


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("plain", "plain"),
        ("a\tb", "a\tb"),
        ("\x1b[2J\x1b[Hcleared", "cleared"),
        ("\x1b]0;title\x07text", "text"),
        ("bell\x07", "bell"),
        ("\x1b[31mred", "\x1b[31mred\x1b[0m"),
        ("10%\r50%\r100%", "100%"),
        ("windows\r", "windows"),
        ("\x9b2Jc1", "2Jc1"),
    ],
)
def test_what_moves_a_cursor_is_taken_out_of_lines(written: str, shown: str) -> None:
    assert lines.tame(written) == shown


def test_columns_are_aligned_by_what_is_seen_not_by_colour_codes() -> None:
    text = lines.align([[("ab", "red"), "x"], ["abcd", "y"]], ON)

    assert text == "\x1b[31mab\x1b[0m    x\nabcd  y\n"


def test_the_last_column_is_cut_to_the_terminal() -> None:
    text = lines.align([["name", "n" * 100]], OFF, width=40)

    assert max(map(len, text.splitlines())) == 40


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.35, "350 ms"),
        (2.41, "2.4 s"),
        (59, "59 s"),
        (200, "3 min"),
        (7500, "2 h 5 min"),
        (400_000, "4 d"),
        (-1, "0 ms"),
    ],
)
def test_durations_are_said_in_one_or_two_units(seconds: float, said: str) -> None:
    assert lines.say_duration(seconds) == said
