"""Frozen data classes that cost little to define: what `dataclasses.dataclass` means, sooner.

The standard decorator compiles six functions a class, half a millisecond each time a program
starts; a stack's words are some eighty classes, on every command and every node. This one compiles
only ``__init__``, and that when it is first wanted. Same meaning for what is supported:
``frozen=True, slots=True, kw_only=True``, defaults, ``field(default_factory=…)``;
`dataclasses.replace`, `fields` and `asdict` work.
"""

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:  # to a type checker they are the standard ones
    from dataclasses import dataclass, field
else:
    T = TypeVar("T")
    _MISSING = object()

    class _Factory:
        """A default that is made for each instance."""

        __slots__ = ("make",)

        def __init__(self, make):  # noqa: ANN001, ANN204 - typed above
            self.make = make

    def field(*, default_factory):  # noqa: ANN001, ANN201 - typed above
        """Return a field whose default is made for each instance."""
        return _Factory(default_factory)

    def dataclass(*, frozen, slots, kw_only):  # noqa: ANN001, ANN201 - typed above
        """Return the decorator; all three must be true, as everywhere here."""
        if not (frozen and slots and kw_only):
            message = "only frozen, slotted, keyword-only data classes are made here"
            raise TypeError(message)
        return _make

    def _make(cls):  # noqa: ANN001, ANN202 - typed above
        own = {
            name: cls.__dict__.get(name, _MISSING)
            for name, kind in cls.__dict__.get("__annotations__", {}).items()  # noqa: RUF063 - inspect is slow
            if kind is not ClassVar and getattr(kind, "__origin__", None) is not ClassVar
        }
        inherited = {}
        for base in reversed(cls.__mro__[1:]):
            inherited |= base.__dict__.get("_data_defaults", {})
        defaults = inherited | own
        body = {k: v for k, v in cls.__dict__.items() if k not in own}
        body.pop("__dict__", None)
        body.pop("__weakref__", None)
        body |= _METHODS
        body |= {
            "__slots__": tuple(name for name in own if name not in inherited),
            "__match_args__": (),
            "__dataclass_fields__": _FIELDS,
            "_data_defaults": defaults,
            "_data_names": tuple(defaults),
        }
        made = type(cls)(cls.__name__, cls.__bases__, body)
        made.__qualname__ = cls.__qualname__
        made.__init__ = _make_first_init(made, defaults)
        return made

    def _make_first_init(cls, defaults):  # noqa: ANN001, ANN202 - typed above
        """Return an ``__init__`` that compiles the class's own when the first instance is made: a
        command makes instances of a third of the classes that it loads."""

        def __init__(self, **values):  # noqa: ANN001, ANN003, ANN202, N807 - a method
            cls.__init__ = _make_init(cls, defaults)
            cls.__init__(self, **values)

        return __init__

    def _make_init(cls, defaults):  # noqa: ANN001, ANN202 - typed above
        """Compile ``__init__``: the only function whose text depends on the fields."""
        scope = {"_set": object.__setattr__, "_missing": _MISSING}
        heads, lines = [], []
        for name, default in defaults.items():
            if default is _MISSING:
                heads.append(name)
            elif isinstance(default, _Factory):
                scope[f"_make_{name}"] = default.make
                heads.append(f"{name}=_missing")
                lines.append(f" if {name} is _missing: {name} = _make_{name}()")
            else:
                scope[f"_default_{name}"] = default
                heads.append(f"{name}=_default_{name}")
            lines.append(f" _set(self, {name!r}, {name})")
        head = ", ".join(["self", *(["*", *heads] if heads else [])])
        exec("\n".join([f"def __init__({head}):", *(lines or [" pass"])]), scope)  # noqa: S102 - our own names
        init = scope["__init__"]
        init.__qualname__ = f"{cls.__qualname__}.__init__"
        return init

    class _LazyFields:
        """Makes what the standard module asks for when it first asks."""

        def __get__(self, instance, cls):  # noqa: ANN001, ANN204 - a descriptor
            import dataclasses

            owner = next(base for base in cls.__mro__ if "_data_names" in base.__dict__)
            made = []
            for name, default in owner._data_defaults.items():  # noqa: SLF001 - our own
                if default is _MISSING:
                    made.append((name, Any, dataclasses.field()))
                elif isinstance(default, _Factory):
                    made.append((name, Any, dataclasses.field(default_factory=default.make)))
                else:
                    made.append((name, Any, dataclasses.field(default_factory=lambda d=default: d)))
            shadow = dataclasses.make_dataclass(owner.__name__, made, kw_only=True)
            owner.__dataclass_fields__ = shadow.__dataclass_fields__
            return shadow.__dataclass_fields__

    _FIELDS = _LazyFields()

    def _repr(self):  # noqa: ANN001, ANN202 - a method
        values = ", ".join([f"{name}={getattr(self, name)!r}" for name in self._data_names])
        return f"{self.__class__.__qualname__}({values})"

    def _eq(self, other):  # noqa: ANN001, ANN202 - a method
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._data_names)

    def _hash(self):  # noqa: ANN001, ANN202 - a method
        return hash(tuple([getattr(self, name) for name in self._data_names]))

    def _refuse(self, name, *_):  # noqa: ANN001, ANN002, ANN202, ARG001 - a method
        import dataclasses

        message = f"cannot assign to field {name!r}"
        raise dataclasses.FrozenInstanceError(message)

    def _getstate(self):  # noqa: ANN001, ANN202 - a method
        return [getattr(self, name) for name in self._data_names]

    def _setstate(self, state):  # noqa: ANN001, ANN202 - a method
        for name, value in zip(self._data_names, state, strict=True):
            object.__setattr__(self, name, value)

    _METHODS = {
        "__repr__": _repr,
        "__eq__": _eq,
        "__hash__": _hash,
        "__setattr__": _refuse,
        "__delattr__": _refuse,
        "__getstate__": _getstate,
        "__setstate__": _setstate,
    }


def field_names(cls: type[Any]) -> tuple[str, ...] | None:
    """Return the names of a data class's fields, in order; None: it is not one of these."""
    names: tuple[str, ...] | None = cls.__dict__.get("_data_names")
    return names


def field_defaults(cls: type[Any]) -> dict[str, object] | None:
    """Return the default of each field, in order, an object like no other where there is none;
    None: it is no data class of ours."""
    defaults: dict[str, object] | None = cls.__dict__.get("_data_defaults")
    return defaults


__all__ = ["dataclass", "field", "field_defaults", "field_names"]
