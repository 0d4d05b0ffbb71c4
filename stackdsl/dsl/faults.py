"""Faults: everything that is wrong with a stack, gathered to be told at once."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from stackdsl.model import errors, services

T = TypeVar("T")


class Refusal(Exception):  # noqa: N818 - it never leaves reading; a fault is made of it
    """A value that cannot be read: the fact, and what to write instead.

    ``others`` are what else is wrong with the same value.
    """

    def __init__(self, fact: str, do: str, *, code: str = "definition.bad-value") -> None:
        super().__init__(fact)
        self.fact = fact
        self.do = do
        self.code = code
        self.others: tuple[Refusal, ...] = ()


def read_each(read: Callable[..., T], values: Iterable[Any]) -> list[T]:
    """Return ``read`` of every value; a refusal does not keep the rest from being read.

    Raises:
        Refusal: some were refused; the first, with the others.
    """
    found: list[T] = []
    refused: list[Refusal] = []
    for value in values:
        try:
            found.append(read(value))
        except Refusal as refusal:
            refused += [refusal, *refusal.others]
    if refused:
        first, *others = refused
        first.others = tuple(others)
        raise first
    return found


def read_fields(reads: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Return what each of ``reads`` returns, by its key.

    Raises:
        Refusal: some refused; the first, with the others.
    """
    pairs = read_each(lambda item: (item[0], item[1]()), reads.items())
    return dict(pairs)


class Faults:
    """Definition errors with their places; told sorted by file and line, each once."""

    def __init__(self) -> None:
        self._found: list[tuple[str, int, errors.StackError]] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(
        self, where: services.Where, code: str, what: str, *, do: str, why: str = ""
    ) -> errors.DefinitionError:
        """Note one fault and return it."""
        error = errors.DefinitionError(code, what, where=str(where), why=why, do=do)
        self._found.append((where.file, where.line, error))
        return error

    def take(self, where: services.Where, error: errors.StackError) -> None:
        """Note an error that was made elsewhere, each of it if it is several."""
        for one in errors.flatten(error):
            self._found.append((where.file, where.line, one))

    def extend(self, others: "Faults") -> None:
        """Note all of another gathering."""
        self._found.extend(others._found)  # noqa: SLF001 - another of the same class

    def errors(self) -> list[errors.StackError]:
        """Return what was found, sorted by file and line, each text once."""
        told = {error.text(): error for _, _, error in sorted(self._found, key=lambda f: f[:2])}
        return list(told.values())

    def raise_all(self) -> None:
        """Raise everything that was found, if anything was.

        Raises:
            DefinitionError, StackErrors: there was at least one fault.
        """
        errors.raise_all(self.errors())


def display(file: str) -> str:
    """Return a path as people want to read it: relative when it lies under the current folder."""
    try:
        start = os.getcwd() + os.sep
    except FileNotFoundError:
        return file
    return file.removeprefix(start)


def nearest(name: str, names: Iterable[str]) -> str:
    """Return ``did you mean "x"? `` (with the blank) for the nearest of ``names``, or nothing."""
    import difflib

    found = difflib.get_close_matches(name, sorted(set(names)), n=1, cutoff=0.6)
    return f'did you mean "{found[0]}"? ' if found else ""


def quoted(names: Iterable[str]) -> str:
    """Return names in quotes with commas between."""
    return ", ".join(f'"{name}"' for name in names)


def shown(value: object) -> str:
    """Return a value as an error shows it: short, text in double quotes."""
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
