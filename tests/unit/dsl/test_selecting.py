"""Selecting: parts of a stack, and stacks with something replaced."""

import pytest

from stackdsl.dsl import declarations, ledgers, places, selecting
from stackdsl.model import errors, refs, stacks
from stackdsl.model import places as model_places
from tests.unit.dsl.conftest import Load

TEXT = """
@service(port=Port(5432, scheme="postgresql"), cwd="pg")
def postgres(): return ["postgres"]
@task
def migrate(postgres): return ["migrate"]
@service(port=80, needs=[migrate])
def order_api(postgres): return ["api"]
@service(restart_with=[order_api])
def loner(): return ["loner"]
"""


@pytest.fixture
def stack(load: Load) -> stacks.StackModel:
    return load(TEXT)


def names(stack: stacks.StackModel) -> list[str]:
    return [one.name for one in stack.services]


def test_only_brings_what_is_needed(stack: stacks.StackModel) -> None:
    assert names(selecting.only(stack, "order-api")) == ["postgres", "migrate", "order_api"]


def test_restarts_follow_only_what_is_there(stack: stacks.StackModel) -> None:
    [loner] = selecting.only(stack, "loner").services
    assert loner.restart_with == ()


def test_an_unknown_name_tells_the_nearest(stack: stacks.StackModel) -> None:
    with pytest.raises(errors.UsageError) as caught:
        selecting.only(stack, "postgrs")
    assert 'did you mean "postgres"?' in caught.value.do


def test_without_leaves_out(stack: stacks.StackModel) -> None:
    assert names(selecting.without(stack, "loner", "order_api")) == ["postgres", "migrate"]


def test_without_refuses_what_others_need(stack: stacks.StackModel) -> None:
    with pytest.raises(errors.StackErrors, match='"migrate" needs it') as caught:
        selecting.without(stack, "postgres")
    assert len(errors.flatten(caught.value)) == 2


def test_a_service_moves_to_an_external_address(stack: stacks.StackModel) -> None:
    made = selecting.replace(stack, postgres=places.external("db.example.com:6000"))
    service = made.service("postgres")
    assert service is not None
    assert service.runs_on == model_places.External(host="db.example.com", port=6000)
    assert [(p.name, p.number, p.scheme) for p in service.ports] == [
        ("default", 6000, "postgresql")
    ]
    assert service.body({}) is None
    assert names(made) == names(stack)


def test_a_service_moves_into_a_container(stack: stacks.StackModel) -> None:
    made = selecting.replace(stack, postgres=places.docker("postgres:16"))
    service = made.service("postgres")
    assert service is not None
    assert (service.cwd, service.runs_on) == (None, model_places.Docker(image="postgres:16"))


def test_a_service_is_replaced_by_another_declaration(stack: stacks.StackModel) -> None:
    @declarations.service(port=9999)
    def fake(postgres: refs.Ref) -> list[str]:
        return ["fake", postgres.name]

    made = selecting.replace(stack, order_api=fake)
    ledgers.of(globals()).declarations.remove(fake)
    service = made.service("order_api")
    assert service is not None
    command = service.body({"postgres": refs.Ref(name="postgres")})
    assert command is not None
    assert command.argv == ("fake", "postgres")
    assert names(made) == names(stack)


def test_a_replacement_that_makes_a_cycle_is_refused(stack: stacks.StackModel) -> None:
    made = declarations.service(port=1)(lambda order_api: ["x", order_api.addr])
    ledgers.of(globals()).declarations.remove(made)
    made.name = "x"
    with pytest.raises(errors.DefinitionError, match="is a cycle"):
        selecting.replace(stack, postgres=made)


def test_a_replacement_that_is_neither_is_refused(stack: stacks.StackModel) -> None:
    with pytest.raises(errors.UsageError, match="is not a place"):
        selecting.replace(stack, postgres="external")  # type: ignore[arg-type] # on purpose


def test_a_task_does_not_replace_a_service(stack: stacks.StackModel) -> None:
    made = declarations.task(name="fill")(lambda: ["true"])
    ledgers.of(globals()).declarations.remove(made)
    with pytest.raises(errors.UsageError, match='cannot replace service "postgres" by task "fill"'):
        selecting.replace(stack, postgres=made)
