"""What an author wrote down, as it was given: values, declarations, settings, each with its place.

Laws: nothing is judged here and nothing raises; reading turns it into the model's words.
"""

import os
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from stackdsl.dsl import faults
from stackdsl.model import services


def frame(depth: int) -> FrameType:
    """Return the frame ``depth`` calls above the caller of this function."""
    return sys._getframe(depth + 1)  # noqa: SLF001 - inspect.stack reads files, costs 1000 x


class Written:
    """A value written down: its form (the function's name), raw arguments, and where."""

    __slots__ = ("file", "form", "line", "unknown", "values")

    def __init__(
        self, form: str, values: dict[str, Any], unknown: dict[str, Any], *, depth: int = 2
    ) -> None:
        above = frame(depth)
        self.form = form
        self.values = values
        self.unknown = unknown
        self.file = above.f_code.co_filename
        self.line = above.f_lineno

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={v!r}" for k, v in self.values.items() if v is not None)
        return f"{self.form}({inside})"

    def where(self, what: str = "") -> services.Where:
        """Return the place in the author's file."""
        return services.Where(file=faults.display(self.file), line=self.line, what=what)


class StackSettings(Written):
    """What ``Stack(name, …, **defaults)`` said; ``unknown`` holds the defaults."""

    __slots__ = ()


class Declaration:
    """A service or task as it was declared. Told apart by identity, not by name.

    ``function`` is the body or None; ``command`` what ``Service(command=…)`` gave; ``namespace``
    the globals of the module that names are looked up in.
    """

    __slots__ = (
        "command",
        "file",
        "function",
        "keywords",
        "kind",
        "line",
        "misuse",
        "name",
        "namespace",
    )

    name: Any
    kind: services.Kind
    function: Callable[..., Any] | None
    command: Any
    keywords: dict[str, Any]
    namespace: dict[str, Any]
    file: str
    line: int
    misuse: str

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name} at {faults.display(self.file)}:{self.line}>"

    @property
    def where(self) -> services.Where:
        """The place in the author's file."""
        form = f"@{self.kind}" if self.function is not None else self.kind.capitalize()
        return services.Where(
            file=faults.display(self.file), line=self.line, what=f"{form} {self.name}"
        )


def code_of(function: object) -> CodeType | None:
    """Return the code of a function, looking through wrappers that say what they wrap."""
    for _ in range(100):
        inner = getattr(function, "__wrapped__", None)
        if inner is None:
            break
        function = inner
    code = getattr(function, "__code__", None)
    return code if isinstance(code, CodeType) else None


def globals_of(function: object) -> dict[str, Any] | None:
    """Return the globals of the module that defines a function, wrappers looked through."""
    for _ in range(100):
        inner = getattr(function, "__wrapped__", None)
        if inner is None:
            break
        function = inner
    found = getattr(function, "__globals__", None)
    return found if isinstance(found, dict) else None


def folder_of(namespace: dict[str, Any]) -> str:
    """Return the folder of a module's file, or the current one."""
    file = namespace.get("__file__")
    if not isinstance(file, str):
        return os.getcwd()
    return os.path.dirname(os.path.abspath(file))
