"""Declaring: what decorators write down, and into which module."""

from stackdsl.dsl import declarations, ledgers
from tests.unit.dsl.conftest import Load


def test_a_decorator_writes_into_the_module_that_defines_the_function() -> None:
    before = len(ledgers.of(globals()).declarations)

    @declarations.service(port=1)
    def mine() -> None: ...

    assert ledgers.of(globals()).declarations[before:] == [mine]
    assert mine.keywords == {"port": 1}


def test_a_decorator_stands_with_and_without_parentheses(load: Load) -> None:
    stack = load("""
        @service
        def a(): return ["a"]
        @task
        def b(): return ["b"]
        @service()
        def c(): return ["c"]
    """)
    assert [(one.name, one.kind) for one in stack.services] == [
        ("a", "service"), ("b", "task"), ("c", "service"),
    ]  # fmt: skip


def test_nonsense_is_written_down_without_raising() -> None:
    made = declarations.service(port="no", colour=1)(lambda: None)  # type: ignore[call-overload] # on purpose
    assert made.keywords == {"port": "no", "colour": 1}
    ledgers.of(globals()).declarations.remove(made)


def test_services_made_in_a_loop_are_all_seen(load: Load) -> None:
    stack = load("""
        for index in range(3):
            @service(name=f"load-{index}x", port=1000 + index)
            def load(me: Me, index=index): return ["wrk", str(index)]
    """)
    assert [one.name for one in stack.services] == ["load-0x", "load-1x", "load-2x"]
    assert [one.parameters for one in stack.services] == [("me",)] * 3
    bodies = [one.body({"me": None}) for one in stack.services]  # type: ignore[dict-item] # unread
    assert [body.argv for body in bodies if body] == [("wrk", "0"), ("wrk", "1"), ("wrk", "2")]


def test_a_service_is_declared_without_a_function(load: Load) -> None:
    stack = load("""
        db = Service(name="db", command="redis-server --port 6379", port=6379)
        fill = Task(name="fill", command=["redis-cli", "set", "a", 1], needs=[db])
    """)
    db, fill = stack.services
    assert db.body({}).argv == ("redis-server", "--port", "6379")  # type: ignore[union-attr] # it has one
    assert fill.needs[0].is_addressed
    assert (db.where.line, fill.where.line) == (3, 4)


def test_the_line_told_is_the_decorators(load: Load) -> None:
    stack = load("""
        @service(
            port=1,
        )
        def a(): return ["a"]
    """)
    assert str(stack.services[0].where).endswith("shop.py:3 @service a")


def test_the_first_line_of_a_docstring_is_kept(load: Load) -> None:
    stack = load('''
        @service
        def a():
            """Serve pages.

            And more.
            """
            return ["a"]
    ''')
    assert stack.services[0].doc == "Serve pages."


def test_a_declaration_is_told_by_its_name_and_place() -> None:
    @declarations.task(name="fill-it")
    def fill() -> None: ...

    assert repr(fill).startswith("<task fill-it at ")
    ledgers.of(globals()).declarations.remove(fill)
