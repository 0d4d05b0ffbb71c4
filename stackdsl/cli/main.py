"""The program `stackdsl`: runs one command and turns what went wrong into an exit code."""

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

INTERRUPTED = 130
_UNWRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0; 1 a service or step failed; 2 the stack or
    the call is wrong; 3 a host lacks something or is not reached; 130 interrupted; 143 ended."""
    _prepare_streams()
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _give_up_output()
        return 0
    except OSError as error:
        if not _is_unwritten(error):
            raise
        _give_up_output()
        return _tell(_unwritten(error))
    return code


def _prepare_streams() -> None:
    """Let neither a stream that was closed nor a character that an encoding lacks end a command."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        # nothing that is opened later may be taken for a standard stream
        while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(spare, True)
        os.close(spare)
        # open to the end, as those are that they stand for
        sys.stdin = sys.stdin or open(0)  # noqa: SIM115
        sys.stdout = sys.stdout or open(1, "w")  # noqa: SIM115
        sys.stderr = sys.stderr or open(2, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


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
        if _is_traceback_wanted() or _is_unwritten(error):
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
    try:
        sys.stdout.flush()
    except OSError:  # whoever read has gone, or there is no room
        _give_up_output()
    if _is_traceback_wanted():
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    text = problems.format_error(error, streams.paint_for(sys.stderr))
    with contextlib.suppress(OSError):  # whoever read has gone; the exit code still tells
        print(text, file=sys.stderr, flush=True)
    return error.exit_code


def _is_unwritten(error: Exception) -> bool:
    """Whether something that was printed could not be written: what is written to files of ours
    has errors of its own."""
    return isinstance(error, OSError) and error.errno in _UNWRITTEN and error.filename is None


def _unwritten(error: OSError) -> "Exception":
    from stackdsl.model import errors

    return errors.UsageError(
        "usage.unwritten",
        f"cannot write to standard output: {error.strerror}",
        do="send it to where there is room for it",
    )


def _is_traceback_wanted() -> bool:
    return os.environ.get("STACKDSL_TRACEBACK", "") not in ("", "0")


def _give_up_output() -> None:
    """Let the interpreter's last flush go nowhere: whoever read has gone. Source: Python's
    documentation of `signal`, "Note on SIGPIPE"."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
