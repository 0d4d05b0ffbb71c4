"""The commands: names, arguments, options. What they do is imported when they are called."""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from stackdsl.cli import direct, labcommands
from stackdsl.model import errors

_HELP = """Run one stack anywhere, mixed.

STACK is a file or a run's name. Left out: the only living run, else stack.py, else the only file in
stacks/. The first word is the STACK if it is an existing file or a living run; --stack decides.
A living run that nobody named, and whose file is not in or below this folder, is told on stderr.
"""

StackOption = Annotated[
    str | None, typer.Option("--stack", metavar="STACK", help="The stack, whatever the words are.")
]
CopyOption = Annotated[
    str | None, typer.Option("--copy", metavar="NAME", help="A copy beside the run: stack@NAME.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_STACK_HELP = "A file or a run; may be left out."
OnlyStack = Annotated[list[str] | None, typer.Argument(metavar="[STACK]", help=_STACK_HELP)]
Services = Annotated[
    list[str] | None, typer.Argument(metavar="[STACK] [SERVICE]...", help=_STACK_HELP)
]
OneService = Annotated[list[str], typer.Argument(metavar="[STACK] SERVICE", help=_STACK_HELP)]
TimeoutOption = Annotated[
    str | None, typer.Option("--timeout", metavar="TIME", help='Give up after it: "30s", "2m".')
]


class _Group(TyperGroup):
    """Commands that name their near misses."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command. Source: click.Group."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            visible = [name for name, one in self.commands.items() if not one.hidden]
            raise _unknown("command", args[0], visible, ctx.command_path)
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Group,
    help=_HELP,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def call(arguments: list[str]) -> int:
    """Run one command and return its exit code.

    Raises:
        StackError: whatever went wrong, wrong calls included.
    """
    # click's exceptions live in a private module of typer since it carries its own click
    usage_error: type[Any] = typer.BadParameter.__bases__[0]
    command = typer.main.get_command(app)
    try:
        # not main(): it would end the program by itself when whoever reads our output has gone
        with command.make_context("stackdsl", list(arguments)) as context:
            code = command.invoke(context)
    except usage_error as error:
        raise _wrong_call(error, arguments) from error
    except typer.Exit as ended:
        code = ended.exit_code
    return code if isinstance(code, int) else 0


def _wrong_call(error: Any, arguments: list[str]) -> errors.UsageError:
    """Return our form of what click found wrong."""
    context = error.ctx
    where = context.command_path if context is not None else "stackdsl"
    option = getattr(error, "option_name", None)
    if option is not None and type(error).__name__ == "NoSuchOption":
        known = [flag for one in context.command.params for flag in one.opts if flag[0] == "-"]
        return _unknown("option", option, [*known, "--help"], where)
    return errors.UsageError(
        "usage.call",
        f"cannot read the call of {where}: {_in_our_words(error.format_message())}",
        why=" ".join(["stackdsl", *arguments]),
        do=f"see {where} --help",
    )


def _in_our_words(message: str) -> str:
    """Return a message of click's as the end of one of our sentences."""
    return (message[:1].lower() + message[1:]).rstrip(".").replace("'", '"')


def _unknown(kind: str, word: str, known: list[str], where: str = "stackdsl") -> errors.UsageError:
    import difflib  # only on the way out

    near = difflib.get_close_matches(word, known, n=3)
    after = ""
    if where.endswith((" exec", " shell")):
        after = "; options of the command to run stand after --"
    return errors.UsageError(
        "usage.unknown-command" if kind == "command" else "usage.unknown-option",
        f'cannot run "{word}": {where} has no such {kind}'
        if kind == "command"
        else f'cannot read "{word}": {where} has no such {kind}',
        why=f"near: {', '.join(near)}" if near else "",
        do=f"see {where} --help{after}",
    )


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        import stackdsl

        print(f"stackdsl {stackdsl.__version__}")
        raise typer.Exit


def _show_frames(is_wanted: bool) -> None:
    if is_wanted:
        import os

        os.environ["STACKDSL_TRACEBACK"] = "1"


@app.callback(invoke_without_command=True)
def stackdsl_(
    context: typer.Context,
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
    _traceback: Annotated[
        bool,
        typer.Option(
            "--traceback", callback=_show_frames, is_eager=True, help="Show our frames in errors."
        ),
    ] = False,
) -> None:
    """Take what holds for every command."""
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(2)


@app.command()
def run(
    *,
    words: Services = None,
    stack: StackOption = None,
    copy: CopyOption = None,
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
    """Run a stack in front, until it ends or Ctrl-C.

    With SERVICE: only these and what they need. On a terminal a live view shows each service and
    the newest lines (q stops too); elsewhere output of services goes to stdout, everything else
    to stderr. A service that failed for good stops the run (exit 1); Ctrl-C stops it in
    order, a second one at once (both 130).
    """
    return direct.run(words or [], stack=stack, copy=copy, until_ready=until_ready, debug=debug)


@app.command()
def start(
    *,
    words: Services = None,
    stack: StackOption = None,
    copy: CopyOption = None,
    as_json: JsonOption = False,
) -> int:
    """Start a stack and leave it running, or change a run.

    Returns when everything is ready. On a living run: what its file says now is carried out,
    and nothing else touched; with SERVICE, these are started.
    """
    return direct.start(words or [], stack=stack, copy=copy, as_json=as_json)


@app.command()
def stop(
    *,
    words: Services = None,
    stack: StackOption = None,
    now: Annotated[bool, typer.Option("--now", help="Kill at once, in no order.")] = False,
) -> int:
    """Stop a run, or some of its services."""
    return direct.stop(words or [], stack=stack, now=now)


@app.command()
def restart(*, words: Services = None, stack: StackOption = None) -> int:
    """Restart services of a run; all without SERVICE.

    Returns when they are ready again. Tasks are run again only when named.
    """
    from stackdsl.cli import stopping

    return stopping.restart(words or [], stack)


@app.command()
def status(
    *,
    words: OnlyStack = None,
    stack: StackOption = None,
    as_json: JsonOption = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Go on: a live view; piped, again at every change."),
    ] = False,
) -> int:
    """Show a run's services: states, addresses, pids."""
    from stackdsl.cli import watching

    return watching.status(words or [], stack, as_json=as_json, is_watching=watch)


@app.command()
def ps(*, as_json: JsonOption = False) -> int:
    """List the runs of this user."""
    from stackdsl.cli import watching

    return watching.ps(as_json=as_json)


@app.command()
def logs(
    *,
    words: Services = None,
    stack: StackOption = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on until the run ends.")
    ] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", "-n", metavar="N", min=0, help="Only the last lines.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help='Only from then on: "10m", or RFC 3339.'),
    ] = None,
    timestamps: Annotated[
        bool, typer.Option("-t", "--timestamps", help="Say when each line was written (UTC).")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Print what services wrote; of ended runs too."""
    from stackdsl.cli import reading

    return reading.logs(
        words or [],
        stack,
        is_following=follow,
        tail=tail,
        since=since,
        has_times=timestamps,
        as_json=as_json,
    )


@app.command()
def events(
    *,
    words: OnlyStack = None,
    stack: StackOption = None,
    since: Annotated[
        int, typer.Option("--since", metavar="SEQ", min=0, help="Only those after this number.")
    ] = 0,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on until the run ends.")
    ] = False,
    has_logs: Annotated[
        bool, typer.Option("--logs", help="Lines of output too, as --json always has them.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Print what happened in a run.

    A line, or with --json an object a line, for each event that is kept.
    """
    from stackdsl.cli import watching

    return watching.events(
        words or [],
        stack,
        since=since,
        is_following=follow,
        has_logs=has_logs or as_json,
        as_json=as_json,
    )


@app.command(name="wait")
def wait_(
    *,
    words: Services = None,
    stack: StackOption = None,
    wanted: Annotated[
        str | None,
        typer.Option("--for", metavar="STATE", help="Wait for it; several: ready,completed."),
    ] = None,
    timeout: TimeoutOption = None,
) -> int:
    """Wait until a run or services are ready, or in STATE.

    A task is waited for until it has completed. Exit 1 when time is up, or when it can no
    longer come about.
    """
    from stackdsl.cli import watching

    return watching.wait(words or [], stack, wanted=wanted, timeout=timeout)


@app.command()
def why(*, words: Services = None, stack: StackOption = None, as_json: JsonOption = False) -> int:
    """Say why a service is not ready, down to the root.

    The chain from it to what it comes from, what was seen there, and what to do next. Without
    SERVICE: each root of what is not well. Of an ended run: what is still known. Exit 0 where all
    is well or on its way, 1 where something failed, 3 where a machine or its engine is the cause.
    """
    from stackdsl.cli import whys

    return whys.why(words or [], stack, as_json=as_json)


@app.command(name="exec")
def exec_(
    *,
    words: Annotated[
        list[str], typer.Argument(metavar="[STACK] SERVICE -- ARGV...", help=_STACK_HELP)
    ],
    stack: StackOption = None,
) -> int:
    """Run a command as a service would run it.

    With the service's environment, folder and user, and this terminal; its exit code is ours.
    """
    from stackdsl.cli import entering

    return entering.execute(words, stack)


@app.command()
def shell(*, words: OneService, stack: StackOption = None) -> int:
    """Open $SHELL as a service would run it; in a container, /bin/sh."""
    from stackdsl.cli import entering

    return entering.shell(words, stack)


@app.command()
def do(
    *,
    words: Annotated[list[str], typer.Argument(metavar="[STACK] TASK", help=_STACK_HELP)],
    stack: StackOption = None,
    as_json: JsonOption = False,
) -> int:
    """Run a task again and print its output."""
    from stackdsl.cli import entering

    return entering.do(words, stack, as_json=as_json)


@app.command()
def clean(
    *,
    names: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Stop living runs too.")] = False,
    volumes: Annotated[bool, typer.Option("--volumes", help="Named volumes too.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Give back what ended runs left.

    Ends what lives without a controller, and removes the folders of ended runs, their logs
    included.
    """
    from stackdsl.cli import stopping

    return stopping.clean(names or [], everything=everything, volumes=volumes, as_json=as_json)


@app.command()
def validate(
    *, words: OnlyStack = None, stack: StackOption = None, as_json: JsonOption = False
) -> int:
    """Check a stack; contacts nobody.

    Everything that is wrong is told at once, each with its line and what to do.
    """
    from stackdsl.cli import checking

    return checking.validate(words or [], stack, as_json=as_json)


@app.command()
def plan(
    *,
    words: Services = None,
    stack: StackOption = None,
    copy: CopyOption = None,
    as_json: JsonOption = False,
    offline: Annotated[bool, typer.Option("--offline", help="Look at no machine.")] = False,
    facts: Annotated[
        str | None,
        typer.Option("--facts", metavar="FILE", help="Plan for these machines (JSON)."),
    ] = None,
) -> int:
    """Show what run or start would do.

    With every address, its reason, and the cause of each step. Looks at the machine unless
    --offline; changes nothing.
    """
    from stackdsl.cli import checking

    return checking.plan(
        words or [], stack, copy, as_json=as_json, is_offline=offline, facts_file=facts
    )


@app.command()
def graph(
    *,
    words: OnlyStack = None,
    stack: StackOption = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="FORM", help="tree (default), mermaid, dot, json, svg or html."
        ),
    ] = None,
    kind: Annotated[
        str, typer.Option("--kind", metavar="KIND", help="dependency or topology.")
    ] = "dependency",
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write it there; its suffix may say the form."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Draw who needs whom, or what runs where.

    With the states of the run, if it is alive.
    """
    from stackdsl.cli import graphing

    form = "json" if as_json else form
    return graphing.graph(words or [], stack, form=form, kind=kind, output=output)


@app.command()
def doctor(*, as_json: JsonOption = False) -> int:
    """Say what this machine can do for stacks."""
    from stackdsl.cli import diagnosing

    return diagnosing.doctor(as_json=as_json)


@app.command()
def explain(
    *, code: Annotated[str, typer.Argument(metavar="CODE")], as_json: JsonOption = False
) -> int:
    """Say what an error code means."""
    from stackdsl.cli import diagnosing

    return diagnosing.explain(code, as_json=as_json)


app.add_typer(labcommands.make(_Group), name="lab")


@app.command(name="_controller", hidden=True)
def controller(
    *,
    file: Annotated[str, typer.Argument()],
    names: Annotated[list[str] | None, typer.Argument()] = None,
    copy: CopyOption = None,
) -> int:
    """Own a run in the background; started by `start`."""
    return direct.control([file, *(names or [])], copy=copy)
