"""Starting a node here: a fresh interpreter with one end of a socket, the controller's first act.

Laws: imports os, socket and sys only, so that it can be called before anything else is loaded.
"""

import os
import signal
import socket
import sys

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def spawn() -> tuple[int, socket.socket]:
    """Start a node; return its pid and our end of its socket.

    The node is our child: whoever outlives it reaps it (os.waitid). It stands in a session of its
    own, so that Ctrl-C at the terminal does not reach it. It lives until our end is closed, and
    then does what the run's ``crash`` says.

    Raises:
        OSError: the machine refuses another process.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        theirs.set_inheritable(True)
        # -I -S: nothing of the person's environment, no site packages: they cost 10 ms, and what
        # a node needs is the standard library and ourselves. -c rather than -m spares runpy.
        argv = [sys.executable, "-I", "-S", "-c", _program(), "--fd", str(theirs.fileno())]
        pid = os.posix_spawn(
            sys.executable,
            argv,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                # A node may outlive us: it must not hold the far end of our output open.
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return pid, ours


def _program() -> str:
    return f"import sys; sys.path.insert(0, {_ROOT!r}); from stackdsl.node import __main__"
