"""Frozen model data as JSON values and back: a dataclass is an object with its class name at "$".

Laws: only classes of `stackdsl.model` travel; unknown names are refused.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from stackdsl.model import (
    errors,
    events,
    facts,
    places,
    plans,
    probes,
    reports,
    requests,
    services,
    specs,
    stacks,
    states,
)

_MODULES = (
    events, facts, places, plans, probes, reports, requests, services, specs, stacks, states,
)  # fmt: skip
_CLASSES: dict[str, type[Any]] = {}
_FIELDS: dict[type[Any], tuple[str, ...]] = {}
for _module in _MODULES:
    for _value in vars(_module).values():
        is_class = isinstance(_value, type) and is_dataclass(_value)
        if is_class and _value.__module__ == _module.__name__:
            _key = f"{_module.__name__.rpartition('.')[2]}.{_value.__name__}"
            _CLASSES[_key] = _value
            _FIELDS[_value] = tuple(f.name for f in fields(_value))
_KEYS = {cls: key for key, cls in _CLASSES.items()}


def encode(value: object) -> Any:
    """Return ``value`` as JSON values.

    Raises:
        InternalError: something in it does not travel.
    """
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    key = _KEYS.get(type(value))
    if key is not None:
        encoded: dict[str, Any] = {"$": key}
        for name in _FIELDS[type(value)]:
            encoded[name] = encode(getattr(value, name))
        return encoded
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
        cls = _CLASSES.get(key)
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
        {**one.fields(), "family": type(one).__name__, "frames": one.frames}
        for one in errors.flatten(error)
    ]


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
