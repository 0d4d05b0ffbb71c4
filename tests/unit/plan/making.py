"""Stacks made straight from the model, for tests of the planner."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stackdsl.model import errors, facts, places, plans, refs, services, specs, stacks
from stackdsl.plan import planning

Values = Mapping[str, refs.Ref | refs.Me]

FOLDER = "/state/shop"


def port(number: int, name: str = "default", **options: Any) -> services.Port:
    return services.Port(name=name, number=number, **options)


def uses(name: str, condition: services.Condition = "ready") -> services.Need:
    """Return a need that is a parameter of the body."""
    return services.Need(name=name, condition=condition, parameter=name, is_addressed=True)


def after(name: str, condition: services.Condition = "ready") -> services.Need:
    """Return a need of order only."""
    return services.Need(name=name, condition=condition)


def say_all(values: Values) -> services.Command:
    """Return a command that tells everything that a body is told."""
    words = ["run"]
    for name, value in values.items():
        if isinstance(value, refs.Me):
            words += ["--bind", value.bind]
            words += [f"--{key}={ref.port}" for key, ref in value.ports.items()]
        elif value.is_task:
            words.append(f"{name}={value.output}")
        else:
            words.append(f"{name}={value.addr}")
    return services.Command(argv=tuple(words))


def service(
    name: str,
    *ports: services.Port,
    needs: Sequence[services.Need] = (),
    body: Callable[[Values], services.Command | None] = say_all,
    me: bool = True,
    kind: services.Kind = "service",
    **options: Any,
) -> services.Service:
    """Return a service whose body takes every parameter of its needs, and ``me``."""
    line = zlib.crc32(name.encode()) % 900 + 1  # the same whichever tests run
    parameters = [need.parameter for need in needs if need.parameter is not None]
    return services.Service(
        name=name,
        kind=kind,
        body=body,
        parameters=(*parameters, "me") if me else tuple(parameters),
        where=services.Where(file="shop.py", line=line, what=f"@{kind} {name}"),
        ports=ports,
        default_port=ports[0].name if ports else None,
        needs=tuple(needs),
        **options,
    )


def task(name: str, *ports: services.Port, **options: Any) -> services.Service:
    return service(name, *ports, kind="task", **options)


def stack(*members: services.Service, **options: Any) -> stacks.StackModel:
    return stacks.StackModel(
        name="shop", file="/home/ann/shop.py", folder="/home/ann", services=members, **options
    )


def local(*listeners: facts.Listener, **options: Any) -> facts.Facts:
    """Return facts of this machine alone."""
    host = facts.HostFacts(name="local", listeners=listeners, first_port=1024)
    return facts.Facts(hosts=(host,), **options)


ENGINE = facts.Engine(endpoint="unix:///var/run/docker.sock", version="26.1", api="1.45")


def grounded(*listeners: facts.Listener, **options: Any) -> facts.Facts:
    """Return facts of this machine alone, with an engine and the right to make networks."""
    fields: dict[str, Any] = {"engine": ENGINE, "can_network": True, **options}
    host = facts.HostFacts(name="local", listeners=listeners, first_port=1024, **fields)
    return facts.Facts(hosts=(host,))


def boxed(
    name: str, *ports: services.Port, place: places.Docker | None = None, **options: Any
) -> services.Service:
    """Return a container that runs its image's own command, if no other body is given."""
    options.setdefault("body", lambda values: None)
    return service(name, *ports, runs_on=place or places.Docker(image=f"{name}:1"), **options)


def lan(addresses: Mapping[str, str], **options: Any) -> facts.Facts:
    """Return facts of this machine and others, each of which reached every other at its address."""
    hosts = [
        facts.HostFacts(name=n, kind="local" if n == "local" else "ssh", addresses=(a,))
        for n, a in addresses.items()
    ]
    reached = [
        facts.Reach(source=source, target=target, address=address)
        for source in addresses
        for target, address in addresses.items()
        if source != target
    ]
    return facts.Facts(hosts=tuple(hosts), reached=tuple(reached), **options)


def listener(address: str, number: int, protocol: Any = "tcp") -> facts.Listener:
    return facts.Listener(address=address, port=number, protocol=protocol)


def ssh(host: str) -> places.Ssh:
    return places.Ssh(host=host)


def plan(made: stacks.StackModel, seen: facts.Facts | None = None, **options: Any) -> plans.Plan:
    """Return the plan of a stack as the run "shop"."""
    return planning.make_plan(made, seen or local(), run="shop", folder=FOLDER, **options)


def fail(made: stacks.StackModel, seen: facts.Facts | None = None) -> list[errors.StackError]:
    """Return the errors of a stack that cannot be planned."""
    try:
        plan(made, seen)
    except errors.StackError as error:
        return list(errors.flatten(error))
    raise AssertionError("the stack was planned")


def find(made: plans.Plan, name: str) -> plans.PlannedService:
    found = made.service(name)
    assert found is not None
    return found


def find_spec(made: plans.Plan, name: str) -> specs.ServiceSpec:
    found = find(made, name).spec
    assert found is not None
    return found


def find_step(made: plans.Plan, step_id: str) -> plans.Step:
    return next(step for step in made.steps if step.id == step_id)


def observe(made: plans.Plan, **states: str) -> list[plans.Observed]:
    """Return what stands when a plan was carried out; ``states`` of some that differ."""
    usual = {"service": "ready", "task": "completed"}
    return [
        plans.Observed(
            name=one.name,
            kind=one.kind,
            state=states.get(one.name.replace("-", "_"), usual[one.kind]),
            digest=one.digest,
            host=one.host,
        )
        for one in made.services
        if one.host
    ]
