"""Looking at the engine, the images and the networks of this machine before anything is planned."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from stackdsl.model import errors, facts, specs
from stackdsl.model.requests import Wanted
from stackdsl.node import (
    contexts,
    enginekeeping,
    engines,
    images,
    observing,
    privileges,
    routes,
)


async def survey(wanted: Wanted, access: engines.Access) -> facts.HostFacts:
    """Return the facts of this machine; what is wrong with its engine is a fact too."""
    seen = observing.observe(wanted)
    if not (wanted.has_engine or wanted.has_networks):
        return seen
    subnets = set(routes.list_subnets(wanted.run_id)) if wanted.has_networks else set()
    if wanted.has_networks:
        seen = replace(seen, can_network=await asyncio.to_thread(privileges.can_network))
    if wanted.has_engine:
        try:
            engine = await access.get()
            seen = await _look(seen, wanted, engine)
            own, others = await _list_networks(engine, wanted.run_id)
            subnets = (subnets | others) - own
        except errors.HostError as error:
            seen = replace(seen, engine=_explain(access.url, error))
    return replace(seen, subnets=tuple(sorted(subnets)))


def _explain(url: str, error: errors.HostError) -> facts.Engine:
    problem = "\n".join(part for part in (error.what, error.why) if part)
    return facts.Engine(endpoint=url, problem=problem, do=error.do)


async def _look(seen: facts.HostFacts, wanted: Wanted, engine: engines.Engine) -> facts.HostFacts:
    missing = await images.find_missing(engine, wanted.images)
    builds = await _take_builds(engine, wanted.images)
    names = dict.fromkeys(wanted.containers)
    found = await engines.at_once(_find_container(engine, name) for name in names)
    return replace(
        seen,
        engine=engine.seen,
        images_missing=missing,
        builds=builds,
        containers=tuple(each for each in found if each is not None),
    )


async def _take_builds(
    engine: engines.Engine, wanted: Iterable[specs.Image]
) -> tuple[tuple[str, str], ...]:
    """Return (context, fingerprint) of the contexts from which something can be built."""
    dockerfiles: dict[str, list[str]] = {}
    for image in wanted:
        if image.build is not None and not contexts.find_fault(image.build):
            path = contexts.path_of_dockerfile(image.build)
            dockerfiles.setdefault(image.build.context, []).append(path)
    taken = await engines.at_once(
        engine.call(contexts.take_fingerprint, context, paths)
        for context, paths in dockerfiles.items()
    )
    return tuple(sorted(zip(dockerfiles, taken, strict=True)))


async def _find_container(engine: engines.Engine, name: str) -> facts.FoundContainer | None:
    try:
        found = await engine.call(engine.api.inspect_container, name)
    except engines.Refused as error:
        if error.status == 404:
            return None
        raise
    return facts.FoundContainer(
        name=name, id=found["Id"], address=_address_of(found), state=found["State"]["Status"]
    )


def _address_of(found: Mapping[str, Any]) -> str:
    """Return the address at which the machine reaches a container: that of the first network that
    gave it one; one on the machine's own network is reached at loopback."""
    if (found.get("HostConfig") or {}).get("NetworkMode") == "host":
        return "127.0.0.1"
    networks = (found.get("NetworkSettings") or {}).get("Networks") or {}
    addresses = [networks[name].get("IPAddress", "") for name in sorted(networks)]
    return next((each for each in addresses if each), "")


async def _list_networks(engine: engines.Engine, run_id: str) -> tuple[set[str], set[str]]:
    """Return the subnets of the run's own networks, and those of all others."""
    own: set[str] = set()
    others: set[str] = set()
    for network in await engine.call(engine.api.networks):
        labels = network.get("Labels") or {}
        configs = (network.get("IPAM") or {}).get("Config") or ()
        subnets = {each["Subnet"] for each in configs if ":" not in each.get("Subnet", ":")}
        (own if run_id and labels.get(enginekeeping.RUN) == run_id else others).update(subnets)
    return own, others
