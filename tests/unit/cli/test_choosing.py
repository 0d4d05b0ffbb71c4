"""Which stack or run the words of a command mean."""

from pathlib import Path

import pytest

from stackdsl.cli import choosing
from stackdsl.model import errors
from stackdsl.registry import owners
from stackdsl.registry import store as stores


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def living(run: str, file: Path | None = None) -> stores.Record:
    return stores.Record(
        run=run,
        run_id="0",
        stack=run.partition("@")[0],
        file=str(file) if file else f"/elsewhere/{run}.py",
        folder=f"/state/{run}",
        state="ready",
        crash="adopt",
        grace_s=0,
        created_ns=0,
        controller=owners.this_process(),
        node=owners.Owner(pid=0, start=0),
        block=(0, 0),
    )


def refused(*words: str, records: tuple[stores.Record, ...] = ()) -> errors.UsageError:
    with pytest.raises(errors.UsageError) as caught:
        choosing.choose_run(words, None, records)
    return caught.value


def test_the_only_living_run_is_meant_when_nothing_is_said() -> None:
    record, rest = choosing.choose_run(["api"], None, (living("shop"),))

    assert (record.run, rest) == ("shop", ["api"])


def test_a_living_runs_name_comes_first() -> None:
    record, rest = choosing.choose_run(["b", "api"], None, (living("a"), living("b")))

    assert (record.run, rest) == ("b", ["api"])


def test_several_living_runs_are_named_as_choices() -> None:
    error = refused("api", records=(living("a"), living("b")))

    assert error.code == "usage.choose"
    assert error.why == "a, b"


def test_the_option_decides_whatever_the_words_are() -> None:
    record, rest = choosing.choose_run(["b"], "a", (living("a"), living("b")))

    assert (record.run, rest) == ("a", ["b"])


def test_a_file_means_its_own_run(here: Path) -> None:
    (here / "shop.py").write_text("")
    record, _ = choosing.choose_run(["shop.py"], None, (living("shop", here / "shop.py"),))

    assert record.run == "shop"


def test_of_a_file_with_copies_only_these_are_named(here: Path) -> None:
    (here / "shop.py").write_text("")
    error = refused("shop.py", records=(living("shop@two", here / "shop.py"),))

    assert "shop@two" in error.why


def test_the_only_living_run_is_meant_before_the_file_in_front_of_the_user(here: Path) -> None:
    (here / "stack.py").write_text("")
    chosen = choosing.choose_file([], None, (living("other"),))

    assert chosen.file == "/elsewhere/other.py"


def test_of_several_living_runs_none_is_meant_and_the_file_in_front_is(here: Path) -> None:
    (here / "stack.py").write_text("")
    chosen = choosing.choose_file([], None, (living("one"), living("two")))

    assert chosen.file == str(here / "stack.py")


def test_a_run_of_another_folder_that_nobody_named_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    choosing.choose_run([], None, (living("other"),))

    told = capsys.readouterr()
    assert told.err == 'taking run "other" of /elsewhere/other.py: it is the only living run\n'
    assert told.out == ""


def test_a_run_of_this_folder_or_below_is_taken_without_a_word(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    choosing.choose_run([], None, (living("shop", here / "stacks" / "shop.py"),))

    assert capsys.readouterr().err == ""


def test_a_named_run_of_another_folder_is_taken_without_a_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    choosing.choose_run(["other"], None, (living("other"),))

    assert capsys.readouterr().err == ""


def test_without_a_file_the_only_living_run_tells_it() -> None:
    assert choosing.choose_file([], None, (living("other"),)).file == "/elsewhere/other.py"


def test_the_only_file_in_stacks_is_found(here: Path) -> None:
    (here / "stacks").mkdir()
    (here / "stacks" / "shop.py").write_text("")

    assert choosing.choose_file(["api"], None, ()).rest == ("api",)


def test_a_topology_beside_its_stack_is_no_stack_to_choose(here: Path) -> None:
    (here / "stacks").mkdir()
    for name in ("shop.py", "shop_lab.py"):
        (here / "stacks" / name).write_text("")

    chosen = choosing.choose_file([], None, ())

    assert chosen.file is not None
    assert chosen.file.endswith("stacks/shop.py")


def test_a_file_that_is_not_there_is_refused_even_beside_a_living_run() -> None:
    with pytest.raises(errors.UsageError) as caught:
        choosing.choose_file(["nowhere.py"], None, (living("shop"),))

    assert caught.value.code == "usage.unknown-stack"


@pytest.mark.parametrize(("text", "seconds"), [("5", 5), ("0.5", 0.5), ("500ms", 0.5), ("2m", 120)])
def test_durations_are_numbers_of_seconds_or_texts(text: str, seconds: float) -> None:
    assert choosing.parse_duration(text, "--timeout") == seconds


def test_what_is_no_duration_is_refused_with_its_option() -> None:
    with pytest.raises(errors.UsageError, match=r'--timeout "soon"'):
        choosing.parse_duration("soon", "--timeout")
