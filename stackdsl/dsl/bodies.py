"""Bodies: the author's functions made into what the planner calls, their results into commands."""

from collections.abc import Mapping
from typing import Any

from stackdsl.dsl import (
    conversions,
    faults,
    frames,
    importing,
    ledgers,
    signatures,
    values,
    written,
)
from stackdsl.model import errors, refs, services

_HINT = 'return a list of words as ["prog", "--flag"], a string, or Command(argv, env=…, cwd=…)'
_NO_COMMAND = (
    "a body does not run the program, it returns its command: "
    'return a list of words as ["uvicorn", "shop:app"]'
)


class AuthorBody:
    """An author's function as the planner calls it: with values by parameter (`Me` under "me").

    The call has the author's modules in place and raises only StackErrors. ``is_process``: the
    place needs a command.
    """

    __slots__ = ("_context", "_declaration", "_folder", "_is_process", "_signature")

    def __init__(
        self,
        declaration: written.Declaration,
        signature: signatures.Signature,
        context: importing.Context,
        *,
        folder: str,
        is_process: bool,
    ) -> None:
        self._declaration = declaration
        self._signature = signature
        self._context = context
        self._folder = folder
        self._is_process = is_process

    def moved(self, *, is_process: bool) -> "AuthorBody":
        """Return the same body for another place."""
        return AuthorBody(
            self._declaration,
            self._signature,
            self._context,
            folder=self._folder,
            is_process=is_process,
        )

    def __call__(self, given: Mapping[str, refs.Ref | refs.Me]) -> services.Command | None:
        """Return the command, or None where the place needs none.

        Raises:
            StackError: the function raised, or returned what is no command.
        """
        declaration = self._declaration
        label = f'{declaration.kind} "{declaration.name}"'
        keys = self._signature.keys
        listed = [given[keys[name]] for name in self._signature.positional]
        named = {name: given[keys[name]] for name in self._signature.named}
        assert declaration.function is not None
        noted: list[ledgers.Ledger] = []
        token = ledgers.touched.set(noted)
        try:
            with self._context.active():
                returned = declaration.function(*listed, **named)
        except (Exception, SystemExit) as problem:  # noqa: BLE001 - user code
            raise frames.blame(
                problem,
                code="definition.body-raised",
                thing=f"call the body of {label}",
                fallback=declaration.where,
                do="correct the function; it is called while planning, with plain values",
                secrets=[secret for ledger in noted for secret in ledger.secrets],
            ) from None
        finally:
            ledgers.touched.reset(token)
        return read_command(
            returned,
            label,
            declaration.where,
            folder=self._folder,
            is_process=self._is_process,
            secrets=_take_secrets(noted),
        )


def make_constant(command: services.Command | None) -> services.Body:
    """Return a body that has one answer."""

    def body(_: Mapping[str, refs.Ref | refs.Me]) -> services.Command | None:
        return command

    return body


def read_command(
    returned: object,
    label: str,
    where: services.Where,
    *,
    folder: str,
    is_process: bool,
    secrets: tuple[str, ...] = (),
) -> services.Command | None:
    """Return the command that a body's result stands for; None where the place needs none.

    Raises:
        DefinitionError: it is no command, or a process has none.
    """
    if returned is None:
        if not is_process:
            return None
        raise errors.DefinitionError(
            "definition.no-command",
            f"cannot start {label}: its body returned nothing",
            where=str(where),
            why="a process needs a program to run",
            do=_NO_COMMAND,
        )
    try:
        return convert_command(returned, folder=folder if is_process else None, secrets=secrets)
    except faults.Refusal as refusal:
        close = getattr(returned, "close", None)
        if type(returned).__name__ in {"coroutine", "generator"} and callable(close):
            close()  # or Python warns that it was never awaited
        raise errors.DefinitionError(
            "definition.bad-command",
            f"cannot read the command of {label}: {refusal.fact}",
            where=str(where),
            do=_HINT if "not a command" in refusal.fact else refusal.do,
        ) from None


def convert_command(
    given: object, *, folder: str | None, secrets: tuple[str, ...] = ()
) -> services.Command:
    """Return the model's command of a list, a string or a Command(…); its folder starts at
    ``folder``, or stays as it is for None.

    Raises:
        Refusal: it is none of these.
    """
    if not isinstance(given, values.Command):
        return services.Command(argv=conversions.argv(given), secrets=secrets)
    conversions.refuse_unknown(given)
    inside: dict[str, Any] = given.values
    cwd = inside["cwd"]
    return services.Command(
        argv=conversions.argv(inside["argv"]),
        env=() if inside["env"] is None else conversions.env(inside["env"]),
        cwd=None if cwd is None else _read_folder(cwd, folder),
        secrets=secrets,
    )


def _read_folder(given: object, folder: str | None) -> str:
    return conversions.path(given) if folder is None else conversions.absolute(given, folder)


def _take_secrets(noted: list[ledgers.Ledger]) -> tuple[str, ...]:
    """Return the secrets asked for during a call, the ones of the load included.

    Raises:
        DefinitionError: one of them is not set.
    """
    for ledger in noted:
        found, ledger.faults = ledger.faults, faults.Faults()
        found.raise_all()
    return tuple(dict.fromkeys(secret for ledger in noted for secret in ledger.secrets))
