"""Reading: keywords turned into the model's words, and every bad value refused with advice."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stackdsl.dsl import faults, loading, units
from stackdsl.model import errors, places, probes, services
from tests.unit.dsl.conftest import Fail, Load

One = Callable[[str], services.Service]


@pytest.fixture
def one(load: Load) -> One:
    """Read one service from its keywords."""
    return lambda given: load(f"@service({given})\ndef a(): return ['a']").services[0]


@pytest.fixture
def job(load: Load) -> One:
    """Read one task from its keywords."""
    return lambda given: load(f"@task({given})\ndef a(): return ['a']").services[0]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (5, 5),
        (0.25, 0.25),
        ("500ms", 0.5),
        ("2m", 120),
        ("1h30m", 5400),
        ("1.5s", 1.5),
        ("1d", 86400),
    ],
)
def test_a_duration_is_seconds_or_text(text: object, seconds: float) -> None:
    assert units.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5 parsecs", -1, True, None, float("nan")])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(faults.Refusal):
        units.seconds(text)


@pytest.mark.parametrize(
    ("text", "size"), [(1, 1), ("64MiB", 64 << 20), ("1GB", 10**9), ("1.5kB", 1500), ("7B", 7)]
)
def test_a_size_is_bytes_or_text(text: object, size: int) -> None:
    assert units.size(text) == size


@pytest.mark.parametrize(("text", "number"), [("TERM", 15), ("SIGINT", 2), ("quit", 3), (9, 9)])
def test_a_signal_is_a_number_or_a_name(text: object, number: int) -> None:
    assert units.signal_number(text) == number


def test_an_unknown_signal_names_the_nearest() -> None:
    with pytest.raises(faults.Refusal) as caught:
        units.signal_number("SIGTREM")
    assert "SIGTERM" in caught.value.do


def test_port_is_the_default_port(one: One) -> None:
    service = one("port=8080, ports={'admin': 9090}")
    assert service.default_port == "default"
    assert [(p.name, p.number) for p in service.ports] == [("default", 8080), ("admin", 9090)]


def test_the_first_of_ports_is_the_default_port(one: One) -> None:
    assert one("ports={'web': 8080, 'admin': 9090}").default_port == "web"


def test_a_port_holds_all_that_was_said_of_it(one: One) -> None:
    service = one(
        "port=Port(80, scheme='ws', publish=8080, listens='0.0.0.0:81', bind='127.0.0.1')"
    )
    assert service.ports == (
        services.Port(
            name="default",
            number=80,
            scheme="ws",
            publish=("127.0.0.1", 8080),
            listens=("0.0.0.0", 81),
            bind="127.0.0.1",
        ),
    )


@pytest.mark.parametrize(
    ("given", "scheme"),
    [
        ("port=80", None),
        ("ports={'http': 80}", "http"),
        ("ports={'https': 80}", "https"),
        ("port=80, ready=http('/')", "http"),
        ("port=80, live=[http('/', port=80)]", "http"),
        ("port=80, ready=http('/', port=81), ports={'admin': 81}", None),
        ("port=Port(80, scheme='h2c'), ready=http('/')", "h2c"),
    ],
)
def test_a_scheme_comes_from_the_port_a_probe_or_the_name(
    one: One, given: str, scheme: str | None
) -> None:
    assert one(given).ports[0].scheme == scheme


def test_a_udp_port_has_no_default_probe(one: One) -> None:
    assert one("port=Port(53, protocol='udp')").ready == ()
    assert one("port=53").ready is None


def test_probes_keep_their_timing(one: One) -> None:
    service = one(
        "port=1, ready=[tcp(interval='50ms', timeout=2, start_period='1m', success=2, failures=5),"
        " log('up'), file('pid'), notify(), check(['true', 1])], live=http('/x', status=[200, 204])"
    )
    timing = probes.Timing(interval_s=0.05, timeout_s=2, start_period_s=60, success=2, failures=5)
    assert service.ready == (
        probes.Tcp(timing=timing),
        probes.Log(regex="up"),
        probes.File(path="pid"),
        probes.Notify(),
        probes.Exec(argv=("true", "1")),
    )
    assert service.live == (probes.Http(path="/x", status=(200, 204)),)


def test_environment_numbers_become_text_and_none_stays(one: One) -> None:
    assert one("env={'A': 1, 'B': 1.5, 'C': 'x', 'D': None}").env == (
        ("A", "1"), ("B", "1.5"), ("C", "x"), ("D", None),
    )  # fmt: skip


def test_the_rest_of_the_keywords_of_a_service(one: One) -> None:
    service = one(
        "start_timeout='5s', stop_signal='INT', stop_timeout=3, stop_command='kill it',"
        " umask='022', user='nobody', limits=Limits(cpu=0.5, memory='64MiB', files=10), replicas=2,"
        " network='lan', stable=True, isolated=True, tty=True, log='pipe',"
        " restart=Restart('always', max=2, backoff='10ms', cap=1, reset_after='2s')"
    )
    assert (service.start_timeout_s, service.stop_signal, service.stop_timeout_s) == (5, 2, 3)
    assert (service.stop_command, service.umask, service.user) == (("kill", "it"), 0o22, "nobody")
    assert service.limits == services.Limits(cpu=0.5, memory_bytes=64 << 20, files=10)
    assert service.replica_names() == ("a-0", "a-1")
    assert (service.network, service.is_stable, service.is_isolated) == ("lan", True, True)
    assert (service.tty, service.log) == (True, "pipe")
    assert service.restart == services.Restart(
        on="always", max=2, backoff_s=0.01, cap_s=1, reset_after_s=2
    )


def test_scaling_begins_with_the_least(one: One) -> None:
    service = one("scale=Scale(2, 5, cpu=0.5)")
    assert service.scale == services.Scale(min=2, max=5, cpu=0.5)
    assert service.replica_names() == ("a-0", "a-1")


def test_a_task_has_its_own_keywords(job: One) -> None:
    task = job("done=check('test -e x'), timeout='2m', retries=3")
    assert (task.timeout_s, task.retries) == (120, 3)
    assert task.done == probes.Exec(argv=("test", "-e", "x"))


def test_hooks_are_one_command_or_several(one: One) -> None:
    service = one("hooks={'before_start': ['a', 'b'], 'before_stop': [['c'], ['d', 'e']]}")
    assert service.hooks == (
        ("before_start", ("a", "b")), ("before_stop", ("c",)), ("before_stop", ("d", "e")),
    )  # fmt: skip


def test_paths_start_at_the_stacks_folder(one: One, tmp_path: Path) -> None:
    service = one("watch=['src', '/etc'], cwd='work'")
    assert service.watch == (f"{tmp_path}/src", "/etc")
    assert service.cwd == f"{tmp_path}/work"
    assert one("").cwd == str(tmp_path)


def test_files_are_texts_templates_and_copies(
    load: Load, write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEVEL", "debug")
    write("db=${db.addr} l=${LEVEL} $$ $host ${NONE:-x}", "app.tmpl", head="")
    stack = load("""
        @service(port=1)
        def db(): return ["db"]
        @service(files={"a.toml": template("app.tmpl"), "b": "text ${raw}", "c": copy("app.tmpl")})
        def a(db): return ["a"]
    """)
    first, second, third = stack.services[1].files
    assert first.template == "db=${db.addr} l=debug $$ $host x"
    assert (second.text, third.copy) == ("text ${raw}", f"{tmp_path}/app.tmpl")


def test_places_are_written_down_whole(load: Load, tmp_path: Path) -> None:
    stack = load("""
        edge = ssh("edge", user="u", via=ssh("bastion"), sudo=True)
        image = docker("postgres:16", on=edge, shm_size="1g")
        @service(runs_on=image, volumes=["d:/d", "./x:/y:ro", tmpfs("/t")])
        def a(): ...
        @service(runs_on=docker(build=Build("img", args={"V": 1})))
        def b(): ...
        @service(runs_on=systemd("nginx"))
        def c(): ...
        @service(runs_on=external("db.example.com:5432"))
        def d(): ...
        @service(runs_on=edge)
        def e(): return ["wrk"]
    """)
    edge = places.Ssh(host="edge", user="u", via=places.Ssh(host="bastion"), sudo=True)
    a, b, c, d, e = stack.services
    assert a.runs_on == places.Docker(image="postgres:16", on=edge, options=(("shm_size", "1g"),))
    assert a.volumes == (
        services.Volume(kind="named", source="d", path="/d"),
        services.Volume(kind="bind", source=f"{tmp_path}/x", path="/y", is_read_only=True),
        services.Volume(kind="tmpfs", source="", path="/t"),
    )
    assert b.runs_on == places.Docker(
        build=places.Build(context=f"{tmp_path}/img", args=(("V", "1"),))
    )
    assert c.runs_on == places.Systemd(unit="nginx")
    assert d.runs_on == places.External(host="db.example.com", port=5432)
    assert [(p.name, p.number) for p in d.ports] == [("default", 5432)]
    assert e.runs_on == edge
    assert e.cwd is None


BAD = {
    "pot=1": ['"pot"', 'did you mean "port"?'],
    "done=tcp(1)": ["only a task takes done="],
    "port='80'": ['"80" is not a port'],
    "port=0": ["0 is not a port", "1 to 65535"],
    "port=True": ["True is not a port"],
    "port=Port(70000)": ["70000 is not a port"],
    "port=Port(80, shceme='x')": ['no keyword "shceme"', '"scheme"'],
    "port=Port(80, protocol='tpc')": ['did you mean "tcp"?'],
    "port=Port(80, listens='x')": ["127.0.0.1:9000"],
    "port=80, ports={'b': 80}": ["both are tcp port 80"],
    "ports={'B': 80}": ['"B" is not a name of a port'],
    "ports=[80]": ["not a mapping"],
    "env={'A': True}": ['A="1"'],
    "env={'A': []}": ['"A" is [], a list'],
    "env={'A=B': 1}": ["not a variable's name"],
    "env=['A']": ["not a mapping"],
    "ready=http": ["is not a probe"],
    "ready=tcp()": ["has no port to go to"],
    "ready=[]  , live=http('/')": ["has no port to go to"],
    "ready=http('x', port=1)": ['does not start with "/"'],
    "port=1, ready=tcp('admn'), ports={'admin': 2}": ['"admn"', 'did you mean "admin"?'],
    "port=1, ready=tcp(intervall=1)": ['did you mean "interval"?'],
    "port=1, ready=http('/', status=99)": ["100 to 599"],
    "ready=log('(')": ["regular expression"],
    "ready=docker_health()": ["docker_health() is asked of a process"],
    "port=Port(1, protocol='udp'), ready=tcp()": ["which is UDP"],
    "restart='allways'": ['did you mean "always"?'],
    "restart=Restart('always', max=-1)": ["from 0 up"],
    "replicas=0": ["from 1 up"],
    "replicas=2, port=Port(1, listens='0.0.0.0:1')": ["only one replica"],
    "scale=Scale(3, 2)": ["max 2 is less than min 3"],
    "scale=Scale(1, 2), replicas=3": ["3 is not from 1 to 2"],
    "limits=5": ["Limits(cpu="],
    "stop_timeout='soon'": ['"soon" is not a duration'],
    "stop_signal='TREM'": ["SIGTERM"],
    "stop_command=[]": ["the command is empty"],
    "umask='999'": ["octal"],
    "volumes=['data:/data']": ["me.dir"],
    "hooks={'before_strt': ['a']}": ['did you mean "before_start"?'],
    "network='vpn'": ['"wireguard"'],
    "stable=1": ["give True or False"],
    "files={'../x': 'a'}": ["does not lie in me.dir"],
    "files={'x': template('missing.tmpl')}": ["missing.tmpl", "No such file"],
    "files={'x': copy('missing')}": ["no such file"],
    "needs='db'": ["needs=[…]"],
    "needs=[3]": ["needs= holds 3"],
    "runs_on='local'": ['"local" is not a place'],
    "runs_on=docker()": ["image or build="],
    "runs_on=docker('x', on=docker('y'))": ["not a machine"],
    "runs_on=ssh('x', usr='y')": ['did you mean "user"?'],
    "runs_on=external('db')": ["db.example.com:5432"],
    "runs_on=external('db:5432'), port=5433": ["5433 differs from port 5432"],
    "runs_on=docker('x'), isolated=True": ["isolated="],
    "name='A'": ['"A" is not a name of a service'],
    "name='9a'": ["start with a small letter"],
}


@pytest.mark.parametrize("given", BAD)
def test_a_bad_value_is_told_with_its_line_and_what_is_allowed(fail: Fail, given: str) -> None:
    [error] = fail(f"@service({given})\ndef a(): return ['a']")
    text = error.text()
    assert isinstance(error, errors.DefinitionError)
    assert "shop.py:2" in error.where
    assert error.what.startswith("cannot ")
    assert error.do
    assert [word for word in BAD[given] if word not in text] == []


def test_a_value_made_elsewhere_is_told_with_its_own_line(fail: Fail) -> None:
    [error] = fail("""
        edge = ssh("x", prot=22)
        @service(runs_on=edge)
        def a(): return ["a"]
        @service(runs_on=edge)
        def b(): return ["b"]
    """)[:1]
    assert "shop.py:3" in error.where


def test_a_task_refuses_what_only_services_take(fail: Fail) -> None:
    [error] = fail("@task(restart='always')\ndef a(): return ['a']")
    assert "only a service takes restart=" in error.do


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("@service\nasync def a(): return ['a']", "async def"),
        ("@service\ndef a(): yield 'a'", "generator"),
        ("@service\ndef a(*deps): return ['a']", "*args"),
        ("@service\ndef a(**deps): return ['a']", "*args"),
        ("@service\nclass a: pass", "decorates a function"),
        ("@service('a')\ndef a(): return ['a']", "keywords only"),
        ("@service\ndef a(me, mine: Me): return ['a']", "both are the service itself"),
    ],
)
def test_what_cannot_be_a_body_is_refused(fail: Fail, text: str, word: str) -> None:
    [error] = fail(text)
    assert word in error.what


def test_a_template_that_cannot_be_read_is_told_with_line_and_column(
    write: Callable[..., Path],
) -> None:
    write("ok\n  ${db.adr}", "x.tmpl", head="")
    file = write("@service(files={'x': template('x.tmpl')})\ndef a(): return ['a']")
    with pytest.raises(errors.DefinitionError) as caught:
        loading.load(file)
    assert "x.tmpl:2:3" in caught.value.where
    assert 'did you mean "addr"?' in caught.value.do


def test_a_template_may_only_name_what_the_service_is_told(
    write: Callable[..., Path],
) -> None:
    write("${db.addr} ${me.bind}", "x.tmpl", head="")
    file = write("""
        @service(port=1)
        def db(): return ["db"]
        @service(needs=[db], files={"x": template("x.tmpl")})
        def a(): return ["a"]
    """)
    with pytest.raises(errors.DefinitionError, match='"db" is not among the dependencies'):
        loading.load(file)


def test_a_template_may_name_a_task_that_is_waited_for(
    write: Callable[..., Path],
) -> None:
    write("${token.output}", "x.tmpl", head="")
    file = write("""
        @task
        def token(): return ["token"]
        @service(needs=[token], files={"x": template("x.tmpl")})
        def a(): return ["a"]
    """)
    assert loading.load(file).services[1].files[0].template == "${token.output}"
