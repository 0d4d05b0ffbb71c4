"""Settings: what `Stack(name, …)` says for all services of a stack, written down and read."""

import os
import re
from typing import Any

from stackdsl.dsl import conversions, faults, keywords, ledgers, units, values, written
from stackdsl.model import stacks
from stackdsl.model.data import dataclass

StackSettings = written.StackSettings

_NETWORK, _CRASH = stacks.Network(), stacks.Crash()
_DEFAULTS = keywords.SERVICE - {"name", "port", "ports"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds for a whole stack."""

    name: str
    network: stacks.Network = _NETWORK
    crash: stacks.Crash = _CRASH
    log_limit_bytes: int = 64 * 1024 * 1024


def record(
    name: str | None,
    given: dict[str, Any],
    *,
    namespace: dict[str, Any] | None = None,
    depth: int = 1,
) -> StackSettings:
    """Write down what ``Stack(name, **given)`` was called with.

    ``given`` holds network, on_crash, log_limit and any keyword of service(…) as a default. A
    ``name`` of None stands for the file's stem. ``depth`` counts the calls between the author and
    here: 1 if a constructor of the author's calls this. ``namespace`` is the module's globals;
    None: those of the author's frame.
    """
    own = {key: given.get(key) for key in ("network", "on_crash", "log_limit")}
    rest = {key: value for key, value in given.items() if key not in own}
    made = StackSettings("Stack", {"name": name, **own}, rest, depth=depth + 2)
    above = written.frame(depth + 1)
    ledgers.of(above.f_globals if namespace is None else namespace).settings.append(made)
    return made


def label(given: StackSettings) -> str:
    """Return how errors call what a ``Stack(…)`` said."""
    name = given.values["name"]
    return "Stack" if name is None else f"Stack {name}"


def read(given: StackSettings | None, stem: str, found: faults.Faults) -> Settings:
    """Return a stack's settings; without ``Stack(…)`` the defaults under the file's name."""
    if given is None:
        return Settings(name=_name_of(stem))
    where = given.where(label(given))
    fields: dict[str, Any] = {"name": _name_of(stem)}
    for key, field, read_one in (
        ("name", "name", lambda value: conversions.name(value, "stack")),
        ("network", "network", _read_network),
        ("on_crash", "crash", read_crash),
        ("log_limit", "log_limit_bytes", _read_log_limit),
    ):
        if given.values[key] is None:
            continue
        try:
            fields[field] = read_one(given.values[key])
        except faults.Refusal as refusal:
            for one in (refusal, *refusal.others):
                what = f"cannot read {key}= of Stack(…): {one.fact}"
                found.add(where, one.code, what, do=one.do)
    for key in given.unknown:
        if key not in _DEFAULTS:
            allowed = _DEFAULTS | {"network", "on_crash", "log_limit"}
            do = f"{faults.nearest(key, allowed)}Stack(…) takes {', '.join(sorted(allowed))}"
            what = f'cannot read Stack(…): there is no keyword "{key}"'
            found.add(where, "definition.unknown-keyword", what, do=do)
    return Settings(**fields)


def read_crash(value: object) -> stacks.Crash:
    """Return what "adopt", "reap" or "grace 60s" says.

    Raises:
        Refusal: it is none of these.
    """
    hint = 'give "adopt", "reap" or "grace 60s"'
    match value.split() if isinstance(value, str) else ():
        case ["adopt"]:
            return stacks.Crash(mode="adopt")
        case ["reap"]:
            return stacks.Crash(mode="reap")
        case ["grace", time]:
            return stacks.Crash(mode="grace", grace_s=units.seconds(time))
        case _:
            raise faults.Refusal(f"{faults.shown(value)} is none of them", hint)


def _read_network(value: object) -> stacks.Network:
    if not isinstance(value, values.Network):
        hint = 'give Network(encrypt="auto"|"always", subnet="10.42.0.0/16")'
        raise faults.Refusal(f"{faults.shown(value)} is not a network", hint)
    conversions.refuse_unknown(value)
    encrypt = conversions.one_of(value.values["encrypt"], ("auto", "always"))
    subnet = value.values["subnet"]
    if subnet is not None:
        import ipaddress

        try:
            subnet = str(ipaddress.IPv4Network(subnet))
        except ValueError as problem:
            raise faults.Refusal(str(problem), 'give a subnet as "10.42.0.0/16"') from None
    return stacks.Network(encrypt=encrypt, subnet=subnet)


def _read_log_limit(value: object) -> int:
    found = units.size(value)
    if found < 64 * 1024:
        raise faults.Refusal(f"{found} bytes hold too little", 'give "64KiB" or more')
    return found


def _name_of(stem: str) -> str:
    """Return a file's stem as a name: small letters, other characters as ``-``."""
    name = re.sub(r"[^a-z0-9_-]+", "-", stem.lower()).strip("-")
    return name if conversions.NAME.fullmatch(name) else f"stack-{name}".rstrip("-")


def stem_of(file: str | None) -> str:
    """Return the name that a file gives its stack."""
    return os.path.splitext(os.path.basename(file))[0] if file else "stack"
