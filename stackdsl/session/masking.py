"""Masking: secrets never stand in what we print or store; here, those of whole plans."""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import replace

from stackdsl.model import masks, plans, probes, specs

NOTE = "has-secrets"

make_mask = masks.make_mask
masked_errors = masks.masked_errors


def find_secrets(plan: plans.Plan) -> tuple[str, ...]:
    """Return the secrets that bodies asked for while the plan was made."""
    found = (secret for service in plan.services if service.spec for secret in service.spec.secrets)
    return tuple(dict.fromkeys(found))


def mask_plan(plan: plans.Plan, secrets: Sequence[str]) -> plans.Plan:
    """Return the plan with every secret masked in commands, environments, files, probes, and what
    engines are told. Names and addresses stay: they are what a plan is found by."""
    secrets = (*secrets, *find_secrets(plan))
    if not any(secrets):
        return plan
    mask = make_mask(secrets)
    return replace(
        plan,
        services=tuple(_mask_service(one, mask) for one in plan.services),
        steps=tuple(_mask_step(one, mask) for one in plan.steps),
    )


def _mask_service(service: plans.PlannedService, mask: masks.Mask) -> plans.PlannedService:
    return replace(
        service,
        env=_mask_env(service.env, mask),
        command=None if service.command is None else tuple(map(mask, service.command)),
        spec=None if service.spec is None else _mask_spec(service.spec, mask),
        checks=_mask_checks(service.checks, mask),
        container=_mask_container(service.container, mask),
    )


def _mask_step(step: plans.Step, mask: masks.Mask) -> plans.Step:
    match step:
        case plans.PrepareImage():
            return replace(step, image=_mask_image(step.image, mask))
        case plans.ProbeExternal():
            return replace(step, checks=_mask_checks(step.checks, mask))
    return step


def _mask_spec(spec: specs.ServiceSpec, mask: masks.Mask) -> specs.ServiceSpec:
    stop = spec.stop_command
    return replace(
        spec,
        argv=tuple(map(mask, spec.argv)),
        env=_mask_env(spec.env, mask),
        ready=_mask_checks(spec.ready, mask),
        live=_mask_checks(spec.live, mask),
        done=None if spec.done is None else _mask_check(spec.done, mask),
        files=tuple(replace(f, text=None if f.text is None else mask(f.text)) for f in spec.files),
        hooks=tuple((kind, tuple(map(mask, argv))) for kind, argv in spec.hooks),
        stop_command=None if stop is None else tuple(map(mask, stop)),
        container=_mask_container(spec.container, mask),
        secrets=(),
    )


def _mask_checks(checks: Sequence[specs.Check], mask: masks.Mask) -> tuple[specs.Check, ...]:
    return tuple(_mask_check(check, mask) for check in checks)


def _mask_check(check: specs.Check, mask: masks.Mask) -> specs.Check:
    probe = check.probe
    if isinstance(probe, probes.Exec):
        return replace(check, probe=replace(probe, argv=tuple(map(mask, probe.argv))))
    if not isinstance(probe, probes.Http):
        return check
    headers = tuple((name, mask(value)) for name, value in probe.headers)
    body = None if probe.body_contains is None else mask(probe.body_contains)
    masked = replace(probe, path=mask(probe.path), headers=headers, body_contains=body)
    return replace(check, probe=masked)


def _mask_container(container: specs.Container | None, mask: masks.Mask) -> specs.Container | None:
    if container is None:
        return None
    options = tuple((name, _mask_value(value, mask)) for name, value in container.options)
    return replace(container, image=_mask_image(container.image, mask), options=options)


def _mask_image(image: specs.Image, mask: masks.Mask) -> specs.Image:
    if image.build is None:
        return image
    args = tuple((name, mask(value)) for name, value in image.build.args)
    return replace(image, build=replace(image.build, args=args))


def _mask_value(value: object, mask: masks.Mask) -> object:
    """Mask an option of an engine, whatever it is made of."""
    match value:
        case str():
            return mask(value)
        case dict():
            return {_mask_value(key, mask): _mask_value(one, mask) for key, one in value.items()}
        case list():
            return [_mask_value(one, mask) for one in value]
        case tuple():
            return tuple(_mask_value(one, mask) for one in value)
    return value


def _mask_env(
    env: tuple[tuple[str, str | None], ...], mask: masks.Mask
) -> tuple[tuple[str, str | None], ...]:
    return tuple((key, None if value is None else mask(value)) for key, value in env)


def note_secrets(folder: str, file: str | None) -> None:
    """Write down that output in a run's folder may hold secrets, and whose stack knows them: not
    the secrets themselves, they may not be stored."""
    with (
        contextlib.suppress(OSError),  # a full disk may not keep a run from going on
        open(os.path.join(folder, NOTE), "w", encoding="utf-8") as note,
    ):
        note.write(file or "")
