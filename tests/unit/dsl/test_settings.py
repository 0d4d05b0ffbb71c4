"""Settings: what Stack(…) says for all services."""

import pytest

from stackdsl.dsl import settings
from stackdsl.model import stacks
from tests.unit.dsl.conftest import Fail, Load

SERVICE = "\n@service(env={'B': '2'})\ndef a(): return ['a']\n@task\ndef t(): return ['t']"


def test_a_call_is_written_into_the_callers_module() -> None:
    namespace: dict[str, object] = {"settings": settings}
    text = "def Stack(name, **given): return settings.record(name, given)"
    exec(text, namespace)  # the constructor that an author calls
    caller: dict[str, object] = {"Stack": namespace["Stack"], "__name__": "author"}
    exec("made = Stack('shop', env={})", caller)
    assert caller["__stackdsl__"].settings == [caller["made"]]  # type: ignore[attr-defined] # a ledger


def test_settings_hold_for_the_whole_stack(load: Load) -> None:
    stack = load(
        "Stack('the-shop', network=Network(encrypt='always', subnet='10.9.0.0/16'),"
        " on_crash='grace 60s', log_limit='1MiB')" + SERVICE
    )
    assert stack.name == "the-shop"
    assert stack.network == stacks.Network(encrypt="always", subnet="10.9.0.0/16")
    assert stack.crash == stacks.Crash(mode="grace", grace_s=60)
    assert stack.log_limit_bytes == 1 << 20


def test_defaults_hold_where_nothing_else_is_said(load: Load) -> None:
    stack = load("Stack('s', env={'A': '1', 'B': '1'}, restart='always', stop_timeout=3)" + SERVICE)
    a, t = stack.services
    assert dict(a.env) == {"A": "1", "B": "2"}
    assert dict(t.env) == {"A": "1", "B": "1"}
    assert (a.restart.on, t.restart.on) == ("always", "no")
    assert (a.stop_timeout_s, t.stop_timeout_s) == (3, 3)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("'S'", '"S" is not a name of a stack'),
        ("'s', on_crash='adapt'", '"adopt"'),
        ("'s', network='always'", "Network("),
        ("'s', network=Network(subnet='10.0.0.1/8')", "host bits"),
        ("'s', log_limit='1B'", "64KiB"),
        ("'s', restrat='always'", 'did you mean "restart"?'),
        ("'s', port=80", 'no keyword "port"'),
        ("'s', restart='allways'", "restart= of Stack(…)"),
    ],
)
def test_a_setting_that_is_wrong_is_told_once(fail: Fail, given: str, told: str) -> None:
    [error] = fail(
        f"Stack({given})\n@service\ndef a(): return ['a']\n@service\ndef b(): return ['x']"
    )
    assert told in error.text()
    assert "shop.py:2 Stack" in error.where


@pytest.mark.parametrize(("given", "name"), [("name='the-shop'", "the-shop"), ("", "shop")])
def test_a_name_may_be_a_keyword_or_left_out(load: Load, given: str, name: str) -> None:
    assert load(f"Stack({given})" + SERVICE).name == name
