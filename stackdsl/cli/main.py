"""The program `stackdsl`: runs one command and turns what went wrong into an exit code."""

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0; 1 a service or step failed; 2 the stack or
    the call is wrong; 3 a host lacks something or is not reached; 130 interrupted; 143 ended."""
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _give_up_output()
        return 0
    return code


def program() -> NoReturn:
    """Be the program `stackdsl`: run the command line and end the process with its exit code."""
    code = main()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    # everything is given back by now: taking the interpreter apart would only keep who waits
    os._exit(code)


def _run(arguments: list[str]) -> int:
    # inside, so that an interrupt while importing is quiet too
    from stackdsl.cli import direct
    from stackdsl.model import errors

    try:
        code = direct.call(arguments)
        if code is not None:
            return code
        from stackdsl.cli import commands  # with the parser: 35 ms

        return commands.call(arguments)
    except errors.StackError as error:
        return _tell(error)
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except Exception as error:  # around the whole command: nobody sees our frames unasked
        if _is_traceback_wanted():
            raise
        bug = errors.InternalError(
            "internal.command",
            f"cannot finish the command: {type(error).__name__}: {error}",
            do="this is a bug of stackdsl: please report it with what --traceback shows",
        )
        bug.__cause__ = error
        return _tell(bug)


def _tell(error: "Exception") -> int:
    from stackdsl.cli import streams
    from stackdsl.model import errors
    from stackdsl.views import problems

    assert isinstance(error, errors.StackError)
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    if _is_traceback_wanted():
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    text = problems.format_error(error, streams.paint_for(sys.stderr))
    with contextlib.suppress(OSError):  # whoever read has gone; the exit code still tells
        print(text, file=sys.stderr, flush=True)
    return error.exit_code


def _is_traceback_wanted() -> bool:
    return os.environ.get("STACKDSL_TRACEBACK", "") not in ("", "0")


def _give_up_output() -> None:
    """Let the interpreter's last flush go nowhere: whoever read has gone. Source: Python's
    documentation of `signal`, "Note on SIGPIPE"."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
