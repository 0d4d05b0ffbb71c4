"""Ledgers: what one author's module wrote down, kept in that module's own globals.

Laws: no state outlives a load; writing down never raises.
"""

import contextvars
from typing import Any

from stackdsl.dsl import faults, written

NAME = "__stackdsl__"


class Ledger:
    """One module's declarations in the order of execution, its settings, secrets and faults."""

    __slots__ = ("declarations", "faults", "secrets", "settings")

    def __init__(self) -> None:
        self.declarations: list[written.Declaration] = []
        self.settings: list[written.StackSettings] = []
        self.secrets: list[str] = []
        self.faults = faults.Faults()


# The ledgers written to while a stack is loaded or a body is called: a secret may be asked for in
# a library that no declaration leads to.
touched: contextvars.ContextVar[list[Ledger] | None] = contextvars.ContextVar(
    "touched", default=None
)


def of(namespace: dict[str, Any]) -> Ledger:
    """Return the ledger of a module's globals; makes it on first use."""
    ledger = namespace.get(NAME)
    if not isinstance(ledger, Ledger):
        ledger = namespace[NAME] = Ledger()
    noted = touched.get()
    if noted is not None and ledger not in noted:
        noted.append(ledger)
    return ledger


def peek(namespace: dict[str, Any]) -> Ledger | None:
    """Return the ledger of a module's globals if there is one."""
    ledger = namespace.get(NAME)
    return ledger if isinstance(ledger, Ledger) else None
