"""Masking: secrets never stand in what we print or store; here, those of whole plans."""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import replace

from stackdsl.model import masks, plans, specs

NOTE = "has-secrets"

make_mask = masks.make_mask
masked_errors = masks.masked_errors


def find_secrets(plan: plans.Plan) -> tuple[str, ...]:
    """Return the secrets that bodies asked for while the plan was made."""
    found = (secret for service in plan.services if service.spec for secret in service.spec.secrets)
    return tuple(dict.fromkeys(found))


def mask_plan(plan: plans.Plan, secrets: Sequence[str]) -> plans.Plan:
    """Return the plan with every secret masked in commands, environments and files."""
    secrets = (*secrets, *find_secrets(plan))
    if not any(secrets):
        return plan
    mask = make_mask(secrets)
    return replace(plan, services=tuple(_mask_service(one, mask) for one in plan.services))


def _mask_service(service: plans.PlannedService, mask: masks.Mask) -> plans.PlannedService:
    command = None if service.command is None else tuple(map(mask, service.command))
    spec = None if service.spec is None else _mask_spec(service.spec, mask)
    return replace(service, env=_mask_env(service.env, mask), command=command, spec=spec)


def _mask_spec(spec: specs.ServiceSpec, mask: masks.Mask) -> specs.ServiceSpec:
    stop = spec.stop_command
    return replace(
        spec,
        argv=tuple(map(mask, spec.argv)),
        env=_mask_env(spec.env, mask),
        files=tuple(replace(f, text=None if f.text is None else mask(f.text)) for f in spec.files),
        hooks=tuple((kind, tuple(map(mask, argv))) for kind, argv in spec.hooks),
        stop_command=None if stop is None else tuple(map(mask, stop)),
        secrets=(),
    )


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
