"""The stack as its user holds it: the checked model, with the verbs that run it."""

import os
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from stackdsl.dsl import declarations, loading, selecting, settings
from stackdsl.model import errors, facts, masks, places, plans, stacks
from stackdsl.node import privileges
from stackdsl.plan import planning
from stackdsl.registry import places as folders
from stackdsl.session import naming

if TYPE_CHECKING:  # the runner is imported when something is run: loading and checking stay quick
    from typing import Unpack

    from stackdsl.dsl import keywords
    from stackdsl.session import hosting, runs


class Stack(stacks.StackModel):
    """A checked stack with its verbs.

    `load` makes it. ``Stack(name, network=…, on_crash=…, log_limit=…, **defaults)`` in a stack's
    file (at most once) sets its name and what holds for all of its services.
    """

    __slots__ = ()

    if TYPE_CHECKING:  # as authors call it

        def __init__(
            self, name: str | None = None, **given: Unpack[keywords.StackKeywords]
        ) -> None: ...

    else:

        def __init__(self, name: str | None = None, **given: Any) -> None:
            if "folder" in given:  # the fields of a checked stack, from `load` and `replace`
                super().__init__(name=name or "", **given)
                return
            settings.record(name, given, depth=1)
            super().__init__(name=str(name or ""), file=None, folder="")

    def only(self, *names: str) -> "Stack":
        """Return the stack with these services and what they need.

        Raises:
            UsageError: a name is unknown.
        """
        return selecting.only(self, *names)

    def without(self, *names: str) -> "Stack":
        """Return the stack without these services.

        Raises:
            UsageError: a name is unknown.
            DefinitionError: another service needs one of them.
        """
        return selecting.without(self, *names)

    def replace(self, **services: "declarations.Declaration | places.Place") -> "Stack":
        """Return the stack with services replaced by others, or put in another place."""
        return selecting.replace(self, **services)

    def plan(self, *, copy: str | None = None, seen: facts.Facts | None = None) -> plans.Plan:
        """Return the plan without looking at any host (``seen``: with what was seen).

        Raises:
            StackError: everything that is wrong with it.
        """
        run = naming.run_name(self.name, copy)
        folder = folders.run_folder(folders.state_root(), run)
        with masks.masked_errors(self.secrets):
            return planning.make_plan(self, seen or assume_facts(), run=run, folder=folder)

    def up(self, *, copy: str | None = None) -> "hosting.Up":
        """Return what runs the stack for the length of a ``with`` or ``async with`` block.

        It blocks until everything is ready, and gives everything back at the end; it is reaped
        if this process dies. ``copy`` names a copy beside another run of the stack.
        """
        from stackdsl.session import hosting

        return hosting.Up(self, reload=load, copy=copy)

    async def start(self, *, copy: str | None = None) -> "runs.AsyncRun":
        """Start the stack and return the run when everything is ready; ``await run.stop()`` ends
        it, and so does the end of this process.

        Raises:
            StackError: it could not be planned, or something failed; nothing is left behind.
        """
        from stackdsl.session import hosting

        return await hosting.Up(self, reload=load, copy=copy).open_async()

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Draw the graph of who needs whom, for notebooks (IPython calls this)."""
        from stackdsl.session import drawing  # only a notebook pays for it

        return drawing.draw_stack(self)

    def __iter__(self) -> Iterator[str]:
        return iter([service.name for service in self.services])


def assume_facts() -> facts.Facts:
    """Return what is known of machines without a look at any: only what we may do on this one."""
    here = facts.HostFacts(name="local", first_port=privileges.find_first_port())
    return facts.Facts(hosts=(here,), is_offline=True)


def load(target: "str | os.PathLike[str] | ModuleType") -> Stack:
    """Load a stack from its file or module: run the file, check everything.

    Raises:
        UsageError: there is no such file.
        DefinitionError: everything that is wrong with it, each with its line.
    """
    stack = loading.load(target, stack_class=Stack)
    if not isinstance(stack, Stack):
        raise errors.InternalError(
            "internal.load", "cannot load: another class came back", do="report this bug"
        )
    return stack
