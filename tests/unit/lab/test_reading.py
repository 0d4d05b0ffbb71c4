"""Topologies as authors write them: what is read, and what is refused, with its line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stackdsl.lab import Lab, loading, topologies
from stackdsl.model import errors


def refused(declare: Callable[[Lab], object]) -> errors.StackError:
    lab = Lab()
    declare(lab)
    with pytest.raises(errors.DefinitionError) as caught:
        loading.load(lab)
    assert caught.value.do
    return caught.value


def test_a_host_has_what_was_declared() -> None:
    lab = Lab()
    site = lab.site("cloud", nat="symmetric", delay="20ms", jitter="2ms", loss="3%", rate="20Mbit")
    site.host("db", user="deploy", sudo=False, docker=True, disk="8MiB", tun=False, python=False)

    made = loading.load(lab)

    assert made.site("cloud") == topologies.Site(
        name="cloud", nat="symmetric", delay_s=0.02, jitter_s=0.002, loss=0.03, rate_bps=20e6
    )
    assert made.host("db") == topologies.Host(
        name="db", site="cloud", user="deploy", sudo=False, docker=True, disk_bytes=8 << 20,
        tun=False, python=False,
    )  # fmt: skip


def test_the_controller_stands_at_the_first_site() -> None:
    lab = Lab()
    lab.site("office")
    lab.site("cloud")

    assert loading.load(lab).controller.site == "office"


def test_the_controller_stands_where_it_was_put() -> None:
    lab = Lab()
    lab.site("office")
    lab.controller(lab.site("cloud"))

    assert loading.load(lab).controller.site == "cloud"


def test_a_topology_survives_the_way_through_json() -> None:
    lab = Lab()
    lab.site("office", nat="preserving", subnet="192.168.1.0/24").host("db", disk=1 << 20)
    made = loading.load(lab)

    assert topologies.from_json(topologies.to_json(made)) == made


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("nat", "full-cone"),
        ("nat", True),
        ("block_udp", "yes"),
        ("subnet", "192.168.1.1/24"),
        ("subnet", "127.0.0.0/24"),
        ("subnet", "10.0.0.0/31"),
        ("delay", "soon"),
        ("loss", "2"),
        ("loss", 2),
        ("rate", "fast"),
        ("rate", 0),
    ],
)
def test_a_value_that_no_site_can_have_is_refused(key: str, value: object) -> None:
    error = refused(lambda lab: lab.site("office", **{key: value}))  # type: ignore[arg-type] # wrong by design

    assert error.what.startswith(f"cannot read {key}= of site: ")
    assert "test_reading.py:" in error.where


def test_more_jitter_than_delay_is_refused() -> None:
    assert "jitter" in refused(lambda lab: lab.site("a", delay="1ms", jitter="2ms")).what


@pytest.mark.parametrize(
    ("key", "value"), [("user", "Deploy!"), ("sudo", 1), ("disk", "8kB"), ("disk", "big")]
)
def test_a_value_that_no_host_can_have_is_refused(key: str, value: object) -> None:
    error = refused(lambda lab: lab.site("a").host("db", **{key: value}))  # type: ignore[arg-type] # wrong by design

    assert error.what.startswith(f"cannot read {key}= of host: ")


@pytest.mark.parametrize("name", ["Db", "a_b", "", "controller", "localhost", "-x", "a" * 70])
def test_a_name_that_no_machine_can_have_is_refused(name: str) -> None:
    assert refused(lambda lab: lab.site("a").host(name)).code == "definition.bad-name"


def test_a_keyword_that_nobody_knows_names_the_near_one() -> None:
    error = refused(lambda lab: lab.site("a", dealy="2ms"))  # type: ignore[arg-type] # wrong by design

    assert 'did you mean "delay"?' in error.do


def test_two_hosts_of_one_name_are_refused_wherever_they_stand() -> None:
    def declare(lab: Lab) -> None:
        lab.site("a").host("db")
        lab.site("b").host("db")

    assert refused(declare).code == "definition.lab-twice"


def test_public_nets_may_not_overlap() -> None:
    def declare(lab: Lab) -> None:
        lab.site("a", subnet="8.8.0.0/16")
        lab.site("b", subnet="8.8.8.0/24")

    assert refused(declare).code == "definition.lab-overlap"


def test_private_nets_may_be_the_same() -> None:
    lab = Lab()
    for name in ("a", "b", "c"):
        lab.site(name, nat="preserving", subnet="192.168.1.0/24")

    assert len(loading.load(lab).sites) == 3


def test_a_site_has_room_for_so_many_hosts() -> None:
    def declare(lab: Lab) -> None:
        site = lab.site("a", subnet="8.8.8.0/29")
        for number in range(5):
            site.host(f"h{number}")

    error = refused(declare)

    assert error.code == "definition.lab-room"
    assert "h4" in error.where


def test_a_lab_without_a_site_is_refused() -> None:
    assert refused(lambda lab: None).code == "definition.lab-empty"


def test_a_second_place_of_the_controller_is_refused() -> None:
    def declare(lab: Lab) -> None:
        lab.controller(lab.site("a"))
        lab.controller(lab.site("b"))

    assert refused(declare).code == "definition.lab-controllers"


def test_a_site_of_another_lab_is_no_place_for_the_controller() -> None:
    def declare(lab: Lab) -> None:
        lab.site("a")
        lab.controller(Lab().site("b"))

    assert refused(declare).code == "definition.bad-value"


def test_everything_wrong_is_told_at_once() -> None:
    lab = Lab()
    lab.site("a", nat="x", delay="y").host("B")

    with pytest.raises(errors.StackErrors) as caught:
        loading.load(lab)

    assert len(caught.value.errors) == 3


def test_a_file_has_the_name_of_its_stack(tmp_path: Path) -> None:
    file = tmp_path / "shop_lab.py"
    file.write_text("from stackdsl.lab import Lab\nlab = Lab()\nlab.site('a')\n")

    assert loading.load(file).name == "shop"
    assert loading.default_file(str(tmp_path / "shop.py")) == str(file)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "definition.no-lab"),
        ("from stackdsl.lab import Lab\na, b = Lab(), Lab()\n", "definition.second-lab"),
        ("lab = (", "definition.syntax"),
        ("import nowhere_at_all", "definition.import"),
        ("1 / 0", "definition.raised"),
    ],
)
def test_a_file_that_holds_no_good_lab_is_refused(tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "lab.py").write_text(text)

    with pytest.raises(errors.DefinitionError) as caught:
        loading.load(tmp_path / "lab.py")

    assert caught.value.code == code
    assert "lab.py:" in caught.value.where


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match="no such file"):
        loading.load(tmp_path / "lab.py")
