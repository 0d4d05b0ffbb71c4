"""Containers as authors write them: the engine's options, what the run decides, what fits them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from docker.models import containers

from stackdsl.dsl import options
from stackdsl.model import places, services
from tests.unit.dsl.conftest import Fail, Load

BOXED = "@service(runs_on=docker('x', {}))\ndef db(): ...\n"


def read(load: Load, arguments: str) -> places.Docker:
    place = load(f"@service(runs_on=docker({arguments}))\ndef db(): ...").services[0].runs_on
    assert isinstance(place, places.Docker)
    return place


def test_every_option_is_one_of_the_sdk() -> None:
    known = {*containers.RUN_CREATE_KWARGS, *containers.RUN_HOST_CONFIG_KWARGS}

    assert sorted(options.ALLOWED - known) == []


def test_every_option_of_the_sdk_is_taken_or_is_the_runs_to_decide() -> None:
    known = {*containers.RUN_CREATE_KWARGS, *containers.RUN_HOST_CONFIG_KWARGS}
    ours = {"image", "init"}
    unmeant = {"version", "lxc_conf"}  # set by the SDK itself; long gone from the engine

    assert sorted(known - options.ALLOWED - options.OWNED.keys() - ours - unmeant) == []


def test_options_of_the_engine_are_kept_as_plain_values(load: Load) -> None:
    found = read(
        load, "'x', cap_add=['NET_ADMIN'], sysctls={'net.core.somaxconn': 9}, shm_size='1g'"
    )

    assert dict(found.options) == {
        "cap_add": ("NET_ADMIN",),
        "sysctls": {"net.core.somaxconn": 9},
        "shm_size": "1g",
    }


def test_an_unknown_option_is_refused_with_the_nearest(fail: Fail) -> None:
    (wrong,) = fail(BOXED.format("cap_ad=['x']"))

    assert wrong.code == "definition.unknown-keyword"
    assert '"cap_ad"' in wrong.what
    assert '"cap_add"' in wrong.do


@pytest.mark.parametrize(
    ("option", "instead"),
    [
        ("ports={'80': 80}", "publish="),
        ("name='x'", "name"),
        ("network_mode='host'", "natively"),
        ("environment={}", "env="),
        ("volumes={}", "volumes="),
        ("mem_limit='1g'", "Limits(memory="),
        ("restart_policy={}", "restart="),
        ("command='x'", "body"),
    ],
)
def test_an_option_that_the_run_decides_is_refused_with_the_keyword_to_use(
    fail: Fail, option: str, instead: str
) -> None:
    (wrong,) = fail(BOXED.format(option))

    assert wrong.code == "definition.unknown-keyword"
    assert instead in wrong.do


def test_an_option_that_is_no_plain_value_is_refused(fail: Fail) -> None:
    (wrong,) = fail(BOXED.format("devices=object()"))

    assert "no plain value" in wrong.what


def test_a_dockerfile_may_be_in_the_context_or_start_at_the_stacks_folder(
    load: Load, write: Callable[..., Path], tmp_path: Path
) -> None:
    write("", "app/Dockerfile.dev", head="")

    inside = read(load, "build=Build('app', dockerfile='Dockerfile.dev')").build
    beside = read(load, "build=Build('app', dockerfile='docker/Dockerfile')").build

    assert inside == places.Build(
        context=str(tmp_path / "app"), dockerfile=str(tmp_path / "app/Dockerfile.dev")
    )
    assert beside is not None
    assert beside.dockerfile == str(tmp_path / "docker/Dockerfile")


def test_a_folder_in_a_containers_command_is_the_containers_own(load: Load) -> None:
    one = load(
        "@service(runs_on=docker('x'))\ndef db(): return Command(['x'], cwd='/srv')"
    ).services[0]

    assert one.body({}) == services.Command(argv=("x",), cwd="/srv")


MISFITS = {
    "runs_on=docker('x'), umask='022'": "umask",
    "runs_on=docker('x'), port=Port(80, listens='127.0.0.1:80')": "listens=127.0.0.1",
    "isolated=True, port=Port(80, listens='127.0.0.1:80')": "nobody outside reaches",
    "runs_on=external('a:1'), ready=docker_health()": "docker_health()",
}


@pytest.mark.parametrize("keywords", MISFITS)
def test_what_a_place_cannot_give_is_told(fail: Fail, keywords: str) -> None:
    wrong = fail(f"@service({keywords})\ndef db(): return ['x']")

    assert any(MISFITS[keywords] in one.what for one in wrong)


@pytest.mark.parametrize("place", ["docker('x')", "attach(container='x')"])
def test_containers_are_asked_for_dockers_health(load: Load, place: str) -> None:
    made = load(f"@service(runs_on={place}, ready=docker_health())\ndef db(): ...")

    assert [probe.kind for probe in made.services[0].ready or ()] == ["docker_health"]


def test_what_listens_in_a_container_takes_no_port_of_the_machine(load: Load) -> None:
    made = load(
        "@service(runs_on=docker('x'), port=Port(80, listens='0.0.0.0:80'))\ndef a(): ...\n"
        "@service(isolated=True, port=Port(80, listens='0.0.0.0:80'))\ndef b(): return ['x']\n"
        "@service(port=80)\ndef c(): return ['x']\n"
    )

    assert len(made.services) == 3
