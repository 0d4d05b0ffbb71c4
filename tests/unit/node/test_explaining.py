"""Why a service was not ready in time, in words."""

import pytest

from stackdsl.model import facts, probes, specs
from stackdsl.node import explaining, probing

CHECK = specs.Check(probe=probes.Tcp(), host="127.42.0.3", port=8080)
SPEC = specs.ServiceSpec(name="api", service="api", index=0, kind="service", ready=(CHECK,))

BOXED = specs.ServiceSpec(
    name="api", service="api", index=0, kind="service", ready=(CHECK,),
    container=specs.Container(name="shop-api", image=specs.Image(reference="api")),
)  # fmt: skip


def trial(check: specs.Check = CHECK, **counts: int) -> probing.Trial:
    made = probing.Trial(
        prober=None,  # type: ignore[arg-type]  # nothing is tried here
        check=check,
        subject=probing.Subject(name="api"),
    )
    made.counts, made.seen = counts, {kind: kind for kind in counts}
    made.last = next(iter(counts), "")
    return made


def listener(address: str, port: int = 8080) -> facts.Listener:
    return facts.Listener(address=address, port=port)


def test_it_says_what_was_probed_how_often_and_where_it_listens_instead() -> None:
    reason, do = explaining.explain_unready(SPEC, [trial(refused=214)], [listener("127.0.0.1")])
    assert reason == ("tcp 127.42.0.3:8080 refused 214 times in 30 s; it listens on 127.0.0.1:8080")
    assert 'Port(8080, listens="127.0.0.1:8080")' in do


@pytest.mark.parametrize("address", ["127.42.0.3", "0.0.0.0"])
def test_a_process_on_another_port_is_to_declare_that(address: str) -> None:
    _, do = explaining.explain_unready(SPEC, [trial(refused=2)], [listener(address, 9090)])
    assert "port=9090" in do
    assert "listens=" not in do


def test_a_container_on_its_127_0_0_1_is_to_listen_everywhere() -> None:
    _, do = explaining.explain_unready(BOXED, [trial(refused=2)], [listener("127.0.0.1")])
    assert do == "let it listen on 0.0.0.0 (me.bind)"


def test_a_container_on_another_port_is_to_declare_that() -> None:
    _, do = explaining.explain_unready(BOXED, [trial(refused=2)], [listener("0.0.0.0", 80)])
    assert do.startswith("declare the port that it takes: port=80")


def test_where_it_listens_instead_is_said_in_short() -> None:
    said = explaining.say_elsewhere([trial(refused=2)], [listener("127.0.0.1", 9090)])
    assert said == "listens on 127.0.0.1:9090, not on 127.42.0.3:8080"


@pytest.mark.parametrize("own", [[], [listener("127.42.0.3")], [listener("0.0.0.0")]])
def test_nothing_is_said_where_it_listens_or_listens_nowhere_yet(own: list[facts.Listener]) -> None:
    assert explaining.say_elsewhere([trial(refused=2)], own) == ""


def test_it_says_that_it_listens_on_nothing() -> None:
    reason, do = explaining.explain_unready(SPEC, [trial(refused=2)], [])
    assert reason.endswith("it listens on nothing")
    assert "127.42.0.3:8080" in do


def test_a_service_that_listens_everywhere_is_not_told_to_listen_elsewhere() -> None:
    reason, _ = explaining.explain_unready(SPEC, [trial(refused=2)], [listener("0.0.0.0")])
    assert "listens" not in reason


def test_a_probe_that_held_is_not_named() -> None:
    file = specs.Check(probe=probes.File(path="/run/up"))
    reason, _ = explaining.explain_unready(SPEC, [trial(refused=1), trial(file)], [])
    assert "/run/up" not in reason


def test_when_all_probes_held_the_hook_was_too_slow() -> None:
    reason, _ = explaining.explain_unready(SPEC, [trial()], [])
    assert reason == "its hook after_ready took over 30 s"
