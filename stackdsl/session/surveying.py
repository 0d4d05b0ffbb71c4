"""Looking at several machines side by side, and at who reaches whom."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace

from stackdsl import ports
from stackdsl.model import facts, stacks
from stackdsl.plan import placing

# What containers and virtual machines have is no way between machines; it answers nobody's number.
_ADDRESSES_MAX = 16


async def survey(
    nodes: Mapping[str, ports.Node], wanted: ports.Wanted, stack: stacks.StackModel
) -> tuple[list[facts.HostFacts], tuple[facts.Reach, ...]]:
    """Return the facts of every machine, this one's first, and who reached whom of those that call
    each other. ``wanted`` is what has to be looked up here.

    Raises:
        StackError: a machine was lost.
    """
    key = os.urandom(16).hex()
    pairs = list_pairs(stack)
    first = {
        name: replace(
            wanted if name == placing.LOCAL else ports.Wanted(),
            meeting=(key, name) if any(target == name for _, target in pairs) else None,
        )
        for name in nodes
    }
    seen = await _observe(nodes, first)
    tries = {
        source: tuple(
            (target, address, seen[target].meeting_port)
            for one, target in sorted(pairs)
            if one == source and seen[target].meeting_port
            for address in seen[target].addresses[:_ADDRESSES_MAX]
        )
        for source in nodes
    }
    second = {
        name: ports.Wanted(meeting=(key, name), meets=some) for name, some in tries.items() if some
    }
    met = await _observe({name: nodes[name] for name in second}, second)
    reached = tuple(
        facts.Reach(source=source, target=target, address=address)
        for source, host in sorted(met.items())
        for target, address in host.met
    )
    order = sorted(seen, key=lambda name: (name != placing.LOCAL, name))
    return [replace(seen[name], meeting_port=0) for name in order], reached


async def _observe(
    nodes: Mapping[str, ports.Node], wanted: Mapping[str, ports.Wanted]
) -> dict[str, facts.HostFacts]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {
                name: group.create_task(node.observe(wanted[name]), name=f"observe {name}")
                for name, node in nodes.items()
            }
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return {name: task.result() for name, task in tasks.items()}


def list_pairs(stack: stacks.StackModel) -> set[tuple[str, str]]:
    """Return (caller's host, callee's host) of services on different machines."""
    stands = {service.name: placing.find_stand(service).host for service in stack.services}
    return {
        (stands[service.name], stands[need.name])
        for service in stack.services
        for need in service.needs
        if need.name in stands
        and stands[service.name] != stands[need.name]
        and stands[service.name]
        and stands[need.name]
    }
