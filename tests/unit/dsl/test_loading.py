"""Loading: what is in a stack, each load apart from every other, faults with the author's lines."""

import importlib.util
import os
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from stackdsl.dsl import loading
from stackdsl.model import errors, stacks
from tests.unit.dsl.conftest import Fail, Load

Write = Callable[..., Path]


def names(stack: stacks.StackModel) -> list[str]:
    return [one.name for one in stack.services]


def argv(stack: stacks.StackModel, name: str) -> tuple[str, ...]:
    service = stack.service(name)
    assert service is not None
    command = service.body({})
    assert command is not None
    return command.argv


def test_a_stack_is_named_after_its_file(write: Write) -> None:
    stack: stacks.StackModel = loading.load(
        write("@service\ndef a(): return ['a']", "My Shop.v2.py")
    )
    assert stack.name == "my-shop-v2"
    assert stack.folder == os.path.dirname(stack.file or "")


def test_what_is_imported_by_name_and_what_it_needs_is_in_the_stack(write: Write) -> None:
    write(
        """
        @service(port=5432)
        def postgres(): return ["postgres"]
        @service(port=6379)
        def redis(): return ["redis"]
        @service(port=80)
        def api(postgres: Ref): return ["api"]
        """,
        "common.py",
    )
    stack: stacks.StackModel = loading.load(
        write("from common import api\n@service\ndef web(api): return ['web']")
    )
    assert names(stack) == ["web", "api", "postgres"]


def test_an_imported_modules_name_is_looked_up_in_that_module_first(write: Write) -> None:
    write("@service\ndef db(): return ['theirs']\n@service\ndef api(db): return ['api']", "lib.py")
    file = write("from lib import api\n@service\ndef db(): return ['mine']")
    with pytest.raises(errors.DefinitionError, match="has that name"):
        loading.load(file)


def test_a_name_that_the_imported_module_lacks_is_the_stacks(write: Write) -> None:
    write("@service\ndef api(db): return ['api']", "lib.py")
    stack: stacks.StackModel = loading.load(
        write("from lib import api\n@service\ndef db(): return ['mine']")
    )
    assert names(stack) == ["db", "api"]


def test_one_file_loaded_twice_gives_two_stacks(write: Write) -> None:
    file = write(
        "import itertools\nn = itertools.count()\n@service\ndef a(): return ['a', next(n)]"
    )
    one: stacks.StackModel = loading.load(file)
    two: stacks.StackModel = loading.load(file)
    assert argv(one, "a") == argv(two, "a") == ("a", "0")
    assert argv(one, "a") == ("a", "1")


def test_helpers_of_two_folders_with_one_name_stay_apart(write: Write) -> None:
    text = """
        import words
        @service
        def a():
            import words.late
            return [words.W, words.late.W]
    """
    for folder in ("one", "two"):
        write(f"W = '{folder}'", f"{folder}/words/__init__.py")
        write(f"W = 'late-{folder}'", f"{folder}/words/late.py")
    one: stacks.StackModel = loading.load(write(text, "one/shop.py"))
    two: stacks.StackModel = loading.load(write(text, "two/shop.py"))
    assert argv(two, "a") == ("two", "late-two")
    assert argv(one, "a") == ("one", "late-one")
    assert "words" not in sys.modules


def test_a_helper_changed_between_two_loads_is_read_again(write: Write) -> None:
    file = write("import words\n@service\ndef a(): return [words.W]")
    seen = []
    for word in ("aaaa", "bbbb", "cccc"):
        write(f"W = '{word}'", "words.py")
        seen.append(argv(loading.load(file), "a"))
    assert seen == [("aaaa",), ("bbbb",), ("cccc",)]


def test_a_load_leaves_the_interpreter_as_it_was(write: Write) -> None:
    write("W = 1", "words.py")
    theirs = types.ModuleType("words")
    sys.modules["words"] = theirs
    try:
        before = (list(sys.path), list(sys.path_hooks), set(sys.modules))
        loading.load(write("import words\n@service\ndef a(): return [words.W]"))
        assert sys.modules["words"] is theirs
        assert (sys.path, sys.path_hooks) == before[:2]
        assert {
            name for name in set(sys.modules) - before[2] if not name.startswith("stackdsl")
        } == set()
    finally:
        del sys.modules["words"]


def test_our_own_package_is_never_taken_for_a_helper(write: Write) -> None:
    write("", "stackdsl/__init__.py", head="")
    before = sys.modules["stackdsl"]
    loading.load(write("@service\ndef a(): return ['a']"))
    assert sys.modules["stackdsl"] is before


def test_threads_load_side_by_side(write: Write) -> None:
    files = []
    for number in range(4):
        write(f"W = '{number}'", f"t{number}/words.py")
        files.append(
            write("import words\n@service\ndef a(): return [words.W]", f"t{number}/shop.py")
        )
    seen: dict[int, tuple[str, ...]] = {}

    def work(number: int) -> None:
        for _ in range(5):
            seen[number] = argv(loading.load(files[number]), "a")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {number: (str(number),) for number in range(4)}


def test_a_module_is_loaded_as_it_stands(write: Write) -> None:
    file = write("@service\ndef a(): return ['a']\nSECRET = secret('X', default='hush')")
    spec = importlib.util.spec_from_file_location("a_test_stack", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stack: stacks.StackModel = loading.load(module)
    assert (names(stack), stack.name, stack.secrets) == (["a"], "shop", ("hush",))


def test_an_empty_file_is_told_what_to_write(fail: Fail) -> None:
    [error] = fail("")
    assert "declares no service" in error.what
    assert "@service" in error.do


def test_services_that_were_not_imported_by_name_are_told(write: Write) -> None:
    write("@service\ndef far(): return ['far']", "lib.py")
    with pytest.raises(errors.DefinitionError) as caught:
        loading.load(write("import lib"))
    assert 'declare "far"; import them by name' in caught.value.why


def test_a_missing_file_is_a_usage_error_with_the_near_miss(write: Write) -> None:
    file = write("")
    with pytest.raises(errors.UsageError, match="no such file") as caught:
        loading.load(file.with_name("shp.py"))
    assert '"shop.py"' in caught.value.do


def test_a_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match="it is a folder"):
        loading.load(tmp_path)


def test_a_syntax_error_is_shown_with_its_line(fail: Fail) -> None:
    [error] = fail("\nx = (1,\ndef a(): pass\n")
    assert error.code == "definition.syntax"
    assert "shop.py:3" in error.where
    assert "^" in error.frames


def test_an_import_that_fails_is_told_with_the_authors_frames_only(write: Write) -> None:
    write("import no_such_thing_at_all", "words.py", head="")
    with pytest.raises(errors.DefinitionError) as caught:
        loading.load(write("import words"))
    error = caught.value
    assert "no_such_thing_at_all" in error.what
    assert "words.py:1" in error.where
    assert "stackdsl/dsl" not in error.frames
    assert "importlib" not in error.frames


def test_an_exception_while_executing_is_told_with_its_line(fail: Fail) -> None:
    [error] = fail("def f():\n    return 1 / 0\n\nf()")
    assert "shop.py:3" in error.where
    assert "ZeroDivisionError: division by zero" in error.what
    assert "return 1 / 0" in error.frames


def test_an_exit_in_the_file_is_an_error(fail: Fail) -> None:
    [error] = fail("import sys\nsys.exit(3)")
    assert "SystemExit" in error.what


def test_an_interrupt_passes(write: Write) -> None:
    with pytest.raises(KeyboardInterrupt):
        loading.load(write("raise KeyboardInterrupt"))


def test_a_failed_load_leaves_the_next_one_right(write: Write, load: Load) -> None:
    with pytest.raises(errors.DefinitionError):
        load("1 / 0")
    assert names(load("@service\ndef a(): return ['a']")) == ["a"]


def test_all_faults_are_told_at_once_in_the_order_of_the_file(fail: Fail) -> None:
    found = fail("""
        @service(pot=1)
        def a(): return ["a"]
        key = secret("NO_SUCH_SECRET")
        @service(port=Port(99999), needs=["nobody"])
        def b(c): return ["b"]
    """)
    lines = [int(error.where.partition("shop.py:")[2].split()[0]) for error in found]
    assert lines == sorted(lines)
    assert {error.code for error in found} == {
        "definition.unknown-keyword", "definition.secret-unset", "definition.bad-value",
        "definition.unknown-name",
    }  # fmt: skip
    assert len(found) == 5


def test_loading_200_services_takes_no_longer_than_a_blink(write: Write) -> None:
    words = "@service(port={0}, env={{'A': 'b'}})\ndef s{0}(s{1}, me): return ['x', me.bind]\n"
    first = "@service(port=2000)\ndef s2000(): return ['x']\n"
    file = write(first + "".join(words.format(2000 + i, 1999 + i) for i in range(1, 200)))
    loading.load(file)
    spent = []
    for _ in range(5):
        start = time.perf_counter()
        loading.load(file)
        spent.append(time.perf_counter() - start)
    assert min(spent) < 0.1  # some 20 ms on an idle machine
