"""Needing: what parameters and needs=[…] mean."""

import pytest

from stackdsl.model import services
from tests.unit.dsl.conftest import Fail, Load

HEAD = """
@service(port=1)
def db(): return ["db"]
@task
def migrate(): return ["migrate"]
"""


def read(load: Load, text: str) -> list[tuple[str, str, str | None, bool]]:
    service = load(f"{HEAD}\n{text}").service("a")
    assert service is not None
    return [(n.name, n.condition, n.parameter, n.is_addressed) for n in service.needs]


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("@service\ndef a(db): return ['x']", [("db", "ready", "db", True)]),
        ("@service\ndef a(migrate): return ['x']", [("migrate", "completed", "migrate", True)]),
        ("@service(needs=[db])\ndef a(): return ['x']", [("db", "ready", None, False)]),
        (
            "@service(needs=['migrate'])\ndef a(): return ['x']",
            [("migrate", "completed", None, False)],
        ),
        ("@service(needs=[planned(db)])\ndef a(): return ['x']", [("db", "planned", None, True)]),
        ("@service(needs=[planned(db)])\ndef a(db): return ['x']", [("db", "planned", "db", True)]),
        (
            "@service(needs=[started('db')])\ndef a(db): return ['x']",
            [("db", "started", "db", True)],
        ),
        ("@service(needs=[db])\ndef a(db): return ['x']", [("db", "ready", "db", True)]),
        (
            "@service(needs=[completed(db)])\ndef a(): return ['x']",
            [("db", "completed", None, False)],
        ),
        ("Service(name='a', command='a', needs=[db])", [("db", "ready", None, True)]),
        (
            "Service(name='a', command='a', needs=[db, planned(db)])",
            [("db", "ready", None, True), ("db", "planned", None, True)],
        ),
        (
            "@service(needs=[planned(db), db])\ndef a(db): return ['a']",
            [("db", "planned", "db", True), ("db", "ready", None, False)],
        ),
        (
            "Service(name='a', command='a', needs=[migrate])",
            [("migrate", "completed", None, False)],
        ),
        ("@service\ndef a(*, db): return ['x']", [("db", "ready", "db", True)]),
        ("@service\ndef a(db=None, me=3): return ['x']", []),
    ],
)
def test_what_is_needed(
    load: Load, text: str, needs: list[tuple[str, str, str | None, bool]]
) -> None:
    assert read(load, text) == needs


def test_an_underscore_finds_a_dash(load: Load) -> None:
    stack = load("""
        Service(name="order-api", command="x", port=1)
        @service(needs=["order_api"])
        def a(order_api): return ["a"]
    """)
    assert stack.services[1].needs == (
        services.Need(
            name="order-api", condition="ready", parameter="order_api", is_addressed=True
        ),
    )


@pytest.mark.parametrize("parameter", ["me", "myself: Me", "myself: 'Me'"])
def test_the_service_itself_is_handed_under_me(load: Load, parameter: str) -> None:
    stack = load(f"@service(port=1)\ndef a({parameter}): return ['a']")
    assert stack.services[0].parameters == ("me",)
    assert stack.services[0].needs == ()


def test_restarts_follow_services(load: Load) -> None:
    stack = load(f"{HEAD}\n@service(restart_with=[db, 'db'])\ndef a(): return ['a']")
    service = stack.service("a")
    assert service is not None
    assert service.restart_with == ("db",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("@service(needs=['dbb'])\ndef a(): return ['x']", ['"dbb"', 'did you mean "db"?']),
        ("@service\ndef a(dbb): return ['x']", ['parameter "dbb"', 'did you mean "db"?']),
        ("@service(restart_with=['dbb'])\ndef a(): return ['x']", ['did you mean "db"?']),
        ("@service(restart_with=[migrate])\ndef a(): return ['x']", ["tasks are not restarted"]),
        ("@service(needs=[ready(migrate)])\ndef a(): return ['x']", ['completed("migrate")']),
        ("@service(needs=[planned(migrate)])\ndef a(): return ['x']", ["has no address"]),
        ("@service(needs=[started(migrate)])\ndef a(migrate): return ['x']", ["its end"]),
        ("@service(port=2)\ndef a(a): return ['x']", ['name the parameter "me"']),
        ("pg = db\n@service\ndef a(pg): return ['x']", ['the variable "pg" holds service "db"']),
    ],
)
def test_a_need_that_is_wrong_is_told(fail: Fail, text: str, told: list[str]) -> None:
    [error] = fail(f"{HEAD}\n{text}")
    assert [word for word in told if word not in error.text()] == []
