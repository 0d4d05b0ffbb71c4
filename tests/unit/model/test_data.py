"""The quick data classes mean what the standard ones mean."""

import copy
import dataclasses
import pickle
from typing import ClassVar

import pytest

from stackdsl.model import data, services


@data.dataclass(frozen=True, slots=True, kw_only=True)
class Quick:
    first: int
    second: str = "two"
    third: list[int] = data.field(default_factory=list)
    kind: ClassVar[str] = "quick"

    @property
    def both(self) -> str:
        return f"{self.first}{self.second}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    first: int
    second: str = "two"
    third: list[int] = dataclasses.field(default_factory=list)
    kind: ClassVar[str] = "quick"


def test_they_print_alike() -> None:
    assert repr(Quick(first=1)) == repr(Standard(first=1)).replace("Standard", "Quick")


def test_equal_fields_of_one_class_are_equal() -> None:
    assert Quick(first=1) == Quick(first=1)
    assert Quick(first=1) != Quick(first=2)
    another: object = Standard(first=1)
    assert Quick(first=1) != another


def test_those_with_hashable_fields_hash_alike() -> None:
    one, two = (
        services.Need(name="a", condition="ready"),
        services.Need(name="a", condition="ready"),
    )
    assert hash(one) == hash(two)


def test_fields_cannot_be_assigned_or_deleted() -> None:
    one = Quick(first=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.first = 2  # type: ignore[misc] # what is refused
    with pytest.raises(dataclasses.FrozenInstanceError):
        del one.first


@pytest.mark.parametrize("cls", [Quick, Standard])
def test_a_missing_or_unknown_field_is_a_type_error(cls: type) -> None:
    with pytest.raises(TypeError, match="first"):
        cls()
    with pytest.raises(TypeError, match="fourth"):
        cls(first=1, fourth=4)
    with pytest.raises(TypeError):
        cls(1)


def test_a_default_factory_makes_one_for_each() -> None:
    assert Quick(first=1).third is not Quick(first=1).third


def test_the_standard_functions_work() -> None:
    one = Quick(first=1)
    assert dataclasses.replace(one, second="x") == Quick(first=1, second="x")
    assert dataclasses.asdict(one) == {"first": 1, "second": "two", "third": []}
    assert [field.name for field in dataclasses.fields(one)] == ["first", "second", "third"]
    assert dataclasses.is_dataclass(Quick)


def test_they_can_be_copied_and_pickled() -> None:
    one = Quick(first=1, third=[3])
    assert copy.copy(one) == one
    assert pickle.loads(pickle.dumps(one)) == one


def test_there_is_no_dictionary() -> None:
    assert not hasattr(Quick(first=1), "__dict__")


def test_a_subclass_that_adds_nothing_keeps_the_fields() -> None:
    class Sub(Quick):
        __slots__ = ()

    assert dataclasses.replace(Sub(first=1), first=2) == Sub(first=2)
    assert copy.copy(Sub(first=1)) == Sub(first=1)


def test_other_kinds_are_refused() -> None:
    with pytest.raises(TypeError, match="frozen"):
        data.dataclass(frozen=False, slots=True, kw_only=True)
