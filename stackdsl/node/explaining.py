"""Why a service did not become ready in time: what was probed, what was seen, where it listens."""

from collections.abc import Sequence

from stackdsl.model import facts, specs
from stackdsl.node import probing

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  # compared, not bound


def explain_unready(
    spec: specs.ServiceSpec,
    trials: Sequence[probing.Trial],
    listeners: Sequence[facts.Listener],
    waited_s: float | None = None,
) -> tuple[str, str]:
    """Return the reason and what to do. ``listeners`` are the replica's own sockets; ``waited_s``
    is how long it has been waited so far, None where the start timeout is over."""
    missing = [trial for trial in trials if trial.last]
    limit = f"{spec.start_timeout_s if waited_s is None else waited_s:.4g} s"
    if not missing:
        return (
            f"its hook after_ready {'took over' if waited_s is None else 'has run for'} {limit}",
            "make the hook quicker, or give it more start_timeout",
        )
    seen = "; ".join(trial.describe() for trial in missing)
    reason = f"{seen} in {limit}"
    check = next((trial.check for trial in missing if trial.check.port), None)
    if check is None:
        if any("HEALTHCHECK" in trial.last for trial in missing):
            return reason, "add HEALTHCHECK to the image's Dockerfile, or probe another way: ready="
        return reason, "find out what it waits for, or give it more start_timeout"
    return _explain_socket(spec, reason, [trial.last for trial in missing], check, listeners)


def _explain_socket(
    spec: specs.ServiceSpec,
    reason: str,
    seen: Sequence[str],
    check: specs.Check,
    listeners: Sequence[facts.Listener],
) -> tuple[str, str]:
    wanted = f"{check.host}:{check.port}"
    if any(last.startswith("is held by") for last in seen):
        return reason, f'end what holds {wanted}, or give "{spec.service}" another port'
    if any(last.startswith("answered") for last in seen):
        return reason, "correct what ready= asks for or what it answers, or give more start_timeout"
    if any(_serves(each, check) for each in listeners):
        return reason, "find out why it does not answer, or give it more start_timeout"
    if not listeners:
        return (
            f"{reason}; it listens on nothing",
            f"make it listen on {wanted} (me.bind, me.port), or give it more start_timeout",
        )
    where = _say_where(listeners)
    is_inside = spec.container is not None or spec.namespace is not None
    advise = _advise_inside if is_inside else _advise_native
    return f"{reason}; it listens on {where}", advise(check, listeners)


def _advise_native(check: specs.Check, listeners: Sequence[facts.Listener]) -> str:
    wanted = f"make it listen on {check.host}:{check.port} (me.bind, me.port)"
    reachable = [each for each in listeners if each.address in (check.host, *_EVERYWHERE)]
    if reachable:
        return f"{wanted}, or declare the port that it takes: port={reachable[0].port}"
    first = f"{listeners[0].address}:{listeners[0].port}"
    return f'{wanted}, or say Port({check.port}, listens="{first}")'


def _advise_inside(check: specs.Check, listeners: Sequence[facts.Listener]) -> str:
    """Return what to do where nobody outside reaches its 127.0.0.1."""
    if any(each.port == check.port for each in listeners):
        return "let it listen on 0.0.0.0 (me.bind)"
    reachable = [each for each in listeners if each.address in (check.host, *_EVERYWHERE)]
    if reachable:
        return (
            f"declare the port that it takes: port={reachable[0].port},"
            f" or make it listen on {check.port} (me.port)"
        )
    return f"let it listen on 0.0.0.0:{check.port} (me.bind, me.port)"


def say_elsewhere(trials: Sequence[probing.Trial], listeners: Sequence[facts.Listener]) -> str:
    """Return where a replica listens instead of where it is probed; "" if it listens there, or
    nowhere yet."""
    own = [each for each in listeners if each.protocol == "tcp"]
    for check in (trial.check for trial in trials if trial.last and trial.check.port):
        if own and not any(_serves(each, check) for each in own):
            return f"listens on {_say_where(own)}, not on {check.host}:{check.port}"
    return ""


def _say_where(listeners: Sequence[facts.Listener]) -> str:
    return ", ".join(f"{each.address}:{each.port}" for each in listeners)


def _serves(listener: facts.Listener, check: specs.Check) -> bool:
    return listener.port == check.port and listener.address in (check.host, *_EVERYWHERE)
