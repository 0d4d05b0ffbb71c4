"""Collecting: which declarations make up a stack, and what a name means where it was written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stackdsl.dsl import ledgers, signatures, values, written


@dataclass(slots=True, eq=False)
class Entry:
    """A declaration in a stack: its keywords with the stack's defaults merged in (``inherited``
    are those that came from there), and its signature."""

    declaration: written.Declaration
    keywords: dict[str, Any]
    inherited: frozenset[str]
    signature: signatures.Signature


Scope = dict[str, written.Declaration]


class Collection:
    """All declarations of one stack, in order: its module's own, those it imports by name, and
    what those need."""

    def __init__(
        self,
        namespace: dict[str, Any],
        settings: written.StackSettings | None = None,
        *,
        outside: Mapping[str, written.Declaration] | None = None,
    ) -> None:
        """``outside``: what names mean that nothing here has, by `plain` name; not taken in."""
        self.entries: list[Entry] = []
        self._defaults = dict(settings.unknown) if settings is not None else {}
        self._scopes: dict[int, Scope] = {}
        self._root = namespace
        self._outside = outside or {}
        self._seen = {id(declaration) for declaration in self._outside.values()}

    def add(self, roots: list[written.Declaration]) -> None:
        """Take in declarations, and what they need."""
        queue = list(roots)
        position = 0
        while position < len(queue):
            declaration = queue[position]
            position += 1
            if id(declaration) in self._seen:
                continue
            self._seen.add(id(declaration))
            entry = self._enter(declaration)
            self.entries.append(entry)
            for reference in _references(entry):
                found = self.resolve(declaration, reference)
                if found is not None:
                    queue.append(found)

    def resolve(self, asking: written.Declaration, reference: object) -> written.Declaration | None:
        """Return what ``reference`` means in the module that defines ``asking``: what that module
        declares or imports by name, else what the stack's module does."""
        if isinstance(reference, written.Declaration):
            return self._renew(reference)
        if not isinstance(reference, str):
            return None
        key = plain(reference)
        return (
            self._scope(asking.namespace).get(key)
            or self._scope(self._root).get(key)
            or self._outside.get(key)
        )

    def _renew(self, declared: written.Declaration) -> written.Declaration:
        """Return what a notebook's cell says now where another cell still holds what it said."""
        if not ledgers.is_notebook(declared.namespace):
            return declared
        return self._scope(declared.namespace).get(plain(declared.name), declared)

    def names(self) -> list[str]:
        """Return the names of all that is declared here, for near misses."""
        declarations = [entry.declaration for entry in self.entries] + list(self._outside.values())
        return [str(declaration.name) for declaration in declarations]

    def _enter(self, declaration: written.Declaration) -> Entry:
        own = declaration.keywords
        keywords = own
        inherited: frozenset[str] = frozenset()
        if self._defaults:
            taken = {k: v for k, v in self._defaults.items() if k not in own}
            keywords = {**taken, **own}
            first, second = self._defaults.get("env"), own.get("env")
            if isinstance(first, dict) and isinstance(second, dict):
                keywords["env"] = {**first, **second}
            inherited = frozenset(taken)
        return Entry(declaration, keywords, inherited, signatures.read(declaration))

    def _scope(self, namespace: dict[str, Any]) -> Scope:
        scope = self._scopes.get(id(namespace))
        if scope is None:
            scope = {}
            for declaration in visible(namespace):
                scope.setdefault(plain(declaration.name), declaration)
            self._scopes[id(namespace)] = scope
        return scope


def visible(namespace: dict[str, Any]) -> list[written.Declaration]:
    """Return what a module declares, in order, then what it imports by name from others."""
    ledger = ledgers.peek(namespace)
    found = list(ledger.declarations) if ledger is not None else []
    known = {id(declaration) for declaration in found}
    for value in list(namespace.values()):
        if isinstance(value, written.Declaration) and id(value) not in known:
            known.add(id(value))
            # one of its own that is not in the ledger: a notebook's cell has taken it back
            if value.namespace is not namespace:
                found.append(value)
    return found


def plain(name: object) -> str:
    """Return a name in the form that is compared: ``order_api`` answers to ``order-api``."""
    return str(name).replace("_", "-")


def _references(entry: Entry) -> Iterator[object]:
    yield from entry.signature.dependencies
    for key in ("needs", "restart_with"):
        given = entry.keywords.get(key)
        if isinstance(given, (list, tuple)):
            for one in given:
                yield one.values["dependency"] if isinstance(one, values.Condition) else one
