"""Run one stack anywhere, mixed: native processes, containers and far machines on one network.

A stack's file imports its words from here; so does code that runs stacks. Names are loaded when
they are first used, so that a command pays only for what it needs.
"""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers; at run time __getattr__ below does it
    from stackdsl.dsl.declarations import Service, Task, service, task
    from stackdsl.dsl.places import Build, docker, external, local, ssh, systemd
    from stackdsl.dsl.probes import check, docker_health, file, http, log, notify, tcp
    from stackdsl.dsl.secrets import secret
    from stackdsl.dsl.values import (
        Command,
        Limits,
        Network,
        Port,
        Restart,
        Scale,
        completed,
        copy,
        planned,
        ready,
        started,
        template,
        tmpfs,
    )
    from stackdsl.model.errors import StackError
    from stackdsl.model.refs import Me, Ref
    from stackdsl.notebook.opening import control
    from stackdsl.session.attaching import attach
    from stackdsl.session.runs import AsyncRun, Run
    from stackdsl.session.stacks import Stack, load

__version__ = "0.1.0"

__all__ = [
    "AsyncRun",
    "Build",
    "Command",
    "Limits",
    "Me",
    "Network",
    "Port",
    "Ref",
    "Restart",
    "Run",
    "Scale",
    "Service",
    "Stack",
    "StackError",
    "Task",
    "attach",
    "check",
    "completed",
    "control",
    "copy",
    "docker",
    "docker_health",
    "external",
    "file",
    "http",
    "load",
    "local",
    "log",
    "notify",
    "planned",
    "ready",
    "secret",
    "service",
    "ssh",
    "started",
    "systemd",
    "task",
    "tcp",
    "template",
    "tmpfs",
]

_HOMES = {
    "dsl.declarations": ("Service", "Task", "service", "task"),
    "dsl.places": ("Build", "docker", "external", "local", "ssh", "systemd"),
    "dsl.probes": ("check", "docker_health", "file", "http", "log", "notify", "tcp"),
    "dsl.secrets": ("secret",),
    "dsl.values": (
        "Command", "Limits", "Network", "Port", "Restart", "Scale", "completed", "copy", "planned",
        "ready", "started", "template", "tmpfs",
    ),
    "model.errors": ("StackError",),
    "model.refs": ("Me", "Ref"),
    "notebook.opening": ("control",),
    "session.attaching": ("attach",),
    "session.runs": ("AsyncRun", "Run"),
    "session.stacks": ("Stack", "load"),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message, name=name, obj=sys.modules[__name__])
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
