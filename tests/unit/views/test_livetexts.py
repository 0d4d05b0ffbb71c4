"""Texts in cells: harmless, and never wider than they may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackdsl.views import livetexts

TEXTS = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("長い\u200d\ufe0f👩é\t\r\x1b\x9b\u202e"),
    ),
    max_size=80,
)


@given(TEXTS, st.integers(0, 40))
def test_no_text_is_wider_than_it_may_be(text: str, width: int) -> None:
    clean = livetexts.clean(text, has_colours=True)

    assert livetexts.measure(livetexts.clip(clean, width)) <= width


@given(TEXTS, st.integers(1, 40))
def test_filled_texts_have_just_their_width(text: str, width: int) -> None:
    clean = livetexts.clean(text, has_colours=True)

    assert livetexts.measure(livetexts.fill(clean, width)) == width


@given(TEXTS)
def test_nothing_but_colours_is_left_of_control_characters(text: str) -> None:
    clean = livetexts.clean(text, has_colours=False)

    assert not any(ord(each) < 32 or 127 <= ord(each) < 160 for each in clean)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("plain", "plain"),
        ("a\tb", "a       b"),
        ("10 %\r20 %", "20 %"),
        ("\x1b[2J\x1b[Hhome", "home"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b[?1049ltext", "text"),
        ("right\u202eleft", "rightleft"),
        ("\x1b[31mred\x1b[0m", "red"),
    ],
)
def test_what_could_harm_the_screen_is_taken_out(line: str, shown: str) -> None:
    assert livetexts.clean(line, has_colours=False) == shown


def test_colours_stay_where_they_are_wanted_and_end_with_the_text() -> None:
    clean = livetexts.clean("\x1b[31mred for ever", has_colours=True)

    assert livetexts.clip(clean, 6) == "\x1b[31mred f\x1b[0m…"


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abcdef", 4, "abc…"),
        ("abcd", 4, "abcd"),
        ("日本語", 4, "日…"),
        ("日本", 4, "日本"),
        ("a", 0, ""),
    ],
)
def test_texts_are_cut_by_cells(text: str, width: int, shown: str) -> None:
    assert livetexts.clip(text, width) == shown


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0 s"), (12.9, "12 s"), (125, "2 min"), (7300, "2 h"), (400_000, "4 d")],
)
def test_ages_are_short(seconds: float, said: str) -> None:
    assert livetexts.say_age(seconds) == said
