"""What people are told line by line while a run starts."""

from stackdsl.cli import telling
from stackdsl.model import events, plans
from stackdsl.views import lines

PLAN = plans.Plan(stack="shop", run="shop", hosts=(), services=(), links=(), steps=())


def tell(*seen: tuple[float, str | None, str, str]) -> list[str]:
    """Return what is told of an image's step: (second, was, state, reason)."""
    told: list[str] = []
    changes = telling.Changes(PLAN, told.append, lines.Paint(False))
    for number, (second, was, state, reason) in enumerate(seen):
        changes.take(
            events.Event(
                seq=number, time_ns=int(second * 1e9), kind="step", subject="image:pg:16",
                was=was, state=state, reason=reason,
            )
        )  # fmt: skip
    return told


async def test_a_long_pull_is_told_of_now_and_then() -> None:
    assert tell(
        (10, None, "begun", "api needs it"),
        (11, "begun", "begun", "pulling 1 of 40 MB"),
        (11.2, "begun", "begun", "pulling 2 of 40 MB"),
        (15, "begun", "begun", "pulling 30 of 40 MB"),
        (16, "begun", "done", ""),
    ) == [
        "◌ image pg:16: pulling 1 of 40 MB",
        "◌ image pg:16: pulling 30 of 40 MB",
        "✔ image pg:16: there after 6.0 s",
    ]


async def test_an_image_that_is_there_is_not_worth_a_word() -> None:
    assert tell((10, None, "begun", "api needs it"), (10.1, "begun", "done", "")) == []
