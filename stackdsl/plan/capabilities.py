"""What this release can carry out: plans speak of more than that already."""

from stackdsl.model import errors, places, services, stacks


def check_supported(stack: stacks.StackModel) -> list[errors.PlanError]:
    """Return an error for each service that can be planned but not yet be run."""
    wrong: list[errors.PlanError] = []
    for service in sorted(stack.services, key=lambda s: (s.where.file, s.where.line, s.name)):
        missing = _find_missing(service)
        if missing:
            wrong.append(_report(service, *missing))
    if stack.network.encrypt == "always" and len(_list_hosts(stack)) > 1:
        wrong.append(
            errors.PlanError(
                "plan.not-yet",
                f'cannot run stack "{stack.name}": encrypt="always" needs the mesh',
                where=stack.file or "",
                why="links through WireGuard are planned for a later release",
                do='leave Network(encrypt=…) at "auto"',
            )
        )
    return wrong


def _find_missing(service: services.Service) -> tuple[str, str] | None:
    """Return what is missing and what to do instead, None if nothing is."""
    missing = _find_missing_place(service.runs_on)
    if missing is None and isinstance(service.runs_on, places.Ssh):
        missing = _find_missing_far(service)
    if missing is None and service.network == "wireguard":
        missing = 'network="wireguard"', 'leave network at "auto"'
    if missing is None and service.scale is not None:
        missing = "scale=", f"give replicas={service.scale.min}"
    if missing is None and service.sync:
        missing = "sync=", "leave sync out; what runs here reads the files where they are"
    return missing


def _find_missing_far(service: services.Service) -> tuple[str, str] | None:
    """Return what is missing on other machines only."""
    if service.is_isolated:
        return "isolated= on other machines", "leave isolated out"
    if service.watch:
        return "watch= on other machines", "leave watch out; restart it by hand"
    return None


def _find_missing_place(place: places.Place) -> tuple[str, str] | None:
    missing = None
    match place:
        case places.Docker(on=places.Ssh()):
            missing = "containers on other machines", "leave on= out to run it here"
        case places.Systemd():
            missing = "systemd units", 'start the unit yourself and give attach(process="…")'
        case places.Attach() if place.systemd is not None:
            missing = "attached units", "give attach(pid=…) or attach(process=…)"
        case places.Attach() if isinstance(place.on, places.Ssh):
            missing = "processes on other machines", "attach to a process of this machine"
        case _:
            pass
    return missing


def _report(service: services.Service, missing: str, do: str) -> errors.PlanError:
    return errors.PlanError(
        "plan.not-yet",
        f'cannot run {service.kind} "{service.name}": {missing} cannot be carried out yet',
        where=str(service.where),
        why=f'it is to run on "{service.runs_on}"; this release runs processes and containers'
        " of this machine",
        do=do,
    )


def _list_hosts(stack: stacks.StackModel) -> set[str]:
    hosts: set[str] = set()
    for service in stack.services:
        place = service.runs_on
        if isinstance(place, places.External):
            continue
        at = place if isinstance(place, places.Local | places.Ssh) else place.on
        hosts.add(at.host if isinstance(at, places.Ssh) else "local")
    return hosts
