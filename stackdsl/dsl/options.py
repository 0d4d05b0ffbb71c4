"""The engine's own options that docker(…) takes: those of the SDK's containers.create, without
those that the run decides.

Source: docker-py 7, docker.models.containers (a test compares the lists with the installed one).
"""

from collections.abc import Mapping
from typing import Any

from stackdsl.dsl import conversions, faults

ALLOWED = frozenset(
    {
        "blkio_weight", "blkio_weight_device", "cap_add", "cap_drop", "cgroup_parent", "cgroupns",
        "cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime",
        "cpu_shares", "cpuset_cpus", "cpuset_mems", "device_cgroup_rules", "device_read_bps",
        "device_read_iops", "device_requests", "device_write_bps", "device_write_iops", "devices",
        "dns", "dns_opt", "dns_search", "domainname", "entrypoint", "group_add", "healthcheck",
        "hostname", "init_path", "ipc_mode", "isolation", "kernel_memory", "mem_reservation",
        "mem_swappiness", "memswap_limit", "oom_kill_disable", "oom_score_adj", "pid_mode",
        "pids_limit", "platform", "privileged", "read_only", "runtime", "security_opt", "shm_size",
        "storage_opt", "sysctls", "tmpfs", "ulimits", "use_config_proxy", "userns_mode", "uts_mode",
        "volume_driver", "volumes_from",
    }
)  # fmt: skip

# What the run decides, and the keyword of ours that says it.
OWNED: Mapping[str, str] = {
    "auto_remove": "take it out: the run removes its containers",
    "command": "return the command from the body",
    "cpus": "give the service limits=Limits(cpu=…)",
    "detach": "take it out: containers never run in front",
    "environment": "give the service env={…}",
    "extra_hosts": "take the name as a parameter, or declare it as a service on external(…)",
    "labels": "take it out: the run marks its containers itself",
    "links": "take the other service as a parameter of the body",
    "log_config": "take it out: `stackdsl logs` has the output; Stack(log_limit=…) bounds it",
    "mac_address": "take it out: the plan gives the address",
    "mem_limit": "give the service limits=Limits(memory=…)",
    "mounts": 'give the service volumes=["name:/path", "./dir:/path:ro", tmpfs("/path")]',
    "name": "name the service: its name is the container's on the network",
    "nano_cpus": "give the service limits=Limits(cpu=…)",
    "network": "take it out: the plan puts containers on the run's network",
    "network_disabled": "take it out: the plan puts containers on the run's network",
    "network_mode": "take it out: the plan puts containers on the run's network; for the machine's"
    " own network run it natively",
    "networking_config": "take it out: the plan puts containers on the run's network",
    "ports": "give the service port= or ports=, and Port(…, publish=…) for people",
    "publish_all_ports": "give the service ports with Port(…, publish=…)",
    "remove": "take it out: the run removes its containers",
    "restart_policy": "give the service restart=",
    "stdin_open": "give the service tty=True, or use `stackdsl run --debug`",
    "stop_signal": "give the service stop_signal=",
    "stop_timeout": "give the service stop_timeout=",
    "tty": "give the service tty=True",
    "user": "give the service user=",
    "volumes": 'give the service volumes=["name:/path", "./dir:/path:ro"]',
    "working_dir": "give the service cwd=",
}

_OUR_OWN = ("build", "image", "init", "on", "pull")


def read(given: Mapping[str, Any]) -> tuple[tuple[str, object], ...]:
    """Return the options of a docker(…), by name.

    Raises:
        Refusal: one is unknown, or the run's to decide, or no plain value.
    """
    return tuple(faults.read_each(_read, sorted(given.items())))


def _read(pair: tuple[str, Any]) -> tuple[str, object]:
    key, value = pair
    if key in OWNED:
        raise faults.Refusal(
            f'docker(…) has no keyword "{key}"', OWNED[key], code="definition.unknown-keyword"
        )
    if key not in ALLOWED:
        guess = faults.nearest(key, [*ALLOWED, *OWNED, *_OUR_OWN])
        raise faults.Refusal(
            f'docker(…) has no keyword "{key}"',
            f"{guess}docker(…) takes {faults.quoted(_OUR_OWN)}, and the options of"
            " docker.containers.create in the Docker SDK",
            code="definition.unknown-keyword",
        )
    return key, _freeze(key, value)


def _freeze(key: str, value: object) -> object:
    """Return a plain value that nobody can change any more but for its mappings."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): _freeze(key, one) for name, one in value.items()}
    if conversions.is_list(value) or isinstance(value, set | frozenset):
        return tuple(_freeze(key, one) for one in value)
    raise faults.Refusal(
        f"{key}={faults.shown(value)} is no plain value", "give text, numbers, lists and mappings"
    )
