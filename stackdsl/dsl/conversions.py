"""Conversions: plain raw values of keywords turned into the model's, or refused with a reason."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

from stackdsl.dsl import faults, values, written
from stackdsl.model import services

NAME = re.compile(r"[a-z][a-z0-9_-]*")
_ADDRESS = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})")


def refuse_unknown(value: written.Written) -> None:
    """Refuse keywords that a form does not know.

    Raises:
        Refusal: there are some; the nearest name of each is told.
    """
    unknown(value, value.unknown, list(value.values))


def unknown(value: written.Written, keys: Iterable[str], allowed: Sequence[str]) -> None:
    """Refuse those of ``keys`` that are not ``allowed``.

    Raises:
        Refusal: there are some; the nearest name of each is told.
    """

    def refuse(key: str) -> None:
        raise faults.Refusal(
            f'{value.form}(…) has no keyword "{key}"',
            f"{faults.nearest(key, allowed)}{value.form}(…) takes {faults.quoted(allowed)}",
            code="definition.unknown-keyword",
        )

    faults.read_each(refuse, [key for key in keys if key not in allowed])


def text(value: object) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise faults.Refusal(f"{faults.shown(value)} is not a text", "give a text")
    return value


def path(value: object) -> str:
    """Return a path as text."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str) or not value or "\0" in value:
        raise faults.Refusal(f"{faults.shown(value)} is not a path", "give a path as text")
    return value


def absolute(value: object, folder: str) -> str:
    """Return a path that starts at ``folder`` unless it is absolute; ``~`` is the author's home."""
    joined = os.path.join(folder, os.path.expanduser(path(value)))
    return os.path.normpath(joined)


def paths(value: object, folder: str) -> tuple[str, ...]:
    """Return one path or several, absolute."""
    if isinstance(value, (str, os.PathLike)):
        return (absolute(value, folder),)
    if not is_list(value):
        raise faults.Refusal(f"{faults.shown(value)} is not a path", "give a path, or several")
    return tuple(faults.read_each(lambda one: absolute(one, folder), value))


def flag(value: object) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        raise faults.Refusal(
            f"{faults.shown(value)} is neither True nor False", "give True or False"
        )
    return value


def whole(value: object, least: int) -> int:
    """Return a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise faults.Refusal(
            f"{faults.shown(value)} is not a whole number from {least} up",
            f"give a whole number from {least} up",
        )
    return value


def one_of(value: object, allowed: Sequence[str]) -> Any:
    """Return a text that is among ``allowed``."""
    if isinstance(value, str) and value in allowed:
        return value
    guess = faults.nearest(value, allowed) if isinstance(value, str) else ""
    raise faults.Refusal(
        f"{faults.shown(value)} is none of {faults.quoted(allowed)}",
        f"{guess}give one of {faults.quoted(allowed)}",
    )


def name(value: object, thing: str) -> str:
    """Return a name that keeps to [a-z][a-z0-9_-]*."""
    if isinstance(value, str) and NAME.fullmatch(value):
        return value
    raise faults.Refusal(
        f"{faults.shown(value)} is not a name of a {thing}",
        "start with a small letter and go on with small letters, digits, _ or -; "
        + ("give name=…" if thing in {"service", "task"} else "rename it"),
        code="definition.bad-name",
    )


def argv(value: object) -> tuple[str, ...]:
    """Return a command: a list of words, or a text split as a shell splits words (no shell)."""
    if isinstance(value, str):
        import shlex

        try:
            words: Sequence[object] = shlex.split(value)
        except ValueError as problem:
            raise faults.Refusal(
                f"{faults.shown(value)} does not split into words: {problem}",
                'close the quotation, or return a list of words as ["sh", "-c", "…"]',
            ) from problem
    elif is_list(value):
        words = list(value)
    else:
        raise faults.Refusal(
            f"{faults.shown(value)} is not a command", 'give a list of words as ["prog", "--flag"]'
        )
    if not words or words[0] == "":
        raise faults.Refusal("the command is empty", 'give a list of words as ["prog", "--flag"]')
    return tuple(_word(word, position) for position, word in enumerate(words))


def _word(word: object, position: int) -> str:
    if isinstance(word, os.PathLike):
        word = os.fspath(word)
    if isinstance(word, (str, int, float)) and not isinstance(word, bool):
        found = str(word)
        if "\0" in found:
            raise faults.Refusal(f"word {position} holds a NUL", "take the NUL out")
        return found
    kind = type(word).__name__
    hint = "give text, a number or a path"
    if kind in {"Ref", "Me", "PortRef"}:
        hint = "give .addr, .url, .host or .port of it"
    raise faults.Refusal(f"word {position} is {faults.shown(word)}, a {kind}", hint)


def env_value(key: object, value: object) -> str | None:
    """Return a variable's value as text; None removes the variable."""
    if not isinstance(key, str) or not key or "=" in key or "\0" in key:
        raise faults.Refusal(
            f"{faults.shown(key)} is not a variable's name", "give a text without ="
        )
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if value is None:
        return None
    if isinstance(value, bool):
        raise faults.Refusal(
            f'"{key}" is {value}, and programs differ in how they read that',
            f'write the text that the program expects, as {key}="1" or {key}="true"',
        )
    if isinstance(value, (str, int, float)):
        if "\0" in str(value):
            raise faults.Refusal(f'"{key}" holds a NUL', "take the NUL out")
        return str(value)
    raise faults.Refusal(
        f'"{key}" is {faults.shown(value)}, a {type(value).__name__}',
        "give text or a number, or None to remove the variable",
    )


def env(value: object) -> tuple[tuple[str, str | None], ...]:
    """Return variables in the author's order."""
    if not isinstance(value, Mapping):
        raise faults.Refusal(f"{faults.shown(value)} is not a mapping", 'give {"NAME": "value"}')
    pairs = value.items()
    return tuple(faults.read_each(lambda pair: (pair[0], env_value(*pair)), pairs))


def address(value: object, *, host: str | None = None) -> tuple[str, int]:
    """Return (IPv4 address, port) of "address:port"; of a bare port if ``host`` is given."""
    hint = 'write "address:port" as "127.0.0.1:9000"'
    if host is not None and isinstance(value, int):
        return host, port_number(value)
    if not isinstance(value, str):
        raise faults.Refusal(f"{faults.shown(value)} is not an address", hint)
    left, colon, right = value.rpartition(":")
    if not colon or not right.isdigit():
        raise faults.Refusal(f"{faults.shown(value)} is not an address", hint)
    return ipv4("127.0.0.1" if left == "localhost" else left), port_number(int(right))


def ipv4(value: object) -> str:
    """Return an IPv4 address."""
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if match is None or any(int(part) > 255 for part in match.groups()):
        raise faults.Refusal(
            f"{faults.shown(value)} is not an IPv4 address", 'give one as "127.0.0.1" or "0.0.0.0"'
        )
    return match[0]


def port_number(value: object) -> int:
    """Return a port's number, 1 to 65535."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535:
        return value
    raise faults.Refusal(
        f"{faults.shown(value)} is not a port", "give a number from 1 to 65535, or Port(…)"
    )


def umask(value: object) -> int:
    """Return a file mode mask: a number, or octal digits as text."""
    if isinstance(value, str):
        try:
            value = int(value, 8)
        except ValueError:
            value = None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 0o777:
        raise faults.Refusal("it is not a file mode mask", 'give octal digits as "022" or 0o022')
    return value


def user(value: object) -> str:
    """Return a user's name or number as text."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return str(value)
    return text(value)


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """Tell whether a value is a list or a tuple."""
    return isinstance(value, (list, tuple))


def hooks(value: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return hooks as (when, argv), several of one moment in order."""
    moments = ("before_start", "after_ready", "before_stop")
    if not isinstance(value, Mapping):
        raise faults.Refusal(
            f"{faults.shown(value)} is not a mapping", 'give {"before_start": ["prog", "--flag"]}'
        )
    found: list[tuple[str, object]] = []
    for moment, commands in value.items():
        several = is_list(commands) and commands and all(is_list(one) for one in commands)
        found.extend((moment, one) for one in (commands if several else [commands]))
    return tuple(faults.read_each(lambda p: (one_of(p[0], moments), argv(p[1])), found))


def volume(value: object, folder: str) -> services.Volume:
    """Return a mount of "name:/path", "./dir:/path[:ro]" or tmpfs("/path")."""
    hint = 'write "name:/path", "./dir:/path:ro" or tmpfs("/path")'
    if isinstance(value, values.Tmpfs):
        return services.Volume(kind="tmpfs", source="", path=text(value.values["path"]))
    if not isinstance(value, str):
        raise faults.Refusal(f"{faults.shown(value)} is not a volume", hint)
    source, *rest = value.split(":")
    if (
        not source
        or not rest
        or not rest[0].startswith("/")
        or rest[1:] not in ([], ["ro"], ["rw"])
    ):
        raise faults.Refusal(f"{faults.shown(value)} is not a volume", hint)
    is_path = source.startswith((".", "/", "~"))
    return services.Volume(
        kind="bind" if is_path else "named",
        source=absolute(source, folder) if is_path else source,
        path=rest[0],
        is_read_only=rest[1:] == ["ro"],
    )
