"""The first act of a process that is to own a run: its node is started before anything else is
loaded, so that both come up together.

Laws: imports os, and what starts a node, only.
"""

import os
import socket

from stackdsl.node import spawning

FD_VARIABLE = "STACKDSL_CONTROLLER_FD"


def spawn_node() -> tuple[int, socket.socket]:
    """Start a node; return its pid and our end of its socket, for `nodes.NodeProcess`.

    Raises:
        OSError: the machine refuses another process.
    """
    inherited = os.environ.get(FD_VARIABLE)
    if inherited is not None:
        # the node may outlive us: it must not keep our parent's socket open
        os.set_inheritable(int(inherited), False)
    return spawning.spawn()
