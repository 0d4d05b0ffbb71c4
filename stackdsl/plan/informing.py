"""The environment that a replica is told: its dependencies' addresses, and its own.

Laws: names are upper case with `_` for everything else; the author's own value wins; two sources
for one name that the author did not settle are an error.
"""

import re
from collections.abc import Mapping

from stackdsl.model import errors, refs, services
from stackdsl.plan import binding, probing

Pairs = tuple[tuple[str, str], ...]

_OTHER = re.compile(r"[^A-Z0-9]")


def make_key(text: str) -> str:
    """Return a name as the start of an environment variable: ``order-api`` is ``ORDER_API``."""
    return _OTHER.sub("_", text.upper())


def tell_dependency(service: services.Service, ref: refs.Ref) -> Pairs:
    """Return what is told of a dependency; nothing of one that has no port.

    Callers of a stable service are told its one address only, so that scaling it changes nothing
    for them.
    """
    if ref.default is None:
        return ()
    prefix = make_key(service.name)
    pairs = list(_tell_port(prefix, ref.default))
    for port in ref.ports.values():
        if port.name != "default":
            pairs.extend(_tell_port(f"{prefix}_{make_key(port.name)}", port))
    singles = (ref,) if service.is_stable else ref.replicas
    addresses = [single.default.addr for single in singles if single.default is not None]
    pairs.append((f"{prefix}_ADDRS", ",".join(addresses)))
    return tuple(pairs)


def _tell_port(prefix: str, port: refs.PortRef) -> Pairs:
    pairs = (
        (f"{prefix}_HOST", port.host),
        (f"{prefix}_PORT", str(port.port)),
        (f"{prefix}_ADDR", port.addr),
    )
    return pairs if port.scheme is None else (*pairs, (f"{prefix}_URL", port.url))


def tell_self(service: services.Service, run: str, index: int, site: probing.Site) -> Pairs:
    """Return what a replica is told of itself."""
    pairs = [("HOST", site.bind)]
    default = binding.find_default(service)
    for port in site.ports:
        key = "PORT" if port.name == default else f"{make_key(port.name)}_PORT"
        pairs.append((key, str(port.bound_port)))
    pairs.append(("STACKDSL_RUN", run))
    pairs.append(("STACKDSL_SERVICE", service.name))
    pairs.append(("STACKDSL_INDEX", str(index)))
    pairs.append(("STACKDSL_DIR", site.folder))
    return tuple(pairs)


def merge(
    service: services.Service, own: Pairs, told: Mapping[str, Pairs]
) -> tuple[tuple[str, str | None], ...]:
    """Return the environment (None: removed), sorted. ``told`` is what each dependency brings.

    Raises:
        PlanError: names have two sources and the author did not say which value holds.
    """
    merged: dict[str, str | None] = dict(own)
    for pairs in told.values():
        merged.update(pairs)
    if len(merged) < len(own) + sum(map(len, told.values())):
        errors.raise_all(_find_clashes(service, own, told))
    merged.update(service.env)
    return tuple(sorted(merged.items()))


def _find_clashes(
    service: services.Service, own: Pairs, told: Mapping[str, Pairs]
) -> list[errors.StackError]:
    settled = {key for key, _ in service.env}
    first: dict[str, str] = {}
    wrong: list[errors.StackError] = []
    for source, pairs in (("me", own), *told.items()):
        for key, _ in pairs:
            if key in first and key not in settled:
                wrong.append(_report_clash(service, key, (first[key], source)))
            first.setdefault(key, source)
    return wrong


def _report_clash(
    service: services.Service, key: str, sources: tuple[str, str]
) -> errors.StackError:
    first, second = (
        f'"{service.name}" itself' if source == "me" else f'its dependency "{source}"'
        for source in sources
    )
    return errors.PlanError(
        "plan.env-clash",
        f'cannot tell "{service.name}" ${key}: two sources give it',
        where=str(service.where),
        why=f"both {first} and {second} bring it",
        do=f'say which: env={{"{key}": …}} on "{service.name}", or rename one of the ports',
    )
