"""What a change does, service by service."""

from stackdsl.model import plans
from stackdsl.views import changes, lines


def start(name: str) -> plans.Step:
    return plans.StartService(id=f"start:{name}", subject=name, needs=(), cause=f"{name} was added")


def stop(name: str, cause: str) -> plans.Step:
    return plans.StopService(id=f"stop:{name}", subject=name, needs=(), cause=cause)


def keep(name: str) -> plans.Step:
    return plans.KeepService(
        id=f"keep:{name}", subject=name, needs=(), cause=f"{name} is as wanted"
    )


def test_what_is_stopped_and_started_is_restarted_with_its_cause() -> None:
    steps = (
        stop("api", "api: command changed"),
        start("api"),
        keep("db"),
        stop("old", "old: gone"),
    )

    assert changes.list_changes(steps) == [
        ("restart", "api", "api: command changed"),
        ("remove", "old", "old: gone"),
        ("keep", "db", "db is as wanted"),
    ]


def test_causes_do_not_say_the_name_again() -> None:
    text = changes.format_changes((start("api"),), lines.Paint(False))

    assert text == "+ start  api  was added"


def test_many_that_are_kept_are_counted() -> None:
    kept = tuple(keep(f"s{i}") for i in range(20))
    text = changes.format_changes((start("api"), *kept), lines.Paint(False))

    assert text.splitlines() == ["+ start  api  was added", "= keep     20 others as they are"]


def test_when_nothing_changes_that_is_all_that_is_said() -> None:
    text = changes.format_changes((keep("a"), keep("b")), lines.Paint(False))

    assert text == "= nothing to change: all run as wanted"
