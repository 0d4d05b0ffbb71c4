"""Masking: secrets never stand in what we print or store."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from stackdsl.model import plans

MASK = "***"


def make_mask(secrets: Sequence[str]) -> Callable[[str], str]:
    """Return a function that replaces every secret in a text; longest first."""
    ordered = sorted({secret for secret in secrets if secret}, key=len, reverse=True)

    def mask(text: str) -> str:
        for secret in ordered:
            if secret in text:
                text = text.replace(secret, MASK)
        return text

    return mask


def mask_plan(plan: plans.Plan, secrets: Sequence[str]) -> plans.Plan:
    """Return the plan with every secret masked in commands, environments and files."""
    if not any(secrets):
        return plan
    mask = make_mask(secrets)
    hidden = []
    for service in plan.services:
        spec = service.spec
        env = tuple((k, None if v is None else mask(v)) for k, v in service.env)
        command = None if service.command is None else tuple(map(mask, service.command))
        if spec is not None:
            spec = replace(
                spec,
                argv=tuple(map(mask, spec.argv)),
                env=tuple((k, None if v is None else mask(v)) for k, v in spec.env),
                files=tuple(
                    replace(f, text=None if f.text is None else mask(f.text)) for f in spec.files
                ),
                hooks=tuple((k, tuple(map(mask, argv))) for k, argv in spec.hooks),
                stop_command=None
                if spec.stop_command is None
                else tuple(map(mask, spec.stop_command)),
            )
        hidden.append(replace(service, env=env, command=command, spec=spec))
    return replace(plan, services=tuple(hidden))
