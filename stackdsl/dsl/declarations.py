"""Decorators and their forms without a function: they write down, and nothing else.

A decorator writes into the module that defines the function, so that loops and functions of one
name are seen; `Service(…)` and `Task(…)` write into the module that calls them.
"""

from collections.abc import Callable
from typing import Any, Unpack, overload

from stackdsl.dsl import keywords, ledgers, written
from stackdsl.model import services

Declaration = written.Declaration


@overload
def service(body: keywords.Body, /) -> Declaration: ...


@overload
def service(
    **given: Unpack[keywords.ServiceKeywords],
) -> Callable[[keywords.Body], Declaration]: ...


def service(body: Any = None, /, **given: Any) -> Any:
    """Declare a service: the function is its body, its parameters are its dependencies."""
    return _decorate("service", body, given)


@overload
def task(body: keywords.Body, /) -> Declaration: ...


@overload
def task(
    **given: Unpack[keywords.TaskKeywords],
) -> Callable[[keywords.Body], Declaration]: ...


def task(body: Any = None, /, **given: Any) -> Any:
    """Declare a task: it runs to its end once per run."""
    return _decorate("task", body, given)


class Service(Declaration):
    """A service declared without a function."""

    __slots__ = ()

    def __init__(
        self,
        *,
        name: str,
        command: keywords.Returned = None,
        **given: Unpack[keywords.UnnamedServiceKeywords],
    ) -> None:
        _write_plain(self, "service", name, command, dict(given))


class Task(Declaration):
    """A task declared without a function."""

    __slots__ = ()

    def __init__(
        self,
        *,
        name: str,
        command: keywords.Returned = None,
        **given: Unpack[keywords.UnnamedTaskKeywords],
    ) -> None:
        _write_plain(self, "task", name, command, dict(given))


def _decorate(kind: services.Kind, body: object, given: dict[str, Any]) -> Any:
    above = written.frame(2)
    place = (above.f_globals, above.f_code.co_filename, above.f_lineno)
    if body is not None and callable(body):
        return _write_function(kind, body, given, place)
    misuse = "" if body is None else f"@{kind} takes keywords only"

    def decorate(function: Any) -> Declaration:
        return _write_function(kind, function, dict(given), place, misuse=misuse)

    return decorate


def _write_function(
    kind: services.Kind,
    function: Any,
    given: dict[str, Any],
    place: tuple[dict[str, Any], str, int],
    *,
    misuse: str = "",
) -> Declaration:
    code, found = written.code_of(function), written.globals_of(function)
    namespace, file, line = place
    made = Declaration()
    made.kind = kind
    name = given.pop("name", None)
    made.name = getattr(function, "__name__", "") if name is None else name
    made.function = function
    made.command = None
    made.keywords = given
    made.namespace = namespace if found is None else found
    made.file = file if code is None else code.co_filename
    made.line = line if code is None else code.co_firstlineno
    made.misuse = misuse
    if code is None and not misuse:
        made.misuse = f"@{kind} decorates a function"
    ledgers.of(made.namespace).declarations.append(made)
    return made


def _write_plain(
    made: Declaration, kind: services.Kind, name: object, command: object, given: dict[str, Any]
) -> None:
    above = written.frame(2)
    made.kind = kind
    made.name = name
    made.function = None
    made.command = command
    made.keywords = given
    made.namespace = above.f_globals
    made.file = above.f_code.co_filename
    made.line = above.f_lineno
    made.misuse = ""
    ledgers.of(made.namespace).declarations.append(made)
