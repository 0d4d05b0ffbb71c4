"""`stackdsl lab …`: names, arguments, options. What they do is imported when they are called."""

import sys
from typing import Annotated

import typer
from typer.core import TyperGroup

_HELP = """Build a small internet on this machine and run stacks in it.

Sites, routers, uplinks and hosts are declared in a topology file. No packet leaves the lab, and
nothing of it outlives the command that built it.
"""

TopologyOption = Annotated[
    str | None,
    typer.Option(
        "--topology", metavar="FILE", help="The lab to build; for shop.py, shop_lab.py if not said."
    ),
]
LabOption = Annotated[
    str | None, typer.Option("--lab", metavar="NAME", help="Which lab, if several are up.")
]
UserOption = Annotated[
    str | None, typer.Option("--user", metavar="NAME", help="As whom; the host's account else.")
]


def make(group: type[TyperGroup]) -> typer.Typer:
    """Return the group of commands; ``group`` is how groups find theirs."""
    app = typer.Typer(cls=group, rich_markup_mode=None, help=_HELP)
    app.callback(invoke_without_command=True)(_explain)
    for name, command in (
        ("run", run),
        ("up", up),
        ("shell", shell),
        ("exec", exec_),
        ("status", status),
    ):
        app.command(name=name)(command)
    return app


def _explain(context: typer.Context) -> None:
    """Say what there is where no command is named."""
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(2)


def run(
    *,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STACK] [SERVICE]...", help="A file; may be left out."),
    ] = None,
    topology: TopologyOption = None,
    stack: Annotated[
        str | None,
        typer.Option("--stack", metavar="STACK", help="The stack, whatever the words are."),
    ] = None,
    copy: Annotated[
        str | None,
        typer.Option("--copy", metavar="NAME", help="A copy beside the run: stack@NAME."),
    ] = None,
    until_ready: Annotated[
        bool, typer.Option("--until-ready", help="Stop, with 0, once everything is ready.")
    ] = False,
    debug: Annotated[
        str | None,
        typer.Option(
            "--debug",
            metavar="SERVICE",
            help="Its deadlines and liveness are off; it has this terminal.",
        ),
    ] = None,
) -> int:
    """Build a lab and run a stack inside, until it ends or Ctrl-C.

    ssh("db") is the lab's host db. Options are those of `stackdsl run`; so is the exit code.
    """
    from stackdsl.cli import labs

    options = [] if copy is None else ["--copy", copy]
    options += ["--until-ready"] if until_ready else []
    options += [] if debug is None else ["--debug", debug]
    return labs.run(words or [], stack, topology, options)


def up(
    *,
    topology: TopologyOption = None,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STACK]", help="The stack whose topology it is."),
    ] = None,
) -> int:
    """Build a lab and keep it up, until Ctrl-C."""
    from stackdsl.cli import labs

    return labs.up(words or [], topology)


def shell(
    *,
    host: Annotated[str, typer.Argument(metavar="HOST")],
    lab: LabOption = None,
    user: UserOption = None,
) -> int:
    """Open a shell on a host of a lab that is up."""
    from stackdsl.cli import labs

    return labs.shell(host, lab, user)


def exec_(
    *,
    words: Annotated[list[str], typer.Argument(metavar="HOST -- ARGV...")],
    lab: LabOption = None,
    user: UserOption = None,
) -> int:
    """Run a command on a host of a lab that is up, as its account.

    With this terminal; its exit code is ours.
    """
    from stackdsl.cli import labs

    return labs.execute(words, lab, user)


def status(
    *,
    lab: LabOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Show the labs that are up, their sites and hosts."""
    from stackdsl.cli import labs

    return labs.status(lab, as_json=as_json)
