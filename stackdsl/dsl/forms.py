"""Forms: what authors wrote as Port(…), http(…), ssh(…) and the like, turned into the model's."""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from stackdsl.dsl import conversions, faults, places, probes, units, values, written
from stackdsl.model import places as model_places
from stackdsl.model import probes as model_probes
from stackdsl.model import services

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_RESTARTS = ("no", "on-failure", "always")
_DEFAULT_TIMING = model_probes.Timing()
_TIMES = {
    "interval": None,
    "timeout": _DEFAULT_TIMING.timeout_s,
    "start_period": 0,
    "success": _DEFAULT_TIMING.success,
    "failures": _DEFAULT_TIMING.failures,
}


def _optional(read: Any, value: object) -> Any:
    return None if value is None else read(value)


def port(name: str, value: object) -> services.Port:
    """Return a port of a number or a Port(…)."""
    if not isinstance(value, values.Port):
        number = conversions.port_number(value)
        return services.Port(name=name, number=number, scheme=_scheme_of(name))
    conversions.refuse_unknown(value)
    given = value.values
    fields = faults.read_fields(
        {
            "number": lambda: conversions.port_number(given["number"]),
            "scheme": lambda: _optional(_scheme, given["scheme"]) or _scheme_of(name),
            "protocol": lambda: conversions.one_of(given["protocol"], ("tcp", "udp")),
            "publish": lambda: _optional(_published, given["publish"]),
            "listens": lambda: _optional(conversions.address, given["listens"]),
            "bind": lambda: _optional(conversions.ipv4, given["bind"]),
        }
    )
    return services.Port(name=name, **fields)


def _published(value: object) -> tuple[str, int]:
    return conversions.address(value, host="127.0.0.1")


def _scheme(value: object) -> str:
    if isinstance(value, str) and _SCHEME.fullmatch(value):
        return value
    raise faults.Refusal(f"{faults.shown(value)} is not a scheme", 'give one as "postgresql"')


def _scheme_of(name: str) -> str | None:
    return name if name in {"http", "https"} else None


def restart(value: object) -> services.Restart:
    """Return a restart policy of a word or a Restart(…)."""
    if not isinstance(value, values.Restart):
        return services.Restart(on=conversions.one_of(value, _RESTARTS))
    conversions.refuse_unknown(value)
    given = value.values
    fields = faults.read_fields(
        {
            "on": lambda: conversions.one_of(given["on"], _RESTARTS),
            "max": lambda: conversions.whole(given["max"], 0),
            "backoff_s": lambda: units.seconds(given["backoff"]),
            "cap_s": lambda: units.seconds(given["cap"]),
            "reset_after_s": lambda: units.seconds(given["reset_after"]),
        }
    )
    return services.Restart(**fields)


def limits(value: object) -> services.Limits:
    """Return limits of a Limits(…)."""
    given = _given(value, values.Limits, "Limits(cpu=, memory=, files=)")
    fields = faults.read_fields(
        {
            "cpu": lambda: _optional(cores, given["cpu"]),
            "memory_bytes": lambda: _optional(units.size, given["memory"]),
            "files": lambda: _optional(lambda v: conversions.whole(v, 1), given["files"]),
        }
    )
    return services.Limits(**fields)


def scale(value: object) -> services.Scale:
    """Return bounds of a Scale(…)."""
    given = _given(value, values.Scale, "Scale(min, max, cpu=)")
    least, most = conversions.whole(given["min"], 1), conversions.whole(given["max"], 1)
    if most < least:
        raise faults.Refusal(f"max {most} is less than min {least}", f"give max={least} or more")
    return services.Scale(min=least, max=most, cpu=_optional(cores, given["cpu"]))


def cores(value: object) -> float:
    """Return a number of cores."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise faults.Refusal(
            f"{faults.shown(value)} is not a number of cores", "give one as 0.5 or 2"
        )
    return float(value)


def probe_list(value: object) -> tuple[model_probes.Probe, ...]:
    """Return one probe or a list of them."""
    given = value if isinstance(value, (list, tuple)) else [value]
    return tuple(faults.read_each(probe, given))


def probe(value: object) -> model_probes.Probe:
    """Return the model's probe of one that was written down."""
    if not isinstance(value, probes.Probe):
        hint = 'give http("/path"), tcp(), check([…]), log("…"), file("…") or notify(), called'
        raise faults.Refusal(f"{faults.shown(value)} is not a probe", hint)
    read = _PROBES[value.form]
    return read(value.values, _timing(value))


def _http(given: dict[str, Any], timing: model_probes.Timing) -> model_probes.Http:
    path = conversions.text(given["path"])
    if not path.startswith("/"):
        raise faults.Refusal(f'path "{path}" does not start with "/"', f'write http("/{path}")')
    status = given["status"]
    statuses = tuple(status) if isinstance(status, (list, tuple, set, range)) else (status,)
    for one in statuses:
        if isinstance(one, bool) or not isinstance(one, int) or not 100 <= one <= 599:
            raise faults.Refusal(
                f"status {faults.shown(one)} is not one of HTTP", "give 100 to 599"
            )
    headers = given["headers"] or {}
    if not isinstance(headers, Mapping):
        raise faults.Refusal("headers are not a mapping", 'give headers={"Name": "value"}')
    return model_probes.Http(
        path=path,
        port=_optional(_port_reference, given["port"]),
        status=statuses,
        method=conversions.text(given["method"]).upper(),
        headers=tuple((conversions.text(key), str(one)) for key, one in headers.items()),
        body_contains=_optional(conversions.text, given["body_contains"]),
        timing=timing,
    )


_PROBES: dict[str, Callable[[dict[str, Any], model_probes.Timing], model_probes.Probe]] = {
    "http": _http,
    "tcp": lambda given, timing: model_probes.Tcp(
        port=_optional(_port_reference, given["port"]), timing=timing
    ),
    "check": lambda given, timing: model_probes.Exec(
        argv=conversions.argv(given["argv"]), timing=timing
    ),
    "log": lambda given, timing: model_probes.Log(regex=_regex(given["regex"]), timing=timing),
    "file": lambda given, timing: model_probes.File(
        path=conversions.path(given["path"]), timing=timing
    ),
    "notify": lambda _, timing: model_probes.Notify(timing=timing),
    "docker_health": lambda _, timing: model_probes.DockerHealth(timing=timing),
}


def _port_reference(value: object) -> int | str:
    return value if isinstance(value, str) else conversions.port_number(value)


def _regex(value: object) -> str:
    pattern = conversions.text(value)
    try:
        re.compile(pattern)
    except re.error as problem:
        raise faults.Refusal(
            f"{faults.shown(pattern)} is no regular expression: {problem}", "correct the pattern"
        ) from problem
    return pattern


def _timing(value: probes.Probe) -> model_probes.Timing:
    given = value.unknown
    if not given:
        return _DEFAULT_TIMING
    conversions.unknown(value, given, [*value.values, *probes.TIMINGS])
    told = {**_TIMES, **given}
    fields = faults.read_fields(
        {
            "interval_s": lambda: _optional(_positive, told["interval"]),
            "timeout_s": lambda: _positive(told["timeout"]),
            "start_period_s": lambda: units.seconds(told["start_period"]),
            "success": lambda: conversions.whole(told["success"], 1),
            "failures": lambda: conversions.whole(told["failures"], 1),
        }
    )
    return model_probes.Timing(**fields)


def _positive(value: object) -> float:
    found = units.seconds(value)
    if found <= 0:
        raise faults.Refusal(f"{faults.shown(value)} is no time at all", "give more than 0")
    return found


def place(value: object, folder: str) -> model_places.Place:
    """Return the model's place of one that was written down; paths start at ``folder``."""
    if not isinstance(value, places.Place):
        hint = 'give local, docker("image"), ssh("host"), systemd("unit"), attach(…) or external(…)'
        raise faults.Refusal(f"{faults.shown(value)} is not a place", hint)
    conversions.refuse_unknown(value)
    given = value.values
    match value.form:
        case "local":
            return model_places.Local()
        case "docker":
            return _docker(given, folder)
        case "ssh":
            return _ssh(given, folder)
        case "systemd":
            unit = conversions.text(given["unit"])
            return model_places.Systemd(unit=unit, on=_machine(given["on"], folder))
        case "attach":
            return _attach(given, folder)
        case _:
            return _external(given["address"])


def _machine(value: object, folder: str) -> model_places.Local | model_places.Ssh:
    found = place(value, folder)
    if not isinstance(found, (model_places.Local, model_places.Ssh)):
        raise faults.Refusal(f'on= is "{found}", not a machine', 'give on=local or on=ssh("host")')
    return found


def _docker(given: dict[str, Any], folder: str) -> model_places.Docker:
    from stackdsl.dsl import options  # stacks without containers pay nothing for them

    image, build = given["image"], given["build"]
    if (image is None) == (build is None):
        raise faults.Refusal(
            "docker(…) needs an image or build=, one of them",
            'give docker("image:tag") or docker(build="./dir")',
        )
    return model_places.Docker(
        image=_optional(conversions.text, image),
        build=_optional(lambda v: _build(v, folder), build),
        on=_machine(given["on"], folder),
        pull=conversions.one_of(given["pull"], ("missing", "always", "never")),
        init=conversions.flag(given["init"]),
        options=options.read(given["options"]),
    )


def _build(value: object, folder: str) -> model_places.Build:
    if not isinstance(value, places.Build):
        return model_places.Build(context=conversions.absolute(value, folder))
    conversions.refuse_unknown(value)
    given = value.values
    args = given["args"] or {}
    if not isinstance(args, Mapping):
        raise faults.Refusal("Build(args=) is not a mapping", 'give args={"NAME": "value"}')
    context = conversions.absolute(given["context"], folder)
    return model_places.Build(
        context=context,
        dockerfile=_optional(lambda v: _dockerfile(v, context, folder), given["dockerfile"]),
        args=tuple((str(key), str(one)) for key, one in args.items()),
        target=_optional(conversions.text, given["target"]),
    )


def _dockerfile(value: object, context: str, folder: str) -> str:
    """Return a Dockerfile's absolute path: in the context if it is there, as compose has it, else
    from the stack's folder, as all other paths."""
    inside = conversions.absolute(value, context)
    return inside if os.path.isfile(inside) else conversions.absolute(value, folder)


def _ssh(given: dict[str, Any], folder: str) -> model_places.Ssh:
    via = _optional(lambda v: _machine(v, folder), given["via"])
    if via is not None and not isinstance(via, model_places.Ssh):
        raise faults.Refusal("via= is not a host", 'give via=ssh("bastion")')
    return model_places.Ssh(
        host=conversions.text(given["host"]),
        user=_optional(conversions.text, given["user"]),
        port=_optional(conversions.port_number, given["port"]),
        key=_optional(lambda v: conversions.absolute(v, folder), given["key"]),
        via=via,
        network=_optional(conversions.text, given["network"]),
        python=_optional(conversions.text, given["python"]),
        sudo=conversions.flag(given["sudo"]),
    )


def _attach(given: dict[str, Any], folder: str) -> model_places.Attach:
    handles = ("container", "pid", "process", "systemd")
    told = [key for key in handles if given[key] is not None]
    if len(told) != 1:
        raise faults.Refusal(
            f"attach(…) was given {faults.quoted(told) or 'nothing to take hold of'}",
            f"give one of {faults.quoted(handles)}",
        )
    return model_places.Attach(
        container=_optional(conversions.text, given["container"]),
        pid=_optional(lambda v: conversions.whole(v, 1), given["pid"]),
        process=_optional(conversions.text, given["process"]),
        systemd=_optional(conversions.text, given["systemd"]),
        on=_machine(given["on"], folder),
    )


def _external(value: object) -> model_places.External:
    left, colon, right = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not left or not colon or not right.isdigit() or "/" in left:
        raise faults.Refusal(
            f"{faults.shown(value)} is not an address", 'write external("db.example.com:5432")'
        )
    return model_places.External(host=left, port=conversions.port_number(int(right)))


def _given(value: object, form: type[written.Written], example: str) -> dict[str, Any]:
    if not isinstance(value, form):
        form_of = example.partition("(")[0]
        fact = f"{faults.shown(value)} is not {form_of}(…)"
        raise faults.Refusal(fact, f"give {example}")
    conversions.refuse_unknown(value)
    return value.values
