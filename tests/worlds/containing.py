"""Containers for tests: specs of them, and what the engine itself says."""

import asyncio
from typing import Any

from stackdsl.model import specs
from tests import engines
from tests.worlds import native


def container(name: str, *argv: str, **fields: object) -> specs.ServiceSpec:
    """Return a replica in a container of busybox; ``container_fields`` go to its container."""
    inner: dict[str, Any] = {
        "name": f"shop-{name}-t",
        "image": specs.Image(reference=engines.BUSYBOX, pull="never"),
        **dict(fields.pop("container_fields", {})),  # type: ignore[call-overload]  # a test's own
    }
    return native.spec(
        name,
        *argv,
        cwd=fields.pop("folder", ""),
        **{"container": specs.Container(**inner), **fields},
    )


def sh(name: str, script: str, **fields: object) -> specs.ServiceSpec:
    """Return a container that runs a script."""
    return container(name, "sh", "-c", script, **fields)


async def ask(engine: engines.Engine, method: str, *args: Any, **named: Any) -> Any:
    """Ask the engine without holding up the loop."""
    return await asyncio.to_thread(getattr(engine.api, method), *args, **named)
