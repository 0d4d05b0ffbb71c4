"""Steps that ready a machine for replicas: images, the run's bridge, links tried before a start."""

from collections.abc import Mapping, Sequence

from stackdsl import ports
from stackdsl.model import errors, plans, specs

PROVE_TIMEOUT_S = 5.0

Step = plans.PrepareImage | plans.SetNetwork | plans.ProveLinks


async def carry_out(nodes: Mapping[str, ports.Node], step: Step, where: str) -> None:
    """Do one step on its node; ``where`` is the place of its caller in the author's file.

    Raises:
        StackError: what the step is for cannot be had.
    """
    match step:
        case plans.PrepareImage():
            await nodes[step.host].prepare_image(step.image)
        case plans.SetNetwork():
            await nodes[step.subject].set_network(step.network)
        case plans.ProveLinks():
            causes = await nodes[step.host].prove(step.edges, PROVE_TIMEOUT_S)
            errors.raise_all(_find_unreachable(step.edges, causes, where))


async def probe_external(
    nodes: Mapping[str, ports.Node], step: plans.ProbeExternal, where: str
) -> None:
    """Try an external address from the host of its callers until it answers.

    Raises:
        StackError: it does not.
    """
    seen = await nodes[step.host].probe(step.checks, step.timeout_s)
    bad = [text for text in seen if text]
    if bad:
        raise errors.ServiceError(
            "run.external-unreachable",
            f'cannot reach external "{step.subject}" from "{step.host}": {bad[0]}',
            where=where,
            why=f"{step.checks[0].label} did not answer within {step.timeout_s:g} s",
            do="start it, or correct external(…)",
        )


def _find_unreachable(
    edges: Sequence[specs.Edge], causes: Sequence[str], where: str
) -> list[errors.StackError]:
    return [
        _report_unreachable(edge, cause, where)
        for edge, cause in zip(edges, causes, strict=True)
        if cause
    ]


def _report_unreachable(edge: specs.Edge, cause: str, where: str) -> errors.ServiceError:
    """Return the error for a link that lets no packet through; a second line of the cause says
    what to do."""
    why, _, do = cause.partition("\n")
    known = f'see what "{edge.target}" listens on: stackdsl status, stackdsl logs {edge.target}'
    return errors.ServiceError(
        "link.unreachable",
        say_unreachable(edge),
        where=where,
        why=why,
        do=do or known,
    )


def say_unreachable(edge: specs.Edge) -> str:
    """Return the fact that a link lets no packet through, as its error has it."""
    return f'cannot reach "{edge.target}" from "{edge.source}": {edge.host}:{edge.number}'
