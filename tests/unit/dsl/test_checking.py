"""Checking: faults between the services of a stack."""

import pytest

from tests.unit.dsl.conftest import Fail, Load

CLEAN = {
    "a cycle through planned": """
        @service(port=1, needs=[planned("b")])
        def a(b): return ['x']
        @service(port=2)
        def b(a): return ['x']
    """,
    "a variable that the author settles": """
        @service(port=1)
        def admin(): return ['x']
        @service(port=2, ports={"admin": 3}, env={"ADMIN_PORT": 1})
        def a(admin): return ['x']
    """,
    "one listens beside a canonical port": """
        @service(port=Port(80, listens="127.0.0.1:8080"))
        def a(): return ['x']
        @service(port=8080)
        def b(): return ['x']
    """,
    "an isolated one": """
        @service(port=Port(80, listens="0.0.0.0:8080"))
        def a(): return ['x']
        @service(port=Port(80, listens="0.0.0.0:8080"), isolated=True)
        def b(): return ['x']
    """,
    "tcp and udp": """
        @service(port=Port(53, listens="0.0.0.0:53"))
        def a(): return ['x']
        @service(port=Port(53, protocol="udp", listens="0.0.0.0:53"))
        def b(): return ['x']
    """,
}

WRONG = {
    "a cycle of three": (
        """
        @service(port=1)
        def a(b): return ['x']
        @service(port=2)
        def b(c): return ['x']
        @service(port=3)
        def c(a): return ['x']
        """,
        ["a -> b -> c -> a", 'planned("b")', "shop.py:3", "shop.py:5", "shop.py:7"],
    ),
    "a service that needs itself": (
        "@service(needs=['a'])\ndef a(): return ['x']",
        ["a -> a"],
    ),
    "restarts that follow each other": (
        """
        @service(restart_with=["b"])
        def a(): return ['x']
        @service(restart_with=["a"])
        def b(): return ['x']
        """,
        ["a -> b -> a", "restart_with="],
    ),
    "two of one name": (
        "@service\ndef a(): return ['x']\n@task\ndef a(): return ['x']",
        ['cannot name task "a"', "shop.py:2", "shop.py:4"],
    ),
    "names that differ in a dash": (
        "@service(name='a-b')\ndef a(): return ['x']\n@service\ndef a_b(): return ['x']",
        ['service "a-b"', "- and _"],
    ),
    "a replica's name": (
        "@service(replicas=2)\ndef a(): return ['x']\n@service(name='a-1')\ndef b(): return ['x']",
        ['cannot name replica "a-1"'],
    ),
    "two sources of one variable": (
        """
        @service(port=1)
        def a_b(): return ['x']
        @service(port=2, ports={"b": 3})
        def a(): return ['x']
        @service
        def c(a, a_b): return ['x']
        """,
        ["$A_B_HOST, $A_B_PORT, $A_B_ADDR:", "two sources", "env="],
    ),
    "a dependency's variable and one's own": (
        """
        @service(port=1)
        def admin(): return ['x']
        @service(port=2, ports={"admin": 3})
        def a(admin): return ['x']
        """,
        ["$ADMIN_PORT", '"a" itself'],
    ),
    "two that insist on one socket": (
        """
        @service(port=Port(80, listens="0.0.0.0:8080"))
        def a(): return ['x']
        @service(port=Port(81, listens="0.0.0.0:8080"))
        def b(): return ['x']
        """,
        ['cannot give "b" port 8080', "isolated=True"],
    ),
    "one that insists on the whole machine, and a canonical port": (
        """
        @service(port=8080)
        def b(): return ['x']
        @service(port=Port(80, listens="0.0.0.0:8080"))
        def a(): return ['x']
        """,
        ['cannot give "a" port 8080', "isolated=True", 'service "b"'],
    ),
    "two that publish one socket": (
        """
        @service(port=Port(80, publish=8080))
        def a(): return ['x']
        @service(port=Port(81, publish="0.0.0.0:8080"))
        def b(): return ['x']
        """,
        ['cannot give "b" port 8080', "publish=", 'service "a"'],
    ),
    "a bind on the whole machine, and a canonical port": (
        """
        @service(port=Port(80, bind="0.0.0.0"))
        def a(): return ['x']
        @service(port=80)
        def b(): return ['x']
        """,
        ['cannot give "b" port 80', "isolated=True"],
    ),
    "replicas that bind one address": (
        """
        @service(port=Port(80, bind="127.0.0.1"), replicas=2)
        def a(): return ['x']
        """,
        ["bind=", "only one replica"],
    ),
    "two stacks in one file": (
        "Stack('x')\nStack('y')\n@service\ndef a(): return ['x']",
        ["second Stack"],
    ),
}


@pytest.mark.parametrize("case", CLEAN)
def test_a_stack_that_is_right_is_left_alone(load: Load, case: str) -> None:
    assert load(CLEAN[case]).services


@pytest.mark.parametrize("case", WRONG)
def test_a_stack_that_is_wrong_is_told_once(fail: Fail, case: str) -> None:
    text, told = WRONG[case]
    [error] = fail(text)
    assert [word for word in told if word not in error.text()] == []
    assert error.do


def test_what_bodies_do_wrong_is_told_with_all_else(fail: Fail) -> None:
    found = fail("""
        @service(pot=1)
        def a(): return 7
        @service
        def b(c, me):
            return [me.bind, c.addr]
        @service
        def c(): return 1 / 0
        @service
        def of_a_wrong_one(a): return [a.addr]
        @task
        def d(): return 7
        @service
        def e(d): return 1 / 0
    """)
    assert [error.code for error in found] == [
        "definition.unknown-keyword", "definition.bad-command", "definition.no-port",
        "definition.body-raised", "definition.bad-command",
    ]  # fmt: skip
    assert found[2].where.endswith("shop.py:7 @service b")


def test_every_fault_of_one_value_is_told(fail: Fail) -> None:
    found = fail("""
        @service(
            port=Port(0, listens="x"),
            env={"A": True, "B": []},
            limits=Limits(cpu=0, memory="x"),
            live=[http("x"), tcp(intervall=1, failure=1)],
        )
        def a(): return ['x']
    """)
    told = sorted(error.what.partition("=")[0].removeprefix("cannot read ") for error in found)
    assert told == ["env", "env", "limits", "limits", "live", "live", "live", "port", "port"]


def test_a_secret_that_a_body_asks_for_is_told_once(fail: Fail) -> None:
    found = fail("""
        secret("NOT_SET_A")
        @service
        def a(): return ['x', secret("NOT_SET_B")]
    """)
    assert [error.what for error in found] == [
        'cannot read secret "NOT_SET_A": it is not set',
        'cannot read secret "NOT_SET_B": it is not set',
    ]


def test_near_misses_of_what_bodies_and_imports_name_are_told(fail: Fail) -> None:
    found = fail("""
        Stack("Wrong")
        @service(port=1)
        def db(): return ['x']
        @service
        def a(db): return ['x', db.adr]
        @service
        def b(db): return ['x', db.ports["defult"].addr]
    """)
    assert [error.do.partition("?")[0] for error in found[1:]] == [
        'did you mean "addr"', 'did you mean "default"'
    ]  # fmt: skip
    [error] = fail("from stackdsl import servce")
    assert error.do.startswith('did you mean "service"?')


def test_bodies_of_a_stack_that_is_right_are_not_called(load: Load) -> None:
    assert load("@service\ndef a(): return 1 / 0").services
