"""What containers are made from, what has to be looked up for that, and what of it is missing."""

import hashlib
import posixpath
from collections.abc import Mapping

from stackdsl.model import errors, facts, places, services, specs, stacks
from stackdsl.plan import bridging, placing

_NONE: Mapping[str, str] = {}


def make_image(place: places.Docker, fingerprints: Mapping[str, str] = _NONE) -> specs.Image:
    """Return the image of a container; ``fingerprints`` are those of contexts, where known.

    A built one is named after its context and the way it is built, so that services that are built
    alike share it; its next version takes the name over, as with `docker build -t`.
    """
    pull = place.pull
    assert pull in {"missing", "always", "never"}, "checked when the stack was read"
    if place.build is None:
        return specs.Image(reference=place.image or "", pull=pull)  # type: ignore[arg-type]  # ditto
    build = specs.Build(
        context=place.build.context,
        dockerfile=place.build.dockerfile,
        args=place.build.args,
        target=place.build.target,
        fingerprint=fingerprints.get(place.build.context, ""),
    )
    how = repr((build.context, build.dockerfile, build.args, build.target))
    mark = hashlib.blake2s(how.encode(), digest_size=3).hexdigest()
    stem = bridging.make_name(posixpath.basename(build.context)).lower().strip("-._") or "image"
    return specs.Image(reference=f"stackdsl/{stem}-{mark}:latest", build=build, pull=pull)  # type: ignore[arg-type]  # ditto


def list_images(stack: stacks.StackModel, host: str = placing.LOCAL) -> tuple[specs.Image, ...]:
    """Return the images that a stack wants on a machine, each once, fingerprints unknown."""
    images = {
        make_image(service.runs_on)
        for service in stack.services
        if isinstance(service.runs_on, places.Docker)
        and placing.find_host(service.runs_on.on) == host
    }
    return tuple(sorted(images, key=lambda image: (image.reference, image.pull)))


def list_containers(stack: stacks.StackModel, host: str = placing.LOCAL) -> tuple[str, ...]:
    """Return the containers of others that a stack takes hold of on a machine."""
    names = {
        place.container
        for place in (service.runs_on for service in stack.services)
        if isinstance(place, places.Attach)
        and place.container is not None
        and placing.find_host(place.on) == host
    }
    return tuple(sorted(names))


def find_missing(world: placing.Survey) -> list[errors.StackError]:
    """Return an error for each engine that cannot be used, and else for each image and container
    that is not to be had; none where nobody looked."""
    wrong: list[errors.StackError] = []
    for name, host in world.hosts.items():
        wanting = [s for s in world.by_name.values() if _wants_engine(s, name)]
        engine = host.engine
        if not wanting or engine is None or world.seen.is_offline:
            continue
        if engine.problem:
            wrong.append(_report_no_engine(wanting, host, engine))
            continue
        missing = dict(host.images_missing)
        for service in wanting:
            place = service.runs_on
            if isinstance(place, places.Docker):
                image = make_image(place)
                if image.reference in missing:
                    wrong.append(_report_no_image(service, image, missing[image.reference]))
            elif isinstance(place, places.Attach):
                wrong.extend(_find_no_container(service, place, host))
    return wrong


def _wants_engine(service: services.Service, host: str) -> bool:
    place = service.runs_on
    if isinstance(place, places.Docker) or placing.is_found_container(service):
        return placing.find_stand(service).host == host
    return False


def _report_no_engine(
    wanting: list[services.Service], host: facts.HostFacts, engine: facts.Engine
) -> errors.StackError:
    first, rest = wanting[0], len(wanting) - 1
    others = f" and {rest} more" if rest else ""
    return errors.HostError(
        "host.no-engine",
        f'cannot place "{first.name}"{others}: "{host.name}" has no Docker engine that can be used',
        where="\n".join(str(service.where) for service in wanting[:3]),
        why=engine.problem,
        do=engine.do or "install Docker, start it, or name its address in $DOCKER_HOST",
    )


def _report_no_image(
    service: services.Service, image: specs.Image, reason: str
) -> errors.StackError:
    why, _, do = reason.partition("\n")
    what = f'image "{image.reference}"' if image.build is None else f'"{image.build.context}"'
    deed = "run" if image.build is None else "build"
    return errors.PlanError(
        "plan.no-image",
        f'cannot {deed} "{service.name}" from {what}: it is not to be had',
        where=str(service.where),
        why=why,
        do=do or "correct its name, log in to its registry (docker login), or give build=",
    )


def _find_no_container(
    service: services.Service, place: places.Attach, host: facts.HostFacts
) -> list[errors.StackError]:
    asked = place.container or ""
    found = [one for one in host.containers if one.name == asked or one.id.startswith(asked)]
    if found and found[0].address:
        return []
    state = f"it is {found[0].state or 'not reachable'}" if found else "there is none of that name"
    return [
        errors.PlanError(
            "plan.no-container",
            f'cannot attach "{service.name}" to container "{asked}": {state}',
            where=str(service.where),
            why=f"looked for in the engine of {host.name}",
            do="start it first (docker start), or correct its name (docker ps -a)",
        )
    ]
