"""A person's command in a container of a run: which engine, which container."""

import asyncio
from collections.abc import Sequence

from stackdsl.model import errors, specs
from stackdsl.node import enginekeeping


def find_container(spec: specs.ServiceSpec) -> str | None:
    """Return the name or id of the container that a replica is; None if it is none."""
    if spec.container is not None:
        return spec.container.name
    return spec.attach_container


def visit(folder: str, container: str, argv: Sequence[str], name: str) -> int:
    """Run a command in a replica's container with our own standard streams; return its exit code.

    Raises:
        UsageError: the container does not run, or has no such program.
        HostError: the engine is not reached.
    """
    from stackdsl.node import engines, visiting  # only where there are containers

    endpoint = enginekeeping.read_note(folder)
    try:
        if endpoint is None:
            raise engines.refusal(404, "the run has made no container yet")
        return asyncio.run(visiting.visit(endpoint, container, argv))
    except engines.Refused as error:
        raise errors.UsageError(
            "usage.exec-failed",
            f'cannot run "{argv[0]}" in "{name}": {error.explanation}',
            do=f"see `stackdsl status`; start it if it does not run: stackdsl start {name}",
        ) from error
