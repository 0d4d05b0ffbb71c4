"""Plans as JSON and as a table."""

import json
from typing import Any

from stackdsl.model import places, services
from stackdsl.views import plans as views
from tests.unit.plan.making import plan, port, service, stack, task, uses

SHOP = plan(
    stack(
        service("db", port(5432), env=(("HOST", None),)),
        task("token", needs=[uses("db")]),
        service("api", port(80, "http", scheme="http"), needs=[uses("token", "completed")]),
        service("mail", runs_on=places.External(host="mail", port=25), me=False),
    )
)


def services_of(value: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one for one in value["services"]}


def test_json_has_exactly_these_keys() -> None:
    value = json.loads(json.dumps(views.plan_json(SHOP)))

    assert list(value) == [
        "stack", "run", "hosts", "services", "links", "mesh", "steps", "warnings",
    ]  # fmt: skip
    assert value["mesh"] is None
    assert value["hosts"] == [
        {
            "name": "local",
            "kind": "local",
            "addresses": {"lan": None, "mesh": None, "bridge": None},
        }
    ]
    assert list(value["services"][0]) == [
        "name", "kind", "service", "index", "host", "target", "needs", "ports", "bind", "env",
        "command", "stage",
    ]  # fmt: skip
    assert set(value["links"][0]) == {"from", "to", "port", "kind", "address", "reason"}
    assert set(value["steps"][0]) == {"id", "kind", "subject", "needs", "cause"}
    assert set(value["warnings"][0]) == {"code", "what", "where", "why", "do"}


def test_json_tells_a_replica_in_full() -> None:
    db = services_of(views.plan_json(SHOP))["db"]

    assert db["ports"] == [{"name": "default", "port": 5432, "scheme": None, "protocol": "tcp"}]
    assert db["command"][0] == "run"
    assert db["env"]["HOST"] is None
    assert db["target"] == "local"


def test_what_waits_for_a_task_says_so_in_place_of_its_command() -> None:
    assert services_of(views.plan_json(SHOP))["api"]["command"] == ["<after token>"]
    assert "<after token>" in views.plan_table(SHOP)


def test_what_is_outside_has_neither_host_nor_command() -> None:
    mail = services_of(views.plan_json(SHOP))["mail"]

    assert mail["host"] is None
    assert mail["command"] is None
    assert mail["target"] == "external mail:25"


def test_a_table_is_aligned_and_ends_no_line_with_blanks() -> None:
    lines = views.plan_table(SHOP).splitlines()

    head = next(line for line in lines if "STAGE" in line)
    rows = lines[lines.index(head) + 1 :][:4]
    column = head.index("NAME")
    assert [row[column:].split()[0] for row in rows] == ["db", "mail", "token", "api"]
    assert all(line == line.rstrip() for line in lines)


def test_a_command_is_shown_as_one_would_type_it() -> None:
    shell = services.Command(argv=("sh", "-c", "echo hi"))
    made = plan(stack(service("a", body=lambda values: shell)))

    assert "sh -c 'echo hi'" in views.plan_table(made)


def test_in_a_narrow_terminal_the_last_column_has_lines_of_its_own() -> None:
    wide = views.plan_table(SHOP).split()
    narrow = views.plan_table(SHOP, width=60)

    assert narrow.split() == wide
    assert "\n      COMMAND\n" in narrow


def test_the_first_line_of_a_plan_names_its_file() -> None:
    first = views.plan_table(SHOP, "stacks/shop.py").splitlines()[0]

    assert first == "plan of stack shop (stacks/shop.py) as run shop"
