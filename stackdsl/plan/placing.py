"""Where each service stands, and who calls whom: what every later part of the planner looks up."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from stackdsl.model import errors, facts, orders, places, plans, services, stacks

LOCAL = "local"

Vantage = plans.Vantage


class Stand(NamedTuple):
    """A machine and how one stands on it; two callers that stand alike are told alike."""

    host: str
    vantage: Vantage


class Survey(NamedTuple):
    """The stack, indexed. ``by_name`` and everything made from it are sorted by name.

    ``needs`` holds each service's needs with the callee's true name, each (name, condition) once;
    ``callers`` the distinct stands from which a callee's address is used, with the name of one
    caller there; ``hosts`` the facts of every machine that the stack uses.
    """

    stack: stacks.StackModel
    by_name: Mapping[str, services.Service]
    stands: Mapping[str, Stand]
    needs: Mapping[str, tuple[services.Need, ...]]
    callers: Mapping[str, Mapping[Stand, str]]
    stages: Mapping[str, int]
    hosts: Mapping[str, facts.HostFacts]
    seen: facts.Facts


def find_stand(service: services.Service) -> Stand:
    """Return where a service stands; an external one stands outside, on no machine."""
    place = service.runs_on
    match place:
        case places.External():
            return Stand("", "outside")
        case places.Docker():
            return Stand(find_host(place.on), "container")
        case places.Attach() | places.Systemd():
            # a container that others made is in none of our networks: it is called like a native
            return Stand(find_host(place.on), "native")
        case _:
            return Stand(find_host(place), "isolated" if service.is_isolated else "native")


def find_host(place: places.Local | places.Ssh) -> str:
    """Return the name that a plan gives to a machine."""
    return place.host if isinstance(place, places.Ssh) else LOCAL


def list_far_hosts(stack: stacks.StackModel) -> dict[str, places.Ssh]:
    """Return the other machines that a stack needs, by name."""
    found: dict[str, places.Ssh] = {}
    for service in stack.services:
        place = service.runs_on
        if isinstance(place, places.External):
            continue
        at = place if isinstance(place, places.Local | places.Ssh) else place.on
        if isinstance(at, places.Ssh):
            found.setdefault(at.host, at)
    return found


def is_launched(service: services.Service) -> bool:
    """Tell whether the run starts it, and so decides its addresses; the rest is as it is found."""
    return isinstance(service.runs_on, places.Local | places.Ssh | places.Docker)


def is_attached(service: services.Service) -> bool:
    """Tell whether it runs already, or by rules of its own, at an address that is not ours."""
    return isinstance(service.runs_on, places.Attach | places.Systemd)


def is_found_container(service: services.Service) -> bool:
    """Tell whether it is a container of others: it is told at addresses of ours all the same."""
    place = service.runs_on
    return isinstance(place, places.Attach) and place.container is not None


def stable_key(service: str) -> str:
    """Return the name under which a stable service's own address is kept."""
    return f"{service}*"


def survey(stack: stacks.StackModel, seen: facts.Facts) -> tuple[Survey, list[errors.StackError]]:
    """Index a stack; return it with what is wrong about its names and its order."""
    indexed = {service.name: service for service in sorted(stack.services, key=_by_name)}
    stands = {name: find_stand(service) for name, service in indexed.items()}
    needs, wrong = _resolve_needs(indexed)
    order = {
        name: [need.name for need in own if need.condition != "planned"]
        for name, own in needs.items()
    }
    stages = orders.find_stages(order)
    if any(stages.get(name, -1) <= stages.get(t, 0) for name, own in order.items() for t in own):
        wrong.extend(_report_cycles(order, indexed))
        stages = dict.fromkeys(indexed, 0)
    callers: dict[str, dict[Stand, str]] = {name: {} for name in indexed}
    for name, own in needs.items():
        stand = stands[name]
        for need in own:
            if need.is_addressed or need.parameter is not None:
                callers[need.name].setdefault(stand, name)
    return Survey(
        stack=stack,
        by_name=indexed,
        stands=stands,
        needs=needs,
        callers=callers,
        stages=stages,
        hosts=_find_hosts(stands, seen),
        seen=seen,
    ), wrong


def _by_name(service: services.Service) -> str:
    return service.name


def _find_hosts(stands: Mapping[str, Stand], seen: facts.Facts) -> dict[str, facts.HostFacts]:
    """Return the facts of every machine used; this one is always among them, and first."""
    known = {host.name: host for host in seen.hosts}
    used = sorted({stand.host for stand in stands.values()} - {LOCAL, ""})
    hosts = {LOCAL: known.get(LOCAL) or facts.HostFacts(name=LOCAL)}
    for name in used:
        hosts[name] = known.get(name) or facts.HostFacts(name=name, kind="ssh")
    return hosts


def _resolve_needs(
    indexed: Mapping[str, services.Service],
) -> tuple[dict[str, tuple[services.Need, ...]], list[errors.StackError]]:
    """Return each service's needs without repetition, and what names nothing."""
    dashed = {name.replace("_", "-"): name for name in indexed}
    wrong: list[errors.StackError] = []
    needs: dict[str, tuple[services.Need, ...]] = {}
    for name, service in indexed.items():
        own: dict[tuple[str, str, str | None], services.Need] = {}
        for need in service.needs:
            target = need.name if need.name in indexed else dashed.get(need.name)
            if target is None:
                wrong.append(_report_unknown(service, need.name, indexed))
                continue
            own.setdefault((target, need.condition, need.parameter), _rename(need, target))
        needs[name] = tuple(own[key] for key in sorted(own, key=_need_key))
    return needs, wrong


def _need_key(key: tuple[str, str, str | None]) -> tuple[str, str, str]:
    return key[0], key[1], key[2] or ""


def _rename(need: services.Need, name: str) -> services.Need:
    if need.name == name:
        return need
    return services.Need(
        name=name,
        condition=need.condition,
        parameter=need.parameter,
        is_addressed=need.is_addressed,
    )


def _report_unknown(
    service: services.Service, name: str, indexed: Mapping[str, services.Service]
) -> errors.StackError:
    import difflib  # only needed once something is wrong

    near = difflib.get_close_matches(name, indexed, n=1)
    return errors.PlanError(
        "plan.unknown-need",
        f'cannot plan {service.kind} "{service.name}": its need "{name}" is not in the stack',
        where=str(service.where),
        why=f"the stack holds {_enumerate(list(indexed))}",
        do=f'write "{near[0]}"' if near else f'add "{name}" to the stack, or take the need away',
    )


def _report_cycles(
    order: Mapping[str, Sequence[str]], indexed: Mapping[str, services.Service]
) -> list[errors.StackError]:
    return [
        errors.PlanError(
            "plan.cycle",
            f"cannot order the stack: {' needs '.join((*cycle, cycle[0]))}",
            where="\n".join(str(indexed[name].where) for name in cycle),
            why="each waits for the next, so none can be first",
            do=f'let one of them go without waiting: needs=[planned("{cycle[0]}")]',
        )
        for cycle in orders.find_cycles(order)
    ]


def _enumerate(names: Sequence[str]) -> str:
    shown = ", ".join(f'"{name}"' for name in names[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")
