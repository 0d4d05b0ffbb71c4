"""From a placed replica to the spec that a node runs: the body is called, files are rendered.

The first plan and the plan of a replica that waited for a task's output both come through here.
"""

import dataclasses
import hashlib
import operator
import posixpath
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from stackdsl.model import data, errors, places, plans, refs, services, specs, stacks
from stackdsl.plan import placing, probing

Values = Mapping[str, "refs.Ref | refs.Me"]

# where a service is declared says nothing about what runs
_read_digested = operator.attrgetter(
    *(
        name
        for name in data.field_names(specs.ServiceSpec) or ()
        if name not in {"where", "digest", "secrets"}
    )
)


class _Worked(NamedTuple):
    """What is worked out from what the body returned."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str | None], ...]
    cwd: str
    files: tuple[specs.RenderedFile, ...]
    is_output_wanted: bool


def find_awaited(
    service: services.Service, tasks: Iterable[tuple[str, str | None]], outputs: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the tasks whose output is waited for: by the body, or by a template that reads it.

    ``tasks`` are the tasks that the service needs, each with its parameter or None.
    """
    return tuple(
        sorted(
            {
                task
                for task, parameter in tasks
                if task not in outputs
                and (parameter in service.parameters or _reads_output(service, task))
            }
        )
    )


def _reads_output(service: services.Service, task: str) -> bool:
    named = f"{task}.output".replace("-", "_")
    texts = (entry.template or "" for entry in service.files)
    return any(named in text.replace("-", "_") for text in texts)


def finish(
    planned: plans.PlannedService,
    service: services.Service,
    stack: stacks.StackModel,
    values: Values,
    *,
    is_output_wanted: bool,
) -> plans.PlannedService:
    """Call the body of a placed replica and return the replica with its command and spec.

    ``values`` are what the body and the templates may speak of, by name; ``me`` among them.

    Raises:
        StackError: the body, a template or a probe is wrong.
    """
    if isinstance(service.runs_on, places.External):
        return planned
    command = None
    if placing.is_launched(service):
        command = _call_body(service, values)
    env = planned.env
    if command is not None and command.env:
        env = tuple(sorted({**dict(env), **dict(command.env)}.items()))
    argv = None if command is None else command.argv
    if not _has_spec(service):
        return dataclasses.replace(planned, command=argv, env=env, after=())
    worked = _Worked(
        argv=argv or (),
        env=env,
        cwd=_find_folder(planned, service, stack, command),
        files=_render_files(service, values) if service.files else (),
        is_output_wanted=is_output_wanted,
    )
    spec = _make_spec(planned, service, stack, worked)
    marked = digest(spec, planned)
    secrets = () if command is None else command.secrets
    spec = dataclasses.replace(spec, digest=marked, secrets=secrets)
    return dataclasses.replace(planned, command=argv, env=env, after=(), spec=spec, digest=marked)


def digest(spec: specs.ServiceSpec, planned: plans.PlannedService) -> str:
    """Return what tells whether a replica that runs is still what is wanted."""
    text = repr((planned.host, planned.target, _read_digested(spec)))
    return hashlib.blake2s(text.encode(), digest_size=16).hexdigest()


def _has_spec(service: services.Service) -> bool:
    """Tell whether a node can be told to run it today, or to take hold of it."""
    place = service.runs_on
    if isinstance(place, places.Attach):
        return place.systemd is None
    return isinstance(place, places.Local | places.Ssh | places.Docker)


def _call_body(service: services.Service, values: Values) -> services.Command | None:
    own = {name: values[name] for name in service.parameters}
    command = service.body(own)
    if command is None and isinstance(service.runs_on, places.Local | places.Ssh):
        raise errors.DefinitionError(
            "definition.no-command",
            f'cannot run {service.kind} "{service.name}": its body returned nothing',
            where=str(service.where),
            why="a body returns the command of its process",
            do='return a list (["program", "argument"]), a string or a Command from the body',
        )
    return command


def _find_folder(
    planned: plans.PlannedService,
    service: services.Service,
    stack: stacks.StackModel,
    command: services.Command | None,
) -> str:
    """Return where it starts: as the command or the author says, else the stack's folder here
    and its own far away; "" for the folder that an image names."""
    if planned.container is not None:
        named = None if command is None else command.cwd
        return posixpath.join(service.cwd or "", named or "")
    folder = service.cwd or (stack.folder if planned.host == placing.LOCAL else planned.dir)
    if command is not None and command.cwd is not None:
        folder = posixpath.join(folder, command.cwd)
    return folder


def _render_files(service: services.Service, values: Values) -> tuple[specs.RenderedFile, ...]:
    from stackdsl.model import substitution  # most stacks have no templates

    rendered: list[specs.RenderedFile] = []
    for entry in service.files:
        text = entry.text
        if entry.template is not None:
            text = substitution.substitute(entry.template, values, entry.where)
        rendered.append(specs.RenderedFile(path=entry.path, text=text, copy=entry.copy))
    return tuple(rendered)


def _make_spec(
    planned: plans.PlannedService,
    service: services.Service,
    stack: stacks.StackModel,
    worked: _Worked,
) -> specs.ServiceSpec:
    place = service.runs_on
    site = probing.Site(planned.ports, planned.bind, planned.dir, find_address(planned))
    done = () if service.done is None else probing.make_checks(service, site, (service.done,))
    return specs.ServiceSpec(
        name=planned.name,
        service=service.name,
        index=planned.index,
        kind=service.kind,
        argv=worked.argv,
        env=worked.env,
        cwd=worked.cwd,
        files=worked.files,
        output_wanted=worked.is_output_wanted,
        dir=planned.folder,
        user=service.user,
        umask=service.umask,
        limits=service.limits,
        ports=tuple(_bind_port(port) for port in planned.ports),
        ready=planned.checks,
        is_default_ready=service.ready is None and bool(planned.checks),
        live=probing.make_checks(service, site, service.live),
        done=done[0] if done else None,
        start_timeout_s=service.start_timeout_s,
        timeout_s=service.timeout_s,
        retries=service.retries,
        restart=service.restart,
        stop_signal=service.stop_signal,
        stop_timeout_s=service.stop_timeout_s,
        stop_command=service.stop_command,
        watch=service.watch,
        hooks=service.hooks,
        tty=service.tty,
        log=service.log,
        log_limit_bytes=stack.log_limit_bytes,
        attach_pid=place.pid if isinstance(place, places.Attach) else None,
        attach_process=place.process if isinstance(place, places.Attach) else None,
        attach_container=place.container if isinstance(place, places.Attach) else None,
        container=planned.container,
        namespace=planned.namespace,
        where=str(service.where),
    )


def find_address(planned: plans.PlannedService) -> str:
    """Return a replica's address on the run's bridge, "" where it does not stand there."""
    if planned.container is not None:
        return planned.container.address
    return planned.namespace.address if planned.namespace is not None else ""


def _bind_port(port: plans.PlannedPort) -> specs.BoundPort:
    host, number = probing.find_target(port)
    return specs.BoundPort(name=port.name, host=host, port=number, protocol=port.protocol)
