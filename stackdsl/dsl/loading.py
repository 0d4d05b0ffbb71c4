"""Loading: from a file or module of the author's to a checked stack; all faults told at once."""

import os
import sys
import types
from collections.abc import Callable
from typing import Any, TypeVar

from stackdsl.dsl import (
    checking,
    collecting,
    faults,
    frames,
    importing,
    ledgers,
    reading,
    rehearsing,
    settings,
    written,
)
from stackdsl.model import errors, services, stacks

S = TypeVar("S", bound=stacks.StackModel)

_EXAMPLE = """declare a service, as
from stackdsl import Me, service
@service(port=8080)
def web(me: Me):
    return ["python3", "-m", "http.server", "--bind", me.bind, str(me.port)]"""


def load(
    target: str | os.PathLike[str] | types.ModuleType,
    *,
    stack_class: Callable[..., S] = stacks.StackModel,  # type: ignore[assignment] # a default of S
) -> S:
    """Return the checked stack of a file (executed afresh) or of a module (as it is).

    ``stack_class`` is called with the keywords of `StackModel`.

    Raises:
        UsageError: there is no such file.
        DefinitionError, StackErrors: everything that is wrong with the stack.
    """
    if isinstance(target, types.ModuleType):
        return load_namespace(target.__dict__, stack_class=stack_class)
    file = os.path.abspath(os.path.expanduser(os.fspath(target)))
    _check_file(file)
    source = _read_source(file)
    context = importing.Context(os.path.dirname(file))
    noted: list[ledgers.Ledger] = []
    token = ledgers.touched.set(noted)
    shown = faults.display(file)
    try:
        module = context.execute(file, source)
    except (Exception, SystemExit) as problem:  # noqa: BLE001 - user code
        raise frames.blame(
            problem,
            code=_code_of(problem),
            thing=f'load "{shown}"',
            fallback=services.Where(file=shown, line=1),
            do=_advice_for(problem),
            secrets=[secret for ledger in noted for secret in ledger.secrets],
        ) from None
    finally:
        ledgers.touched.reset(token)
    return _build(module.__dict__, file, context, noted, stack_class)


def load_namespace(
    namespace: dict[str, Any],
    *,
    stack_class: Callable[..., S] = stacks.StackModel,  # type: ignore[assignment] # a default of S
) -> S:
    """Return the checked stack of a living module's globals, nothing executed.

    Raises:
        DefinitionError, StackErrors: everything that is wrong with the stack.
    """
    file = namespace.get("__file__")
    path = os.path.abspath(file) if isinstance(file, str) else None
    folder = written.folder_of(namespace) + os.sep
    noted = [
        ledger
        for module in list(sys.modules.values())
        if (getattr(module, "__file__", None) or "").startswith(folder)
        and (ledger := ledgers.peek(module.__dict__)) is not None
    ]
    return _build(namespace, path, importing.Context(""), noted, stack_class)


def _build(
    namespace: dict[str, Any],
    file: str | None,
    context: importing.Context,
    noted: list[ledgers.Ledger],
    stack_class: Callable[..., S],
) -> S:
    found = faults.Faults()
    own = ledgers.peek(namespace)
    given = _only_settings(own.settings if own is not None else [], found)
    shown = faults.display(file) if file else str(namespace.get("__name__", "stack"))
    settled = settings.read(given, settings.stem_of(file), found)
    collection = collecting.Collection(namespace, given)
    collection.add(collecting.visible(namespace))
    if not collection.entries and not found:
        what = f'cannot load "{shown}": it declares no service and no task'
        where = services.Where(file=shown, line=1)
        missed = [str(one.name) for ledger in noted for one in ledger.declarations]
        why = f"modules beside it declare {faults.quoted(missed)}; import them by name"
        found.add(where, "definition.empty", what, why=why if missed else "", do=_EXAMPLE)
    folder = written.folder_of(namespace)
    read, flawed = read_entries(
        collection.entries, collection, context, folder=folder, given=given, found=found
    )
    ledgers_met = _ledgers(collection, noted, own)
    for ledger in ledgers_met:
        found.extend(ledger.faults)
    checking.check(read, found)
    if found:
        rehearsing.rehearse(read, flawed, found)
    found.raise_all()
    return stack_class(
        name=settled.name,
        file=file,
        folder=folder,
        services=read,
        network=settled.network,
        crash=settled.crash,
        log_limit_bytes=settled.log_limit_bytes,
        secrets=tuple(dict.fromkeys(s for ledger in ledgers_met for s in ledger.secrets)),
    )


def read_entries(
    entries: list[collecting.Entry],
    collection: collecting.Collection,
    context: importing.Context,
    *,
    folder: str,
    given: settings.StackSettings | None,
    found: faults.Faults,
) -> tuple[tuple[services.Service, ...], set[int]]:
    """Return the services that declarations stand for, and the ids of those with faults of their
    own; faults go to ``found``."""
    where = None if given is None else given.where(settings.label(given))
    read: list[services.Service] = []
    flawed: set[int] = set()
    for entry in entries:
        reader = reading.Reader(entry, collection, context, folder=folder, settings_where=where)
        read.append(reader.read())
        found.extend(reader.found)
        if reader.found:
            flawed.add(id(read[-1]))
    return tuple(read), flawed


def _only_settings(
    given: list[settings.StackSettings], found: faults.Faults
) -> settings.StackSettings | None:
    for second in given[1:]:
        found.add(
            second.where("Stack"),
            "definition.second-stack",
            f"cannot read a second Stack(…): the first is on line {given[0].line}",
            do="keep one Stack(…) in a module",
        )
    return given[0] if given else None


def _ledgers(
    collection: collecting.Collection, noted: list[ledgers.Ledger], own: ledgers.Ledger | None
) -> list[ledgers.Ledger]:
    """Return the ledgers that a stack's values came from, its module's own first."""
    namespaces = [entry.declaration.namespace for entry in collection.entries]
    met = [own, *noted, *(ledgers.peek(namespace) for namespace in namespaces)]
    return list({id(ledger): ledger for ledger in met if ledger is not None}.values())


def _check_file(file: str) -> None:
    if os.path.isfile(file):
        if not file.endswith(".py"):
            raise errors.UsageError(
                "usage.not-python",
                f'cannot load "{faults.display(file)}": its name does not end in .py',
                do="give a stack written in Python, as stack.py",
            )
        return
    folder, name = os.path.split(file)
    files: list[str] = []
    if os.path.isdir(file):
        folder, fact = file, "it is a folder"
    else:
        fact = "there is no such file"
    if os.path.isdir(folder):
        files = sorted(one for one in os.listdir(folder) if one.endswith(".py"))
    listed = f'python files in "{faults.display(folder)}": {", ".join(files[:10])}' if files else ""
    raise errors.UsageError(
        "usage.no-file",
        f'cannot load "{faults.display(file)}": {fact}',
        why=listed,
        do=f"{faults.nearest(name, files)}give the path of a stack's file",
    )


def _read_source(file: str) -> bytes:
    try:
        with open(file, "rb") as opened:
            return opened.read()
    except OSError as problem:
        raise errors.UsageError(
            "usage.unreadable",
            f'cannot load "{faults.display(file)}": {problem.strerror}',
            do="make the file readable",
        ) from None


def _code_of(problem: BaseException) -> str:
    if isinstance(problem, SyntaxError):
        return "definition.syntax"
    return "definition.import" if isinstance(problem, ImportError) else "definition.raised"


def _advice_for(problem: BaseException) -> str:
    if isinstance(problem, SyntaxError):
        return "correct the line"
    if isinstance(problem, ImportError):
        return (
            "install what is missing where stackdsl runs, or correct the name;"
            " modules beside the stack's file are found"
        )
    if isinstance(problem, SystemExit):
        return "take the exit out: a stack's file only declares"
    return "correct the line; a stack's file is executed whenever the stack is loaded"
