"""Signatures: what a body's parameters say, read from its code without calling anything."""

from dataclasses import dataclass

from stackdsl.dsl import written
from stackdsl.model import refs

_VARARGS, _VARKEYWORDS, _GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x04, 0x08, 0x20, 0x80, 0x200


@dataclass(frozen=True, slots=True)
class Signature:
    """``positional`` and ``named`` parameters without defaults in order, ``me`` the one that gets
    `Me`; ``problem`` is (fact, do) if the function cannot be a body."""

    positional: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    me: str | None = None
    problem: tuple[str, str] | None = None

    @property
    def dependencies(self) -> tuple[str, ...]:
        """The parameters that are dependencies."""
        return tuple(name for name in (*self.positional, *self.named) if name != self.me)

    @property
    def keys(self) -> dict[str, str]:
        """The key under which each parameter's value is handed over."""
        return {name: "me" if name == self.me else name for name in (*self.positional, *self.named)}


NONE = Signature()


def read(declaration: written.Declaration) -> Signature:
    """Return the signature of a declaration's body; an empty one without a function."""
    if declaration.function is None:
        return NONE
    function = declaration.function
    code = written.code_of(function)
    if code is None:
        return NONE
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    count = code.co_argcount
    defaults = len(getattr(function, "__defaults__", None) or ())
    keyword_defaults = getattr(function, "__kwdefaults__", None) or {}
    positional = code.co_varnames[: count - defaults]
    keyword_only = code.co_varnames[count : count + code.co_kwonlyargcount]
    named = tuple(name for name in keyword_only if name not in keyword_defaults)
    annotations = getattr(function, "__annotations__", {})
    mine = [n for n in (*positional, *named) if n == "me" or _is_me(annotations.get(n))]
    problem = _problem(declaration.kind, code.co_flags)
    if problem is None and len(mine) > 1:
        fact = f'"{mine[0]}" and "{mine[1]}" both are the service itself'
        return Signature(problem=(fact, "keep one of them"))
    return Signature(positional, named, mine[0] if mine else None, problem)


def _is_me(annotation: object) -> bool:
    if isinstance(annotation, str):
        return annotation.rpartition(".")[2] == "Me"
    return annotation is refs.Me


def _problem(kind: str, flags: int) -> tuple[str, str] | None:
    if flags & _COROUTINE or flags & _ASYNC_GENERATOR:
        return (
            "its body is an async def",
            f"write a plain def: a {kind}'s body is no program, it returns the command of one",
        )
    if flags & _GENERATOR:
        return (
            "its body is a generator",
            f"return the whole command instead of yielding: a {kind}'s body is called once",
        )
    if flags & (_VARARGS | _VARKEYWORDS):
        return (
            "its body takes *args or **kwargs",
            "name each dependency as a parameter of its own",
        )
    return None
