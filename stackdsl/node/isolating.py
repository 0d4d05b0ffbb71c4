"""The place of an isolated process: made before each start, found again by the process itself."""

import contextlib
import os

from stackdsl.model import errors, specs
from stackdsl.node import namespaces


async def make_place(spec: specs.ServiceSpec, folder: str) -> namespaces.Place:
    """Make a namespace for one start of a replica; ``folder`` is the run's.

    Raises:
        ServiceError: the machine refuses.
    """
    assert spec.namespace is not None
    hosts = os.path.join(folder, f"{spec.name}.hosts")
    try:
        namespaces.write_hosts(hosts, spec.namespace.hosts)
        return await namespaces.make(spec.namespace, hosts)
    except errors.HostError as error:
        raise errors.ServiceError(
            "start.no-namespace",
            f"it cannot be isolated: {error.what}",
            why=error.why,
            do=error.do,
        ) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(hosts)  # what is mounted stays


def find_place(pid: int) -> namespaces.Place | None:
    """Return the namespace of a process that an earlier node has started."""
    return namespaces.find(pid)
