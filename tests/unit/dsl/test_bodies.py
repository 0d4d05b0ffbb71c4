"""Bodies: the author's function called with values, its result made into a command."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from stackdsl.model import errors, refs, services
from tests.unit.dsl.conftest import Fail, Load

DB = refs.Ref(
    name="db", default=refs.PortRef(name="default", host="127.1.2.3", port=5432, owner="db")
)
ME = refs.Me(name="a", bind="127.1.2.4", own=DB, dir="/run/a")
VALUES: Mapping[str, refs.Ref | refs.Me] = {"db": DB, "me": ME}


def call(load: Load, text: str) -> services.Command | None:
    stack = load(f"@service(port=1)\ndef db(): return ['db']\n{text}")
    service = stack.service("a")
    assert service is not None
    return service.body({name: VALUES[name] for name in service.parameters})


def refuse(load: Load, text: str) -> errors.StackError:
    with pytest.raises(errors.StackError) as caught:
        call(load, text)
    return caught.value


@pytest.mark.parametrize(
    ("body", "argv"),
    [
        ("['a', 1, 1.5]", ("a", "1", "1.5")),
        ("('a', 'b c')", ("a", "b c")),
        ("'a \"b c\" d'", ("a", "b c", "d")),
        ("__import__('pathlib').Path('/x')", None),
        ("['cat', __import__('pathlib').Path('/x')]", ("cat", "/x")),
    ],
)
def test_what_a_body_returns(load: Load, body: str, argv: tuple[str, ...] | None) -> None:
    text = f"@service\ndef a(): return {body}"
    if argv is None:
        assert "not a command" in refuse(load, text).what
        return
    assert call(load, text) == services.Command(argv=argv)


def test_a_command_brings_its_environment_and_folder(load: Load, tmp_path: Path) -> None:
    text = "@service\ndef a(me): return Command('x y', env={'A': 1, 'B': None}, cwd='sub')"
    assert call(load, text) == services.Command(
        argv=("x", "y"), env=(("A", "1"), ("B", None)), cwd=f"{tmp_path}/sub"
    )


def test_values_come_by_name_whatever_the_parameters_kind(load: Load) -> None:
    text = "@service\ndef a(db, /, i: Me, *, n=2): return [db.addr, i.bind, n]"
    command = call(load, text)
    assert command is not None
    assert command.argv == ("127.1.2.3:5432", "127.1.2.4", "2")


def test_a_body_of_an_image_may_return_nothing(load: Load) -> None:
    assert call(load, "@service(runs_on=docker('x'))\ndef a(): ...") is None


def test_a_process_without_a_command_is_told_what_a_body_is(load: Load) -> None:
    error = refuse(load, "@service\ndef a(): ...")
    assert error.code == "definition.no-command"
    assert "returns its command" in error.do


def test_a_process_declared_without_function_needs_a_command(fail: Fail) -> None:
    [error] = fail("Service(name='a')")
    assert 'command=["prog"' in error.do


@pytest.mark.parametrize(
    ("returned", "word"),
    [
        ("7", "7 is not a command"),
        ("[]", "empty"),
        ("''", "empty"),
        ("['a', None]", "word 1 is None"),
        ("['a', True]", "word 1 is True"),
        ("[b'a']", "word 0"),
        ("'a \"b'", "does not split"),
        ("{'a': 1}", "not a command"),
        ("(x for x in 'ab')", "not a command"),
        ("Command(['a'], env={'A': []})", '"A" is []'),
        ("Command(['a'], cvd='x')", '"cvd"'),
    ],
)
def test_nonsense_is_refused_with_the_functions_line(load: Load, returned: str, word: str) -> None:
    error = refuse(load, f"@service\ndef a(): return {returned}")
    assert word in error.what
    assert "shop.py:4 @service a" in error.where
    assert error.do


def test_a_ref_in_a_command_is_told_to_be_addressed(load: Load) -> None:
    error = refuse(load, "@service\ndef a(db): return ['x', db]")
    assert "give .addr, .url" in error.do


def test_a_body_that_raises_shows_the_authors_lines_only(load: Load) -> None:
    error = refuse(
        load, "def helper(x):\n    return x['nope']\n@service\ndef a(): return helper({})"
    )
    assert error.code == "definition.body-raised"
    assert "KeyError: 'nope'" in error.what
    assert "shop.py:5 @service a" in error.where
    assert "return x['nope']" in error.frames
    assert "stackdsl/dsl" not in error.frames


def test_a_url_without_a_scheme_gets_the_authors_line(load: Load) -> None:
    error = refuse(load, "@service\ndef a(db):\n    return [\n        db.url]")
    assert error.code == "definition.no-scheme"
    assert "shop.py:7" in error.where


def test_a_helper_imported_inside_a_body_is_found(load: Load, tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text("W = 'late'")
    command = call(load, "@service\ndef a():\n    import late\n    return [late.W]")
    assert command is not None
    assert command.argv == ("late",)


def test_a_secret_asked_for_in_a_body_comes_with_the_command(load: Load) -> None:
    command = call(load, "@service\ndef a(): return ['x', secret('S', default='hush')]")
    assert command is not None
    assert command.secrets == ("hush",)


def test_a_secret_unset_in_a_body_is_an_error(load: Load) -> None:
    error = refuse(load, "@service\ndef a(): return ['x', secret('NO_SUCH')]")
    assert error.code == "definition.secret-unset"
    assert "shop.py:5" in error.where


def test_a_service_without_a_port_that_reads_its_own_is_told_to_have_one() -> None:
    me = refs.Me(name="web", own=refs.Ref(name="web"))
    with pytest.raises(errors.DefinitionError) as caught:
        _ = me.port
    assert caught.value.do == 'give "web" port=…'
