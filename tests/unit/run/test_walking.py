from stackdsl.model import errors, plans
from stackdsl.run import walking


def step(name: str, *needs: str) -> plans.StartService:
    return plans.StartService(id=name, subject=name, needs=needs, cause="test")


def make(*steps: plans.Step) -> tuple[walking.Walk, list[list[str]]]:
    begun: list[list[str]] = []

    def begin(_walk: walking.Walk, batch: list[plans.Step]) -> None:
        begun.append([one.id for one in batch])

    return walking.Walk(steps, begin), begun


async def turn() -> None:
    import asyncio

    await asyncio.sleep(0)


async def test_steps_without_needs_begin_together() -> None:
    walk, begun = make(step("a"), step("b"), step("c", "a", "b"))
    await turn()
    assert begun == [["a", "b"]]
    walk.cancel()


async def test_a_step_begins_when_the_last_of_its_needs_is_done() -> None:
    walk, begun = make(step("a"), step("b"), step("c", "a", "b"))
    await turn()
    walk.finish("a")
    await turn()
    assert begun == [["a", "b"]]
    walk.finish("b")
    await turn()
    assert begun[-1] == ["c"]
    walk.finish("c")
    await walk.wait()


async def test_what_is_behind_a_failed_step_never_begins_and_the_walk_ends() -> None:
    walk, begun = make(step("a"), step("b", "a"), step("c", "b"))
    await turn()
    walk.fail("a", errors.ServiceError("run.x", "cannot x", do="y"))
    await walk.wait()
    assert begun == [["a"]]
    assert walk.failed == {"a", "b", "c"}
    assert [error.code for error in walk.failures] == ["run.x"]


async def test_needs_outside_the_walk_count_as_done() -> None:
    walk, begun = make(step("a", "elsewhere"))
    await turn()
    assert begun == [["a"]]
    walk.finish("a")
    await walk.wait()


async def test_an_empty_walk_is_over() -> None:
    walk, _ = make()
    await walk.wait()
