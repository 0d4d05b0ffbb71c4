"""Ledgers: what one author's module wrote down, kept in that module's own globals.

Laws: no state outlives a load; writing down never raises. In a notebook each cell has a ledger of
its own: run again, it is written anew, and of two cells that declare one name the later run counts.
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


class Notebook:
    """The ledgers of a notebook's cells, in the order in which the cells were last run."""

    __slots__ = ("_cells",)

    def __init__(self) -> None:
        self._cells: dict[object, tuple[object, Ledger]] = {}

    def open(self, shell: Any) -> Ledger:
        """Return the ledger of the cell that is being run, a new one at its first writing."""
        run = getattr(shell, "execution_count", None)
        key = _cell_id(shell) or run
        was, ledger = self._cells.get(key, (None, None))
        if ledger is None or was != run:
            self._cells.pop(key, None)
            ledger = Ledger()
            self._cells[key] = (run, ledger)
        return ledger

    def merge(self) -> Ledger:
        """Return what all cells say together."""
        merged = Ledger()
        for _, ledger in self._cells.values():
            renewed = {one.name for one in ledger.declarations}
            kept = [one for one in merged.declarations if one.name not in renewed]
            merged.declarations = kept + ledger.declarations
            merged.settings = ledger.settings or merged.settings
            merged.secrets += ledger.secrets
            merged.faults.extend(ledger.faults)
        return merged


def _cell_id(shell: Any) -> object:
    """Return what the front end calls the cell that is being run, None if it does not say."""
    parent = getattr(shell, "parent_header", None)
    metadata = parent.get("metadata") if isinstance(parent, dict) else None
    return metadata.get("cellId") if isinstance(metadata, dict) else None


def is_notebook(namespace: dict[str, Any]) -> bool:
    """Whether these are the globals of a notebook, or of another session of IPython's."""
    return callable(namespace.get("get_ipython")) and "__file__" not in namespace


def of(namespace: dict[str, Any]) -> Ledger:
    """Return the ledger of a module's globals; makes it on first use."""
    kept = namespace.get(NAME)
    if is_notebook(namespace):
        if not isinstance(kept, Notebook):
            kept = namespace[NAME] = Notebook()
        ledger = kept.open(namespace["get_ipython"]())
    elif isinstance(kept, Ledger):
        ledger = kept
    else:
        ledger = namespace[NAME] = Ledger()
    noted = touched.get()
    if noted is not None and ledger not in noted:
        noted.append(ledger)
    return ledger


def peek(namespace: dict[str, Any]) -> Ledger | None:
    """Return the ledger of a module's globals if there is one."""
    kept = namespace.get(NAME)
    if isinstance(kept, Notebook):
        return kept.merge()
    return kept if isinstance(kept, Ledger) else None
