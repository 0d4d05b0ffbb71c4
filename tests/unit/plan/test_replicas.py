"""What a replica is told and how a node is to run it: environment, commands, probes, files."""

import dataclasses
from typing import Any, NoReturn

import pytest

from stackdsl.model import errors, plans, probes, refs, services
from stackdsl.plan import planning
from tests.unit.plan.making import (
    FOLDER,
    Values,
    after,
    fail,
    find,
    find_spec,
    local,
    plan,
    port,
    service,
    stack,
    task,
    uses,
)


def env_of(made: plans.Plan, name: str) -> dict[str, str | None]:
    return dict(find(made, name).env)


def test_a_dependency_is_told_in_variables() -> None:
    db = service("order-db", port(5432, scheme="postgresql"))
    made = plan(stack(db, service("api", needs=[uses("order-db")])))

    env = env_of(made, "api")
    host = find(made, "order-db").bind
    told = {key: value for key, value in env.items() if key.startswith("ORDER_DB_")}
    assert told == {
        "ORDER_DB_HOST": host,
        "ORDER_DB_PORT": "5432",
        "ORDER_DB_ADDR": f"{host}:5432",
        "ORDER_DB_URL": f"postgresql://{host}:5432",
        "ORDER_DB_ADDRS": f"{host}:5432",
    }


def test_named_ports_are_told_by_name_too() -> None:
    api = service("api", port(8080, "http", scheme="http"), port(9090, "admin-ui"))
    made = plan(stack(api, service("web", needs=[uses("api")])))

    env = env_of(made, "web")
    host = find(made, "api").bind
    assert env["API_ADDR"] == env["API_HTTP_ADDR"] == f"{host}:8080"
    assert env["API_HTTP_URL"] == f"http://{host}:8080"
    assert env["API_ADMIN_UI_PORT"] == "9090"
    assert "API_ADMIN_UI_URL" not in env


def test_a_service_is_told_of_itself() -> None:
    made = plan(stack(service("api", port(8080, "http"), port(9090, "admin"), replicas=2)))

    env = env_of(made, "api-1")
    assert env == {
        "HOST": find(made, "api-1").bind,
        "PORT": "8080",
        "ADMIN_PORT": "9090",
        "STACKDSL_RUN": "shop",
        "STACKDSL_SERVICE": "api",
        "STACKDSL_INDEX": "1",
        "STACKDSL_DIR": f"{FOLDER}/dirs/api-1",
    }


def test_all_replicas_are_told_in_order() -> None:
    made = plan(stack(service("db", port(5432), replicas=12), service("api", needs=[uses("db")])))

    addresses = [f"{find(made, f'db-{index}').bind}:5432" for index in range(12)]
    assert env_of(made, "api")["DB_ADDRS"] == ",".join(addresses)
    assert env_of(made, "api")["DB_ADDR"] == addresses[0]


def test_callers_of_a_stable_service_do_not_change_when_it_is_scaled() -> None:
    api = service("api", port(8080), replicas=2, is_stable=True)
    web = service("web", needs=[uses("api")])
    first = plan(stack(api, web))

    second = plan(stack(dataclasses.replace(api, replicas=5), web), previous=first)

    assert find(second, "web").digest == find(first, "web").digest


def test_an_order_only_need_tells_nothing() -> None:
    made = plan(stack(service("db", port(5432)), service("api", needs=[after("db")])))

    assert not any(key.startswith("DB_") for key in env_of(made, "api"))
    assert made.links == ()


def test_a_planned_need_tells_the_address_without_the_order() -> None:
    made = plan(
        stack(
            service("a", port(7000), needs=[uses("b", "planned")]),
            service("b", port(7000), needs=[uses("a", "planned")]),
        )
    )

    assert env_of(made, "a")["B_HOST"] == find(made, "b").bind
    assert {one.stage for one in made.services} == {0}


def test_the_authors_value_wins_and_none_removes() -> None:
    made = plan(
        stack(
            service("db", port(5432)),
            service(
                "api",
                needs=[uses("db")],
                env=(("DB_HOST", "elsewhere"), ("HOST", None), ("DEBUG", "1")),
            ),
        )
    )

    env = env_of(made, "api")
    assert env["DB_HOST"] == "elsewhere"
    assert env["HOST"] is None
    assert env["DEBUG"] == "1"


def test_the_commands_own_environment_and_folder_win() -> None:
    def body(values: Values) -> services.Command:
        return services.Command(argv=("x",), env=(("DEBUG", "2"), ("HOST", "h")), cwd="src")

    made = plan(stack(service("api", env=(("DEBUG", "1"),), body=body)))

    spec = find_spec(made, "api")
    assert dict(spec.env)["DEBUG"] == "2"
    assert dict(spec.env)["HOST"] == "h"
    assert spec.cwd == "/home/ann/src"
    assert find(made, "api").env == spec.env
    assert list(spec.env) == sorted(spec.env)


def test_two_sources_of_one_variable_are_an_error_until_the_author_says_which() -> None:
    members = [
        service("db", port(5432), port(5433, "x")),
        service("db_x", port(6000)),
        service("api", needs=[uses("db"), uses("db_x")]),
    ]

    wrong = fail(stack(*members))

    assert {error.code for error in wrong} == {"plan.env-clash"}
    assert any("$DB_X_PORT" in error.what for error in wrong)
    keys = [error.what.partition("$")[2].partition(":")[0] for error in wrong]
    settled = dataclasses.replace(members[2], env=tuple((key, "1") for key in keys))
    assert plan(stack(*members[:2], settled))


def test_a_body_is_called_once_for_each_replica_with_its_own_values() -> None:
    seen = []

    def body(values: Values) -> services.Command:
        me = values["me"]
        assert isinstance(me, refs.Me)
        seen.append((me.name, me.index, me.port, me.dir, [ref.addr for ref in me.replicas]))
        return services.Command(argv=("x",))

    made = plan(stack(service("api", port(8080), replicas=2, body=body)))

    addresses = [f"{find(made, f'api-{index}').bind}:8080" for index in range(2)]
    assert seen == [
        (f"api-{index}", index, 8080, f"{FOLDER}/dirs/api-{index}", addresses) for index in range(2)
    ]


def test_a_body_that_returns_nothing_for_a_process_is_an_error() -> None:
    wrong = fail(stack(service("api", body=lambda values: None)))

    assert [error.code for error in wrong] == ["definition.no-command"]
    assert "return" in wrong[0].do


def test_errors_of_all_bodies_are_raised_together_in_the_order_of_the_file() -> None:
    def refuse(values: Values) -> NoReturn:
        raise errors.DefinitionError("definition.no", "cannot: no", where="", do="do not")

    def miss(values: Values) -> None:
        return None

    wrong = fail(
        stack(service("zebra", body=miss), service("ape", body=miss), service("ox", body=refuse))
    )

    wheres = [error.where for error in wrong if error.where]
    assert len(wrong) == 3
    assert wheres == sorted(wheres, key=lambda where: int(where.split(":")[1].split()[0]))


def test_an_unknown_need_is_an_error_with_a_near_miss() -> None:
    wrong = fail(stack(service("postgres", port(5432)), service("api", needs=[uses("postgers")])))

    assert [error.code for error in wrong] == ["plan.unknown-need"]
    assert '"postgres"' in wrong[0].do


def test_a_dashed_name_finds_its_service() -> None:
    made = plan(
        stack(service("order_api", port(80 + 8000)), service("web", needs=[uses("order-api")]))
    )

    assert made.links[0].target == "order_api"
    command = find(made, "web").command
    assert command is not None
    assert command[1].startswith("order-api=127.")


def test_a_cycle_is_an_error_that_walks_it() -> None:
    wrong = fail(
        stack(
            service("a", needs=[after("b")]),
            service("b", needs=[after("c")]),
            service("c", needs=[after("a")]),
        )
    )

    assert [error.code for error in wrong] == ["plan.cycle"]
    assert "a needs b needs c needs a" in wrong[0].what


# --- tasks and their outputs ----------------------------------------------------------------------

TOKEN = stack(
    service("db", port(5432)),
    task("token", needs=[uses("db")]),
    service("api", port(8080), needs=[uses("token", "completed"), uses("db")]),
)


def test_a_body_with_a_task_waits_for_its_output() -> None:
    made = plan(TOKEN)

    api = find(made, "api")
    assert (api.command, api.spec, api.digest) == (None, None, "")
    assert api.after == ("token",)
    assert api.bind.startswith("127.")
    assert find_spec(made, "token").output_wanted
    assert not find_spec(made, "db").output_wanted


def test_finishing_a_waiting_replica_gives_what_the_plan_with_outputs_gives() -> None:
    waiting = plan(TOKEN)
    whole = plan(TOKEN, outputs={"token": "s3cret"})

    finished = planning.resolve(waiting, TOKEN, "api", {"token": "s3cret"})

    assert finished == find(whole, "api")
    assert finished.command is not None
    assert "token=s3cret" in finished.command


@pytest.mark.parametrize("name", ["db", "token", "web", "api-0", "api-1"])
def test_finishing_again_changes_nothing(name: str) -> None:
    made = stack(
        service("db", port(5432)),
        task("token", needs=[uses("db")]),
        service("api", port(80, "http"), port(81, "x"), replicas=2, is_stable=True),
        service("web", port(8080, listens=("127.0.0.1", 9000)), needs=[uses("api"), uses("db")]),
    )
    whole = plan(made)

    assert planning.resolve(whole, made, name, {}) == find(whole, name)


def test_without_bodies_nothing_is_called() -> None:
    def body(values: Values) -> NoReturn:
        raise AssertionError

    made = plan(stack(service("api", port(8080), body=body)), call_bodies=False)

    assert find(made, "api").command is None
    assert find(made, "api").spec is None


def test_a_template_that_reads_an_output_waits_for_the_task() -> None:
    entry = services.FileEntry(path="conf", template="token = ${token.output}\n")
    made = stack(task("token"), service("api", needs=[after("token", "completed")], files=(entry,)))

    assert find(plan(made), "api").after == ("token",)
    finished = planning.resolve(plan(made), made, "api", {"token": "t"})
    assert finished.spec is not None
    assert finished.spec.files[0].text == "token = t\n"


# --- specs ----------------------------------------------------------------------------------------


def test_without_a_word_a_service_is_ready_when_its_default_port_accepts() -> None:
    made = plan(stack(service("api", port(9090, "admin"), port(8080, "http"))))

    spec = find_spec(made, "api")
    assert [check.label for check in spec.ready] == [f"tcp {find(made, 'api').bind}:9090"]
    assert spec.is_default_ready


def test_the_default_probe_skips_datagrams() -> None:
    made = plan(stack(service("dns", port(53 + 8000, "dns", protocol="udp"), port(8080, "http"))))

    assert find_spec(made, "dns").ready[0].port == 8080


def test_no_port_or_no_wish_means_no_probe() -> None:
    made = plan(stack(service("job"), service("api", port(8080), ready=()), task("t", port(1234))))

    for name in ("job", "api", "t"):
        assert find_spec(made, name).ready == ()
        assert not find_spec(made, name).is_default_ready


def test_probes_find_ports_by_number_and_by_name() -> None:
    checks = (probes.Http(path="/ok", port="admin"), probes.Tcp(port=9090), probes.Tcp(port=1234))
    made = plan(stack(service("api", port(8080), port(9090, "admin"), ready=checks, live=checks)))

    api, spec = find(made, "api"), find_spec(made, "api")
    assert [check.label for check in spec.ready] == [
        f"http {api.bind}:9090/ok",
        f"tcp {api.bind}:9090",
        f"tcp {api.bind}:1234",
    ]
    assert spec.live == spec.ready
    assert not spec.is_default_ready


def test_a_probe_follows_a_port_that_gave_way() -> None:
    made = plan(stack(service("api", port(80), ready=(probes.Http(path="/", port=80),))))

    assert find_spec(made, "api").ready[0].port == find(made, "api").ports[0].bound_port


def test_a_probe_of_a_port_that_there_is_not_is_an_error() -> None:
    wrong = fail(stack(service("api", port(8080), ready=(probes.Tcp(port="htp"),))))

    assert [error.code for error in wrong] == ["plan.unknown-port"]


def test_a_file_probe_starts_in_the_replicas_folder() -> None:
    made = plan(stack(service("api", ready=(probes.File(path="up"), probes.File(path="/tmp/up")))))

    labels = [check.label for check in find_spec(made, "api").ready]
    assert labels == [f"file {FOLDER}/dirs/api/up", "file /tmp/up"]


def test_files_are_rendered_with_what_the_replica_is_told() -> None:
    files = (
        services.FileEntry(path="a", template="db=${db.addr} me=${me.port}", where="a.tmpl"),
        services.FileEntry(path="b", text="${db.addr}"),
        services.FileEntry(path="c", copy="/home/ann/c"),
    )
    made = plan(
        stack(
            service("db", port(5432)),
            service("api", port(80 + 8000), needs=[uses("db")], files=files),
        )
    )

    rendered = find_spec(made, "api").files
    assert rendered[0].text == f"db={find(made, 'db').bind}:5432 me=8080"
    assert rendered[1].text == "${db.addr}"
    assert rendered[2].copy == "/home/ann/c"


def test_a_digest_does_not_change_with_the_line_in_the_file() -> None:
    first = service("api", port(8080))
    moved = dataclasses.replace(first, where=services.Where(file="shop.py", line=999))

    assert find(plan(stack(first)), "api").digest == find(plan(stack(moved)), "api").digest


@pytest.mark.parametrize(
    "change", [{"umask": 0o77}, {"env": (("A", "1"),)}, {"stop_timeout_s": 1.0}, {"user": "ann"}]
)
def test_a_digest_changes_with_what_runs(change: dict[str, Any]) -> None:
    first = service("api", port(8080))

    changed = plan(stack(dataclasses.replace(first, **change)))

    assert find(plan(stack(first)), "api").digest != find(changed, "api").digest


def test_a_secret_in_a_command_line_is_warned_about_without_showing_it() -> None:
    body = lambda values: services.Command(argv=("psql", "--password=hunter2"))  # noqa: E731
    made = plan(stack(service("api", body=body), secrets=("hunter2",)))

    assert [notice.code for notice in made.warnings] == ["plan.secret-in-command"]
    assert "hunter2" not in str(made.warnings)


def notices_of_text(text: str) -> list[plans.Notice]:
    entry = services.FileEntry(path="conf/web.conf", text=text)
    made = plan(stack(service("order_api", port(8080)), service("web", files=(entry,))))
    return [notice for notice in made.warnings if notice.code == "plan.literal-text"]


@pytest.mark.parametrize("token", ["${order_api.addr}", "${order-api.port}", "${me.bind}"])
def test_a_text_among_files_that_speaks_of_a_service_is_warned_about(token: str) -> None:
    (notice,) = notices_of_text(f"pass {token};")

    assert token in notice.what
    assert notice.do.endswith('template("web.conf.tmpl")')


@pytest.mark.parametrize(
    "text", ["$order_api", "${HOME}", "${other.addr}", "${order_api.paint}", "$${me.bind}"]
)
def test_a_text_in_another_language_is_not_warned_about(text: str) -> None:
    assert not notices_of_text(text)


def test_the_plan_is_the_same_for_the_same_inputs() -> None:
    assert plan(TOKEN, local()) == plan(TOKEN, local())
