"""Frozen model data as JSON values and back: a dataclass is an object with its class name at "$";
fields that hold their defaults are left out.

Laws: only classes of `stackdsl.model` travel; unknown names are refused.
"""

import importlib
from collections.abc import Mapping
from typing import Any

from stackdsl.model import data, errors

# Loaded with the first class of each: a node's start would pay for plans that it never sees.
_PACKAGE = "stackdsl.model."
_MODULES = (
    "causes", "events", "facts", "places", "plans", "probes", "reports", "requests", "services",
    "specs", "stacks", "states",
)  # fmt: skip
_CLASSES: dict[str, type[Any]] = {}
_FIELDS: dict[type[Any], tuple[tuple[str, object], ...]] = {}
_KEYS: dict[type[Any], str | None] = {}
_PLAIN = frozenset((str, int, float, bool, type(None)))


def _key_of(cls: type[Any]) -> str | None:
    """Return the name that a class travels under, None if it does not travel."""
    if cls not in _KEYS:
        module = cls.__module__.removeprefix(_PACKAGE)
        defaults = data.field_defaults(cls) if module in _MODULES else None
        _KEYS[cls] = None if defaults is None else f"{module}.{cls.__name__}"
        if defaults is not None:
            _FIELDS[cls] = tuple(defaults.items())
    return _KEYS[cls]


def _find_class(key: str) -> type[Any] | None:
    """Return the class that travels under a name."""
    if key not in _CLASSES:
        module, _, name = key.partition(".")
        if module not in _MODULES:
            return None
        cls = getattr(importlib.import_module(_PACKAGE + module), name, None)
        if not isinstance(cls, type) or _key_of(cls) != key:
            return None
        _CLASSES[key] = cls
    return _CLASSES[key]


def encode(value: object) -> Any:
    """Return ``value`` as JSON values.

    Raises:
        InternalError: something in it does not travel.
    """
    cls = value.__class__
    if cls in _PLAIN:
        return value
    if cls is tuple or cls is list:
        items: Any = value
        return [item if item.__class__ in _PLAIN else encode(item) for item in items]
    key = _key_of(cls)
    if key is not None:
        encoded: dict[str, Any] = {"$": key}
        for name, default in _FIELDS[cls]:
            field = getattr(value, name)
            if field is default or (field.__class__ is default.__class__ and field == default):
                continue
            encoded[name] = field if field.__class__ in _PLAIN else encode(field)
        return encoded
    if isinstance(value, str | int | float | tuple | list):  # a subclass of one: an enumeration
        return value if isinstance(value, str | int | float) else [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {str(k): encode(v) for k, v in value.items()}
    raise errors.InternalError(
        "internal.codec",
        f"cannot send {type(value).__name__!r}: it is no wire type",
        do="this is a bug of stackdsl: please report it",
    )


def decode(value: Any) -> Any:
    """Return what `encode` was given; lists come back as tuples.

    Raises:
        InternalError: the class is unknown, or the fields are not its own.
    """
    if isinstance(value, list):
        return tuple([decode(item) for item in value])
    if isinstance(value, dict):
        key = value.get("$")
        if key is None:
            return {k: decode(v) for k, v in value.items()}
        cls = _find_class(key)
        try:
            if cls is None:
                raise TypeError(f"unknown class {key!r}")
            return cls(**{k: decode(v) for k, v in value.items() if k != "$"})
        except TypeError as error:
            raise errors.InternalError(
                "internal.codec",
                f"cannot read a message: {error}",
                do="both ends must be the same version of stackdsl",
            ) from error
    return value


_ERROR_FAMILIES: dict[str, type[errors.StackError]] = {
    cls.__name__: cls
    for cls in (
        errors.StackError,
        errors.DefinitionError,
        errors.UsageError,
        errors.PlanError,
        errors.HostError,
        errors.ServiceError,
        errors.TeardownError,
        errors.InternalError,
    )
}


def encode_error(error: errors.StackError) -> list[dict[str, Any]]:
    """Return an error (or several in one) as JSON values."""
    return [
        {**one.fields(), "family": _family_of(one), "frames": one.frames}
        for one in errors.flatten(error)
    ]


def _family_of(error: errors.StackError) -> str:
    """Return the family's name: a kind that one module has for itself is one of its family."""
    names = (cls.__name__ for cls in type(error).__mro__)
    return next(name for name in names if name in _ERROR_FAMILIES)


def decode_error(value: list[dict[str, Any]]) -> errors.StackError:
    """Return the error that `encode_error` was given."""
    decoded = [
        _ERROR_FAMILIES.get(one["family"], errors.InternalError)(
            one["code"],
            one["what"],
            where=one["where"],
            why=one["why"],
            do=one["do"],
            lines=one["lines"],
            frames=one["frames"],
        )
        for one in value
    ]
    return decoded[0] if len(decoded) == 1 else errors.StackErrors(decoded)
