"""`attach`: a run by its name, a place by a keyword."""

import pytest

import stackdsl
from stackdsl.dsl import loading
from stackdsl.model import errors, places


def test_attach_with_a_keyword_is_a_place_of_the_authors_line(tmp_path: object) -> None:
    file = f"{tmp_path}/shop.py"
    with open(file, "w", encoding="utf-8") as opened:
        opened.write(
            "from stackdsl import attach, service\n"
            "@service(port=1, runs_on=attach(process='redis-server'))\n"
            "def db(): ...\n"
            "@service(runs_on=\n"
            "    attach(pit=1))\n"
            "def a(): ...\n"
        )
    with pytest.raises(errors.StackError) as caught:
        loading.load(file)
    assert 'attach(…) has no keyword "pit"' in str(caught.value)
    assert 'did you mean "pid"?' in str(caught.value)
    assert caught.value.where.endswith("shop.py:5 @service a")


def test_a_place_is_read_into_the_model() -> None:
    place = stackdsl.attach(pid=7)
    assert place.values["pid"] == 7
    assert str(places.Attach(pid=7)) == "attach pid 7"


def test_a_run_and_a_place_at_once_are_refused() -> None:
    with pytest.raises(stackdsl.StackError, match="a run is named"):
        stackdsl.attach("shop", pid=1)  # type: ignore[call-overload] # that is the mistake
