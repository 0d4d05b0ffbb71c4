"""Exit codes in words, and the ends that were wished for."""

import pytest

from stackdsl.node import ends


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exited with 0"),
        (3, "exited with 3"),
        (137, "was killed by SIGKILL"),
        (143, "was killed by SIGTERM"),
        (255, "exited with 255"),
        (None, "ended; its exit status cannot be known"),
    ],
)
def test_an_exit_code_is_told_in_words(code: int | None, words: str) -> None:
    assert ends.describe_exit(code) == words


def test_a_wish_to_restart_ends_in_a_restart() -> None:
    assert ends.of_wish(ends.Wish(kind="restart", reason="r")).state == "restart"


def test_a_wish_to_stop_ends_in_a_stop_with_the_exit_code() -> None:
    end = ends.of_wish(ends.Wish(kind="stop"), 143)
    assert (end.state, end.exit_code) == ("stopped", 143)
