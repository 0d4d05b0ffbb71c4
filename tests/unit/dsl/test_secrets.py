"""Secrets: where they come from, and what is told when there is none."""

import pytest

from tests.unit.dsl.conftest import Fail, Load


def secrets(load: Load, given: str) -> tuple[str, ...]:
    text = f"KEY = secret({given})\n@service(env={{'KEY': KEY}})\ndef a(): return ['a']"
    return load(text).secrets


def test_the_environment_comes_first(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PW", "from-env")
    assert secrets(load, "'DB_PW', default='d', file='x', command='y'") == ("from-env",)


def test_a_file_is_read_without_its_last_newline(load: Load) -> None:
    assert secrets(load, "'DB_PW', command=['sh', '-c', 'echo it']") == ("it",)


def test_a_command_is_run_in_the_stacks_folder(load: Load) -> None:
    assert secrets(load, "'DB_PW', command='cat shop.py'")[0].startswith("from stackdsl")


def test_a_default_stands_in(load: Load) -> None:
    assert secrets(load, "'DB_PW', default='dev'") == ("dev",)


def test_a_secret_is_an_ordinary_text(load: Load) -> None:
    stack = load(
        "KEY = secret('K', default='x')\n@service(env={'U': f'u:{KEY}'})\ndef a(): return [KEY]"
    )
    assert stack.services[0].env == (("U", "u:x"),)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("'NO_SUCH'", "not in the environment"),
        ("'NO_SUCH', file='missing'", "No such file"),
        ("'NO_SUCH', command='false'", '"false" exited 1'),
        ("'NO_SUCH', command='no-such-program'", "No such file"),
    ],
)
def test_an_unset_secret_is_told_with_its_line(fail: Fail, given: str, why: str) -> None:
    [error] = fail(f"\nKEY = secret({given})\n@service\ndef a(): return ['a']")
    assert error.code == "definition.secret-unset"
    assert "shop.py:3" in error.where
    assert why in error.why
