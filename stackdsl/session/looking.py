"""Looks that change nothing: what a start would do now, and what the machine can do."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Literal

from stackdsl import ports
from stackdsl.model import errors, facts, plans, stacks
from stackdsl.model.data import dataclass
from stackdsl.plan import capabilities, placing, planning
from stackdsl.registry import places
from stackdsl.registry import store as stores
from stackdsl.session import background, masking, naming, nodes, preparing

HOST = placing.LOCAL
_OBSERVE_TIMEOUT_S = 10.0


async def plan_here(stack: stacks.StackModel, store: stores.Store, copy: str | None) -> plans.Plan:
    """Return what `run`, or `start` on a living run, would do now; nothing is changed.

    Raises:
        StackError: everything that would keep it from starting.
    """
    errors.raise_all(capabilities.check_supported(stack))
    process = nodes.NodeProcess.spawn()
    try:
        node = await process.connect()
    except BaseException:
        process.discard()
        raise
    try:
        if placing.list_far_hosts(stack):
            return await _plan_far(node, stack, store, copy)
        async with asyncio.timeout(_OBSERVE_TIMEOUT_S):
            return await _plan_with({HOST: node}, stack, store, copy)
    finally:
        node.close()
        await process.wait()


async def _plan_far(
    node: ports.Node, stack: stacks.StackModel, store: stores.Store, copy: str | None
) -> plans.Plan:
    """Do as `_plan_with` with nodes on the stack's other machines, which keep nothing of it."""
    # stacks on one machine do without SSH
    from stackdsl.session import farkeeping

    run = naming.run_name(stack.name, copy)
    record = store.record(run)
    folder = places.run_folder(store.root, run)
    identity = ports.RunIdentity(
        run=run,
        run_id="RUN" if record is None else record.run_id,
        stack=stack.name,
        folder=folder,
    )
    async with farkeeping.looking(placing.list_far_hosts(stack), identity) as fars:
        return await _plan_with({HOST: node, **fars}, stack, store, copy)


async def _plan_with(
    nodes: Mapping[str, ports.Node], stack: stacks.StackModel, store: stores.Store, copy: str | None
) -> plans.Plan:
    run = naming.run_name(stack.name, copy)
    previous, observed = await _ask_living(store.record(run), stack.file)
    seen = await preparing.look(nodes, store, run, stack, previous)
    with masking.masked_errors(stack.secrets):
        plan = planning.make_plan(
            stack,
            seen,
            run=run,
            folder=places.run_folder(store.root, run),
            previous=previous,
            observed=observed,
        )
    with masking.masked_errors((*stack.secrets, *masking.find_secrets(plan))):
        await preparing.check_programs(nodes, plan)
    return masking.mask_plan(plan, stack.secrets)


async def _ask_living(
    record: stores.Record | None, file: str | None
) -> tuple[plans.Plan | None, tuple[plans.Observed, ...]]:
    """Return the plan that a living run of the same file keeps, and what stands of it."""
    if record is None or not record.has_controller or record.file != file:
        return None, ()
    async with background.connect(record) as client:
        previous, status = await client.plan(), await client.status()
    digests = {one.name: one.digest for one in previous.services}
    return previous, tuple(
        plans.Observed(
            name=one.name, kind=one.kind, state=one.state, digest=digests.get(one.name, "")
        )
        for one in status.services
        if one.state != "waiting" and one.host
    )


def plan_for(
    stack: stacks.StackModel, seen: facts.Facts, copy: str | None, root: str
) -> plans.Plan:
    """Return the plan for machines that are described, not looked at."""
    run = naming.run_name(stack.name, copy)
    folder = places.run_folder(root, run)
    with masking.masked_errors(stack.secrets):
        plan = planning.make_plan(stack, seen, run=run, folder=folder)
    return masking.mask_plan(plan, stack.secrets)


def read_facts(path: str) -> facts.Facts:
    """Return the facts in a JSON file: ``{"hosts": [{"name": "local", …}], "reached": […]}`` with
    the fields of `model.facts`, as `stackdsl doctor --json` prints them under "facts".

    Raises:
        UsageError: it cannot be read, or is something else.
    """
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
        if isinstance(value, dict) and "facts" in value:
            value = value["facts"]
        made = _make(facts.Facts, value)
    except (OSError, ValueError, TypeError) as error:
        raise errors.UsageError(
            "usage.facts",
            f'cannot read facts from "{path}": {error}',
            do="write them with: stackdsl doctor --json > facts.json",
        ) from error
    assert isinstance(made, facts.Facts)
    return made


_PARTS: Mapping[str, type[Any]] = {
    "hosts": facts.HostFacts, "reached": facts.Reach, "listeners": facts.Listener,
    "containers": facts.FoundContainer,
}  # fmt: skip


def _make(cls: type[Any], value: object) -> object:
    """Return a record of facts from JSON values; unknown fields are refused."""
    if not isinstance(value, dict):
        raise TypeError(f"{cls.__name__} is an object, not {value!r}")
    known = {field.name for field in fields(cls)}
    unknown = sorted(set(value) - known)
    if unknown:
        raise TypeError(f'{cls.__name__} has no "{unknown[0]}"; it has {", ".join(sorted(known))}')
    made: dict[str, object] = {}
    for key, item in value.items():
        part = _PARTS.get(key)
        if part is not None:
            made[key] = tuple(_make(part, one) for one in item)
        elif key == "engine" and item is not None:
            made[key] = _make(facts.Engine, item)
        else:
            made[key] = _freeze(item)
    return cls(**made)


def _freeze(value: object) -> object:
    return tuple(_freeze(one) for one in value) if isinstance(value, list) else value


def facts_json(value: object) -> object:
    """Return facts as JSON values, as `read_facts` reads them."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: facts_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [facts_json(item) for item in value]
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that this machine has or lacks. "missing": local runs need it; "limited": they do
    without; "optional": only other kinds of places need it."""

    name: str
    state: Literal["ok", "limited", "missing", "optional"]
    detail: str
    do: str = ""


async def examine() -> tuple[tuple[Finding, ...], facts.Facts | None]:
    """Look at this machine; return what was found, and the facts where a node could be started."""
    found = [_check_python(), _check_system()]
    try:
        seen: facts.Facts | None = await _observe()
    except (errors.StackError, OSError, TimeoutError) as error:
        seen = None
        found.append(
            Finding(
                name="node",
                state="missing",
                detail=f"no node could be started: {error}",
                do="look for a full disk or a limit on processes (ulimit -u)",
            )
        )
    if seen is not None:
        found += _check_host(seen.hosts[0])
    found += [_check_loopback(), _check_state_folder(), *_check_others()]
    return tuple(found), seen


async def _observe() -> facts.Facts:
    process = nodes.NodeProcess.spawn()
    node = None
    try:
        node = await process.connect()
        async with asyncio.timeout(_OBSERVE_TIMEOUT_S):
            host = await node.observe(ports.Wanted(has_engine=True, has_networks=True))
    finally:
        if node is None:
            process.discard()
        else:
            node.close()
            await process.wait()
    return facts.Facts(hosts=(replace(host, listeners=host.listeners),))


def _check_python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(name="python", state="ok", detail=f"{version} ({sys.executable})")


def _check_system() -> Finding:
    system = os.uname()
    if system.sysname != "Linux":
        return Finding(
            name="kernel",
            state="missing",
            detail=f"{system.sysname} {system.release}",
            do="run stacks on Linux or WSL2; validate and graph work everywhere",
        )
    return Finding(name="kernel", state="ok", detail=f"Linux {system.release}")


def _check_host(host: facts.HostFacts) -> list[Finding]:
    limits = [
        word
        for word, has in (("memory", host.has_memory_limit), ("cpu", host.has_cpu_limit))
        if has
    ]
    cgroup = Finding(
        name="cgroup",
        state="ok" if host.has_cgroup else "limited",
        detail=(f"version 2, limits for {' and '.join(limits) or 'nothing'}")
        if host.has_cgroup
        else "no cgroup of ours may be made: what services leave behind is found by other marks",
        do="" if host.has_cgroup else "run as root, or in a delegated cgroup (systemd-run --user)",
    )
    who = "root" if host.is_root else f"user {os.geteuid()}"
    first = host.first_port
    port = "every port may be bound" if first == 0 else f"ports from {first} on may be bound"
    privileges = Finding(
        name="privileges",
        state="ok" if first == 0 else "limited",
        detail=f"{who}; {port}",
        do="" if first == 0 else "lower ones are given one from 20000-29999; see the plan",
    )
    return [cgroup, privileges, *_check_containers(host)]


def _check_containers(host: facts.HostFacts) -> list[Finding]:
    """Return what there is for containers and isolated processes; others do without."""
    networks = Finding(
        name="networks",
        state="ok" if host.can_network else "limited",
        detail="interfaces, addresses and namespaces may be made"
        if host.can_network
        else "containers reach natives through their gateway; nothing can be isolated",
        do="" if host.can_network else "run as root, where one of these is wanted",
    )
    engine = host.engine
    if engine is None or engine.problem:
        why = engine.problem.replace("\n", "; ") if engine is not None else "not looked for"
        do = engine.do if engine is not None else ""
        found = Finding(
            name="docker", state="optional", detail=f"only containers need it: {why}", do=do
        )
        return [networks, found]
    detail = f"version {engine.version} (API {engine.api}) at {engine.endpoint}"
    return [networks, Finding(name="docker", state="ok", detail=detail)]


def _check_loopback() -> Finding:
    import socket

    with socket.socket() as probe:
        try:
            probe.bind(("127.42.0.1", 0))
        except OSError as error:
            return Finding(
                name="loopback",
                state="missing",
                detail=f"127.42.0.1 cannot be bound: {error.strerror}",
                do="bring it up: ip link set lo up (its address must be 127.0.0.1/8)",
            )
    return Finding(name="loopback", state="ok", detail="all of 127.0.0.0/8 may be bound")


def _check_state_folder() -> Finding:
    root = places.state_root()
    there = root
    while not os.path.exists(there):
        there = os.path.dirname(there)
    is_writable = os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)
    free = f"{shutil.disk_usage(there).free / 2**30:.1f} GiB free"
    return Finding(
        name="state folder",
        state="ok" if is_writable else "missing",
        detail=f"{root}, {free}",
        do="" if is_writable else "make it writable, or name another in $STACKDSL_STATE",
    )


def _check_others() -> list[Finding]:
    """Return what places other than this machine's processes will want."""
    wanted = (
        ("ssh", "other machines", ("ssh",)),
        ("wireguard", "the network between machines", ("wg", "wireguard-go", "boringtun-cli")),
    )
    found: list[Finding] = []
    for name, what, programs in wanted:
        at = next((path for path in map(shutil.which, programs) if path), None)
        detail = f"{at}, for {what}" if at else f"not found; only {what} would need it"
        found.append(Finding(name=name, state="ok" if at else "optional", detail=detail))
    return found
