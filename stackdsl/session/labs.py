"""A lab with runs in it: stacks are run from the lab's controller and held from outside."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from stackdsl.lab import (
    declaring,
    drawing,
    entering,
    layouts,
    loading,
    opening,
    registering,
    topologies,
)
from stackdsl.model import errors, graphs, stacks
from stackdsl.registry import client as clients
from stackdsl.registry import places
from stackdsl.session import bridging, first, handles, runs

STATE = "/var/lib/stackdsl"
Target = str | os.PathLike[str] | ModuleType | declaring.Lab | topologies.Topology
StackTarget = str | os.PathLike[str] | ModuleType | stacks.StackModel


def labs_root() -> str:
    """Return the folder of this user's labs."""
    return os.path.join(places.state_root(), "labs")


class Net(opening.LivingLab):
    """A lab that is up: run stacks in it, run commands on its hosts, break what is between."""

    def __init__(self, lab: opening.LivingLab, folders: Sequence[str] = ()) -> None:
        super().__init__(*lab.parts)
        self._folders = folders
        self._shown = {os.getcwd(), *folders}
        self.runs: list[runs.Run] = []

    def up(self, stack: StackTarget, *, copy: str | None = None) -> runs.Run:
        """Run a stack from the lab's controller and return the run when it is ready; it ends with
        ``run.stop()``, or with the lab.

        ``stack`` is a file, a module, or a stack that was loaded from a file: inside, the file is
        loaded anew, for the services that the stack has.

        Raises:
            StackError: it could not be planned, or something failed; the run has ended.
        """
        file, names = _find_stack(stack, self._folders)
        folder = os.path.dirname(file)
        if not any(folder == one or folder.startswith(f"{one}/") for one in self._shown):
            self.show(folder)
            self._shown.add(folder)
        run = bridging.call(self._start(file, names, copy))
        self.runs.append(run)
        return run

    async def _start(self, file: str, names: tuple[str, ...], copy: str | None) -> runs.Run:
        mine, theirs = socket.socketpair()
        words = [] if copy is None else ["--copy", copy]
        argv = [sys.executable, "-m", "stackdsl", "_controller", file, *words, *names]
        env = controller_env() | {first.FD_VARIABLE: str(theirs.fileno())}
        folder = os.path.dirname(file)
        command = entering.command(
            self.record, entering.CONTROLLER, argv, user="root", env=env, cwd=folder
        )
        self._begin(command, theirs)
        client = clients.Client(file)
        await client.take(mine)
        plan = await client.plan()
        try:
            await client.settled()
        except errors.StackError:
            await client.stop_run(True)
            client.close()
            raise
        root = self[entering.CONTROLLER].root
        held = handles.Held(
            client,
            run=plan.run,
            folder=root + places.run_folder(STATE, plan.run),
            secrets=await client.secrets(),
        )
        return runs.Run(held)

    def _begin(self, command: Sequence[str], theirs: socket.socket) -> None:
        """Start a controller process inside, which has our socket's other end."""
        with theirs:
            starter = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self.starters.append(starter)


def controller_env() -> dict[str, str]:
    """Return the environment of what runs on the controller: ours, but for what leads outside."""
    kept = entering.controller_env()
    return kept | {"HOME": "/root", "USER": "root", "LOGNAME": "root", "STACKDSL_STATE": STATE}


def open_net(target: Target, *, folders: Sequence[str] = ()) -> Net:
    """Build a lab and return it when all of its hosts are up; ``folders`` are looked into for
    stacks, and its controller may write to them, as to the current one.

    Raises:
        StackError: the topology is wrong, or the machine lacks something.
    """
    writable = dict.fromkeys([os.getcwd(), *folders])
    return Net(opening.open_lab(target, root=labs_root(), writable=[*writable]), folders)


def find_lab(name: str | None) -> registering.Record:
    """Return a lab of this user that is up: that of a name, or the only one.

    Raises:
        UsageError: there is none, or several.
    """
    return registering.find(labs_root(), name)


def list_labs() -> tuple[registering.Record, ...]:
    """Return the labs of this user that are up."""
    return registering.list_records(labs_root())


def view_topology(file: str) -> graphs.GraphView:
    """Return the graph of a topology's file: sites, routers, hosts, uplinks.

    Raises:
        StackError: the topology is wrong.
    """
    return drawing.view_lab(layouts.lay_out(loading.load(file)))


def default_topology(stack: str) -> str:
    """Return the topology file of a stack's file, if nothing else is said."""
    return loading.default_file(stack)


def find_file(file: str, folders: Sequence[str]) -> str:
    """Return the path of a file that is relative to the current folder, or to one of these."""
    for folder in folders:
        if not os.path.exists(file) and os.path.exists(os.path.join(folder, file)):
            return os.path.join(folder, file)
    return file


def _find_stack(stack: StackTarget, folders: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the file to load inside, and the names of services if not all are wanted."""
    names: tuple[str, ...] = ()
    file: Any = stack
    if isinstance(stack, ModuleType):
        file = stack.__file__
    elif isinstance(stack, stacks.StackModel):
        file, names = stack.file, tuple(service.name for service in stack.services)
    if file is None:
        raise errors.UsageError(
            "usage.lab-stack",
            "cannot run the stack in a lab: it was not loaded from a file",
            do="write it into a file, and give its path",
        )
    found = find_file(os.path.expanduser(os.fspath(file)), folders)
    return os.path.realpath(found), names
