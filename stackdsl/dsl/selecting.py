"""Selecting: a stack with some services only, without some, or with some replaced."""

import copy
import dataclasses
from collections.abc import Iterable
from typing import TypeVar

from stackdsl.dsl import (
    bodies,
    checking,
    collecting,
    faults,
    forms,
    importing,
    ledgers,
    loading,
    places,
    reading,
    written,
)
from stackdsl.model import errors, services, stacks
from stackdsl.model import places as model_places

S = TypeVar("S", bound=stacks.StackModel)

_PLACES = (
    model_places.Local,
    model_places.Ssh,
    model_places.Docker,
    model_places.Systemd,
    model_places.Attach,
    model_places.External,
)


def only(stack: S, *names: str) -> S:
    """Return the stack with the named services and whatever they need.

    Raises:
        UsageError: a name is unknown.
    """
    wanted: dict[str, services.Service] = {}
    queue = [_find(stack, name) for name in names]
    for service in queue:
        if service.name not in wanted:
            wanted[service.name] = service
            queue.extend(_find(stack, need.name) for need in service.needs)
    return _with_services(stack, (one for one in stack.services if one.name in wanted))


def without(stack: S, *names: str) -> S:
    """Return the stack without the named services.

    Raises:
        UsageError: a name is unknown, or a service that stays needs one of them.
    """
    gone = {_find(stack, name).name for name in names}
    wrong = [
        errors.UsageError(
            "usage.still-needed",
            f'cannot leave "{need.name}" out: {service.kind} "{service.name}" needs it',
            where=str(service.where),
            do=f'leave "{service.name}" out too, or replace "{need.name}"',
        )
        for service in stack.services
        if service.name not in gone
        for need in service.needs
        if need.name in gone
    ]
    errors.raise_all(wrong)
    return _with_services(stack, (one for one in stack.services if one.name not in gone))


def replace(stack: S, **given: "written.Declaration | places.Place | model_places.Place") -> S:
    """Return the stack with services replaced: by another declaration, which takes the name, or by
    the same service in another place. What a new declaration needs comes with it.

    Raises:
        UsageError: a name is unknown, or a value is neither.
        DefinitionError, StackErrors: the new stack is wrong.
    """
    found = faults.Faults()
    made = {one.name: one for one in stack.services}
    secrets = list(stack.secrets)
    for name, value in given.items():
        old = _find(stack, name)
        if isinstance(value, written.Declaration):
            if value.kind != old.kind:
                raise errors.UsageError(
                    "usage.bad-replacement",
                    f'cannot replace {old.kind} "{old.name}" by {value.kind} "{value.name}":'
                    " what needs it waits for another thing",
                    where=str(value.where),
                    do=f"give a {old.kind}",
                )
            news = _read_declaration(stack, value, found)
            made[old.name] = dataclasses.replace(news[0], name=old.name)
            for extra in news[1:]:
                made.setdefault(extra.name, extra)
            ledger = ledgers.peek(value.namespace)
            secrets.extend(ledger.secrets if ledger is not None else ())
        else:
            made[old.name] = _move(stack, old, _read_place(stack, name, value))
    checking.check(tuple(made.values()), found)
    found.raise_all()
    return _with_services(stack, made.values(), secrets=tuple(dict.fromkeys(secrets)))


def _read_declaration(
    stack: stacks.StackModel, declaration: written.Declaration, found: faults.Faults
) -> tuple[services.Service, ...]:
    outside = {collecting.plain(one.name): _stand_in(one) for one in stack.services}
    collection = collecting.Collection(declaration.namespace, outside=outside)
    collection.add([declaration])
    ledger = ledgers.peek(declaration.namespace)
    if ledger is not None:
        found.extend(ledger.faults)
    read, _ = loading.read_entries(
        collection.entries,
        collection,
        importing.Context(""),
        folder=stack.folder,
        given=None,
        found=found,
    )
    return read


def _read_place(stack: stacks.StackModel, name: str, value: object) -> model_places.Place:
    if isinstance(value, _PLACES):
        return value
    try:
        return forms.place(value, stack.folder)
    except faults.Refusal as refusal:
        raise errors.UsageError(
            "usage.bad-replacement",
            f'cannot replace "{name}": {refusal.fact}',
            do=f"give a service or a place; {refusal.do}",
        ) from None


def _move(
    stack: stacks.StackModel, old: services.Service, place: model_places.Place
) -> services.Service:
    """Return a service in another place, without what only the old place had a use for."""
    if isinstance(place, model_places.External):
        port = old.port
        kept = services.Port(
            name="default" if port is None else port.name,
            number=place.port,
            scheme=None if port is None else port.scheme,
        )
        return services.Service(
            name=old.name,
            kind=old.kind,
            body=bodies.make_constant(None),
            where=old.where,
            doc=old.doc,
            runs_on=place,
            ports=(kept,),
            default_port=kept.name,
            start_timeout_s=old.start_timeout_s,
        )
    is_process = isinstance(place, (model_places.Local, model_places.Ssh))
    cwd = stack.folder if isinstance(place, model_places.Local) else None
    if isinstance(old.runs_on, type(place)):
        cwd = old.cwd
    body = old.body
    if isinstance(body, bodies.AuthorBody):
        body = body.moved(is_process=is_process)
    moved = dataclasses.replace(old, runs_on=place, cwd=cwd, body=body)
    for keyword, refusal in reading.find_misfits(moved):
        raise errors.DefinitionError(
            refusal.code,
            f'cannot put "{old.name}" on "{place}": {keyword}=: {refusal.fact}',
            where=str(old.where),
            do=refusal.do,
        )
    return moved


def _stand_in(service: services.Service) -> written.Declaration:
    """Return a declaration that stands for a service that is in the stack already."""
    made = written.Declaration()
    made.name, made.kind, made.function = service.name, service.kind, None
    made.file, made.line = service.where.file, service.where.line
    return made


def _find(stack: stacks.StackModel, name: str) -> services.Service:
    service = stack.service(name) or stack.service(name.replace("_", "-"))
    if service is None:
        names = [one.name for one in stack.services]
        raise errors.UsageError(
            "usage.unknown-service",
            f'cannot find "{name}": stack "{stack.name}" has no such service or task',
            do=f"{faults.nearest(name, names)}it has {faults.quoted(sorted(names))}",
        )
    return service


def _with_services(
    stack: S, kept: Iterable[services.Service], *, secrets: tuple[str, ...] | None = None
) -> S:
    """Return a stack of the same class with these services; restarts follow only what is there."""
    chosen = tuple(kept)
    names = {one.name for one in chosen}
    trimmed = tuple(
        one
        if names.issuperset(one.restart_with)
        else dataclasses.replace(
            one, restart_with=tuple(name for name in one.restart_with if name in names)
        )
        for one in chosen
    )
    made = copy.copy(stack)
    object.__setattr__(made, "services", trimmed)
    if secrets is not None:
        object.__setattr__(made, "secrets", secrets)
    return made
