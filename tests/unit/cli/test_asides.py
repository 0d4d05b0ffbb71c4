"""What a stack's code prints is kept apart from results, and off a screen that is drawn on."""

import sys

import pytest

from stackdsl.cli import asides


def test_what_is_printed_stands_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with asides.beside():
        print("aside")
    print("result")

    assert capsys.readouterr() == ("result\n", "aside\n")


def test_a_stream_that_is_turned_aside_is_still_the_one_it_was() -> None:
    was = sys.stdout
    with asides.beside():
        assert sys.stdout.fileno() == was.fileno()
        assert sys.stdout.isatty() == was.isatty()
        assert sys.stdout.encoding == was.encoding

    assert sys.stdout is was


def test_lines_are_told_whole_while_a_screen_is_drawn_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told: list[str] = []
    with asides.off_screen(told.append) as kept:
        print("one", end="")
        print(" line")
        print("another", file=sys.stderr)

    assert told == list(kept) == ["one line", "another"]
    assert capsys.readouterr() == ("", "")
