"""What an engine is asked to create for a replica, as the SDK composes it. For threads: the SDK."""

import json
import signal
from collections.abc import Mapping
from typing import Any

from stackdsl.model import errors, specs
from stackdsl.model.data import dataclass
from stackdsl.node import enginekeeping

NOTIFY = ".notify"
_LOG_BYTES = "64m"
_OURS = frozenset({"image", "name", "detach", "use_config_proxy", "restart_policy", "auto_remove"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A container to create; ``digest`` tells it from another of the same name."""

    name: str
    config: Mapping[str, Any]
    platform: str | None
    digest: str


def compose(api: Any, spec: specs.ServiceSpec, labels: Mapping[str, str]) -> Recipe:
    """Return what to create for a replica; ``api`` is the SDK's client, asked nothing.

    Raises:
        ServiceError: an option is not known to the SDK, or has a value that it refuses.
    """
    assert spec.container is not None
    try:
        config = _compose(api, spec, spec.container, labels)
    except (TypeError, ValueError, errors.StackError, _docker_error()) as error:
        if isinstance(error, errors.StackError):
            raise
        raise errors.ServiceError(
            "start.container-options",
            f"its container cannot be described to the engine: {error}",
            do="correct the options of docker(…); they are those of the Python package docker",
        ) from error
    build = spec.container.image.build
    text = json.dumps([config, build and build.fingerprint], sort_keys=True, default=str)
    import hashlib  # loads OpenSSL; a node without containers does without

    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    config["Labels"][enginekeeping.CONFIG] = digest
    return Recipe(
        name=spec.container.name,
        config=config,
        platform=_find_platform(spec.container),
        digest=digest,
    )


def _find_platform(container: specs.Container) -> str | None:
    return next((str(value) for name, value in container.options if name == "platform"), None)


def compose_aside(
    api: Any, spec: specs.ServiceSpec, argv: tuple[str, ...], labels: Mapping[str, str]
) -> Recipe:
    """Return a container that runs one command where a replica's container is not yet."""
    recipe = compose(api, spec, labels)
    config = dict(recipe.config)
    config["Entrypoint"], config["Cmd"] = list(argv), []
    config["HostConfig"] = {**config["HostConfig"], "PortBindings": {}}
    config["OpenStdin"] = config["Tty"] = False
    return Recipe(name=f"{recipe.name}-aside", config=config, platform=recipe.platform, digest="")


def _docker_error() -> type[Exception]:
    from docker import errors as docker_errors

    return docker_errors.DockerException


def _compose(
    api: Any, spec: specs.ServiceSpec, container: specs.Container, labels: Mapping[str, str]
) -> dict[str, Any]:
    created, hosted = _sort_options(container.options)
    given = {
        "command": list(spec.argv) or None,
        "environment": dict(spec.env),  # None takes a variable of the image out
        "user": spec.user,
        "working_dir": spec.cwd or None,
        "tty": spec.tty,
        "stdin_open": spec.stdin is not None,
        "stop_signal": signal.Signals(spec.stop_signal).name,
        "stop_timeout": max(1, round(spec.stop_timeout_s)),
        "ports": [(one.target, one.protocol) for one in container.publishes],
    }
    created.pop("platform", None)
    config: dict[str, Any] = api.create_container_config(
        **{
            **given,
            **created,
            "image": container.image.reference,
            "labels": {**(created.get("labels") or {}), **labels},
            "host_config": api.create_host_config(**{**_host(spec, container), **hosted}),
            "networking_config": _network(api, container),
        }
    )
    return config


def _sort_options(
    options: tuple[tuple[str, object], ...],
) -> tuple[dict[str, Any], dict[str, Any]]:
    from docker.models import containers

    created: dict[str, Any] = {}
    hosted: dict[str, Any] = {}
    for name, value in options:
        if name in _OURS:
            raise errors.ServiceError(
                "start.container-options",
                f'its container cannot have the option "{name}": it is set by us',
                do="leave it out",
            )
        if name in containers.RUN_CREATE_KWARGS:
            created[name] = _thaw(value)
        elif name in containers.RUN_HOST_CONFIG_KWARGS:
            hosted[name] = _thaw(value)
        else:
            raise _unknown_option(
                name, [*containers.RUN_CREATE_KWARGS, *containers.RUN_HOST_CONFIG_KWARGS]
            )
    return created, hosted


def _thaw(value: object) -> object:
    """Return lists where the model holds tuples: the SDK takes nothing else."""
    if isinstance(value, tuple):
        return [_thaw(one) for one in value]
    if isinstance(value, Mapping):
        return {name: _thaw(one) for name, one in value.items()}
    return value


def _unknown_option(name: str, known: list[str]) -> errors.ServiceError:
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    return errors.ServiceError(
        "start.container-options",
        f'its container cannot have the option "{name}": the engine knows none of that name',
        do=f'did you mean "{near[0]}"?' if near else "see containers.run of the package docker",
    )


def _host(spec: specs.ServiceSpec, container: specs.Container) -> dict[str, Any]:
    from docker import types

    limits = spec.limits
    bindings: dict[str, list[tuple[str, int]]] = {}
    for one in container.publishes:
        bindings.setdefault(f"{one.target}/{one.protocol}", []).append((one.host, one.port))
    given: dict[str, Any] = {
        "init": container.init,
        "restart_policy": {"Name": "no"},
        "log_config": types.LogConfig(
            type="json-file", config={"max-size": _LOG_BYTES, "max-file": "2"}
        ),
        "port_bindings": bindings,
        "extra_hosts": dict(container.hosts),
        "mounts": _mounts(spec, container),
    }
    if container.network:
        given["network_mode"] = container.network
    if limits.cpu is not None:
        given["nano_cpus"] = int(limits.cpu * 1e9)
    if limits.memory_bytes is not None:
        given["mem_limit"] = limits.memory_bytes
        given["memswap_limit"] = limits.memory_bytes
    if limits.files is not None:
        given["ulimits"] = [types.Ulimit(name="nofile", soft=limits.files, hard=limits.files)]
    return given


def _mounts(spec: specs.ServiceSpec, container: specs.Container) -> list[Any]:
    from docker import types

    make: Any = types.Mount  # its stubs know of no tmpfs without a source
    kinds = {"named": "volume", "bind": "bind", "tmpfs": "tmpfs"}
    mounts = [
        make(
            target=one.path,
            source=one.source or None,
            type=kinds[one.kind],
            read_only=one.is_read_only,
        )
        for one in container.mounts
    ]
    if spec.dir and container.dir:
        mounts.append(make(target=container.dir, source=spec.dir, type="bind"))
    return mounts


def _network(api: Any, container: specs.Container) -> Any:
    if not container.network:
        return None
    endpoint = api.create_endpoint_config(
        ipv4_address=container.address or None, aliases=list(container.aliases) or None
    )
    return api.create_networking_config({container.network: endpoint})
