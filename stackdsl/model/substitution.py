"""Substitution: ``${db.addr}`` and its like in templates, replaced by what a caller is told.

The language: ``$$`` is a dollar; ``${NAME.ATTRIBUTE}`` speaks of a dependency or of ``me``;
``${VARIABLE}`` and ``${VARIABLE:-default}`` of the environment; any other ``$`` is itself, so that
nginx and shells keep their ``$name``.
"""

import re
from collections.abc import Mapping

from stackdsl.model import errors, refs
from stackdsl.model.data import dataclass

_TOKEN = re.compile(r"\$(?:\$|\{([^}\n]*)(\}?))")
_REFERENCE = re.compile(r"[A-Za-z_][\w-]*(?:\.[\w-]+)+")
_VARIABLE = re.compile(r"([A-Za-z_]\w*)(?::-(.*))?")

_OF_PORT = ("addr", "host", "port", "url")
_OF_REF = ("addr", "host", "name", "output", "port", "ports", "replicas", "url")
_OF_ME = ("addr", "bind", "dir", "host", "index", "name", "port", "ports", "replicas", "url")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """``${name.path…}`` and where it stands ("file:line:column")."""

    name: str
    path: tuple[str, ...]
    where: str


def find_references(text: str, where: str = "") -> list[Reference]:
    """Return every ``${name.attribute}`` of a text, in order.

    Raises:
        DefinitionError: one is not closed, empty, or has an attribute that nothing has.
    """
    found = []
    for match in _TOKEN.finditer(text):
        if match[1] is None:
            continue
        place = _place(text, match, where)
        _check_shape(match, place)
        if _REFERENCE.fullmatch(match[1]):
            name, *path = match[1].split(".")
            known = _OF_ME if name == "me" else _OF_REF
            if path[0] not in known:
                raise _no_attribute(match[0], path[0], known, place)
            found.append(Reference(name=name, path=tuple(path), where=place))
    return found


def names_used(text: str) -> set[str]:
    """Return the names of the dependencies that a text speaks of, ``me`` among them."""
    return {
        match[1].partition(".")[0]
        for match in _TOKEN.finditer(text)
        if match[1] and _REFERENCE.fullmatch(match[1])
    }


def list_references(text: str) -> list[tuple[str, str]]:
    """Return (name, token) of what reads as ``${name.attribute}`` in a text of any language."""
    found = []
    for match in _TOKEN.finditer(text):
        if match[2] and _REFERENCE.fullmatch(match[1]):
            name, attribute, *_ = match[1].split(".")
            if attribute in (_OF_ME if name == "me" else _OF_REF):
                found.append((name, match[0]))
    return found


def expand_variables(text: str, variables: Mapping[str, str], where: str = "") -> str:
    """Return a text with ``${VARIABLE}`` replaced; ``$$`` and references stay as they are.

    Raises:
        DefinitionError: a variable is not set and has no default.
    """

    def replace(match: re.Match[str]) -> str:
        if match[1] is None or _REFERENCE.fullmatch(match[1]):
            return match[0]
        place = _place(text, match, where)
        _check_shape(match, place)
        return _variable(match, variables, place).replace("$", "$$")

    return _TOKEN.sub(replace, text)


def substitute(
    text: str,
    values: Mapping[str, refs.Ref | refs.Me],
    where: str = "",
    variables: Mapping[str, str] | None = None,
) -> str:
    """Return a text with everything replaced.

    ``values`` are Refs by the dependency's name (``order_api`` answers to ``order-api``) and `Me`
    under "me"; ``where`` is the text's file, to which line and column are added.

    Raises:
        DefinitionError: an unknown name or attribute, a variable that is not set.
    """
    known = {name.replace("_", "-"): value for name, value in values.items()}

    def replace(match: re.Match[str]) -> str:
        if match[1] is None:
            return "$"
        place = _place(text, match, where)
        _check_shape(match, place)
        if not _REFERENCE.fullmatch(match[1]):
            return _variable(match, variables or {}, place)
        name, *path = match[1].split(".")
        value = known.get(name.replace("_", "-"))
        if value is None:
            raise unknown_name(name, values, place)
        return _follow(value, path, match[0], place)

    return _TOKEN.sub(replace, text)


def unknown_name(
    name: str, names: Mapping[str, object] | set[str], where: str
) -> errors.StackError:
    """Return the error for a name that is none of ``names``."""
    guess = _nearest(name, list(names))
    listed = ", ".join(f'"{known}"' for known in sorted(names)) or "nothing"
    return errors.DefinitionError(
        "definition.unknown-name",
        f'cannot replace "${{{name}.…}}": "{name}" is not among the dependencies',
        where=where,
        why=f"told are {listed}",
        do=f'{guess}make "{name}" a parameter of the body (without one: needs=[planned("{name}")]),'
        ' or write "$$" for a dollar',
    )


def _place(text: str, match: re.Match[str], where: str) -> str:
    line = text.count("\n", 0, match.start()) + 1
    column = match.start() - (text.rfind("\n", 0, match.start()) + 1) + 1
    return f"{where}:{line}:{column}" if where else f"{line}:{column}"


def _check_shape(match: re.Match[str], place: str) -> None:
    inside = match[1]
    if match[2] and (_REFERENCE.fullmatch(inside) or _VARIABLE.fullmatch(inside)):
        return
    fact = "it is no reference" if match[2] else 'its "}" is missing'
    raise errors.DefinitionError(
        "definition.bad-reference",
        f'cannot replace "{match[0]}": {fact}',
        where=place,
        do='write "${name.addr}" or "${VARIABLE:-default}"; "$$" stands for a dollar',
    )


def _variable(match: re.Match[str], variables: Mapping[str, str], place: str) -> str:
    shape = _VARIABLE.fullmatch(match[1])
    assert shape is not None
    value = variables.get(shape[1])
    if shape[2] is not None:
        return value or shape[2]  # ":-" takes the default for an empty value too, as in sh
    if value is None:
        raise errors.DefinitionError(
            "definition.variable-unset",
            f'cannot replace "{match[0]}": variable "{shape[1]}" is not set',
            where=place,
            do=f'set it, write "${{{shape[1]}:-default}}", or "$${{{shape[1]}}}" to keep the text',
        )
    return value


def _follow(value: refs.Ref | refs.Me, path: list[str], token: str, place: str) -> str:
    known = _OF_ME if isinstance(value, refs.Me) else _OF_REF
    first, rest = path[0], path[1:]
    if first not in known:
        raise _no_attribute(token, first, known, place)
    try:
        if first == "ports" and rest:
            return _follow_port(value.ports, rest, token, place)
        if first == "replicas" and rest:
            return _follow_replica(value, rest, token, place)
        if rest or first in {"ports", "replicas"}:
            raise _no_attribute(token, ".".join(path), (f"{first}.NAME.addr",), place)
        return str(getattr(value, first))
    except errors.StackError as error:
        error.where = error.where or place
        raise


def _follow_port(ports: Mapping[str, refs.PortRef], path: list[str], token: str, place: str) -> str:
    port = ports.get(path[0])
    if port is None:
        raise _no_attribute(token, path[0], tuple(ports), place)
    if len(path) != 2 or path[1] not in _OF_PORT:
        raise _no_attribute(token, ".".join(path[1:]), _OF_PORT, place)
    return str(getattr(port, path[1]))


def _follow_replica(value: refs.Ref | refs.Me, path: list[str], token: str, place: str) -> str:
    replicas = value.replicas
    if not path[0].isdigit() or int(path[0]) >= len(replicas):
        choices = tuple(str(index) for index in range(len(replicas)))
        raise _no_attribute(token, path[0], choices, place)
    if len(path) < 2:
        raise _no_attribute(token, "", _OF_PORT, place)
    return _follow(replicas[int(path[0])], path[1:], token, place)


def _no_attribute(
    token: str, attribute: str, known: tuple[str, ...], place: str
) -> errors.StackError:
    listed = ", ".join(known) or "nothing"
    return errors.DefinitionError(
        "definition.unknown-attribute",
        f'cannot replace "{token}": there is no "{attribute}"',
        where=place,
        do=f"{_nearest(attribute, list(known))}give one of {listed}",
    )


def _nearest(name: str, names: list[str]) -> str:
    import difflib

    found = difflib.get_close_matches(name, sorted(names), n=1)
    return f'did you mean "{found[0]}"? ' if found else ""
