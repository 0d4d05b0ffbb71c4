"""Substitution: the language of templates."""

import pytest

from stackdsl.model import errors, refs, substitution

PORT = refs.PortRef(name="default", host="127.1.2.3", port=5432, scheme="pg", owner="order_api")
ADMIN = refs.PortRef(name="admin", host="127.1.2.3", port=9000, owner="order_api")
REF = refs.Ref(name="order_api", default=PORT, ports={"default": PORT, "admin": ADMIN})
TASK = refs.Ref(name="token", is_task=True, task_output="abc")
ME = refs.Me(
    name="a", bind="127.1.2.4", dir="/d", own=REF, bound={"default": 80}, default_port="default"
)
VALUES: dict[str, refs.Ref | refs.Me] = {"order_api": REF, "token": TASK, "me": ME}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${order_api.addr}", "127.1.2.3:5432"),
        ("${order-api.host}:${order-api.port}", "127.1.2.3:5432"),
        ("${order_api.url}", "pg://127.1.2.3:5432"),
        ("${order_api.ports.admin.addr}", "127.1.2.3:9000"),
        ("${order_api.replicas.0.port}", "5432"),
        ("${me.bind} ${me.port} ${me.dir} ${me.name} ${me.index}", "127.1.2.4 80 /d a 0"),
        ("${token.output}", "abc"),
        ("${LEVEL} ${LEVEL:-x} ${NONE:-x y} ${NONE:-} ${EMPTY:-x}", "info info x y  x"),
        ("$$ $${x} $host $1 $", "$ ${x} $host $1 $"),
        ("", ""),
    ],
)
def test_what_is_replaced(text: str, result: str) -> None:
    variables = {"LEVEL": "info", "EMPTY": ""}
    assert substitution.substitute(text, VALUES, "f", variables) == result


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ("a\n ${order_ap.addr}", "f:2:2", 'did you mean "order_api"?'),
        ("${order_api.adr}", "f:1:1", 'did you mean "addr"?'),
        ("${me.output}", "f:1:1", "give one of addr, bind"),
        ("${order_api.ports.admn.addr}", "f:1:1", 'did you mean "admin"?'),
        ("${order_api.ports.admin}", "f:1:1", "addr, host, port, url"),
        ("${order_api.ports}", "f:1:1", "ports.NAME.addr"),
        ("${order_api.replicas.3.addr}", "f:1:1", "give one of 0"),
        ("${order_api.ports.admin.url}", "f:1:1", "scheme"),
        ("${NONE}", "f:1:1", "$${NONE}"),
        ("${order_api.addr", "f:1:1", '"}" is missing'),
        ("${}", "f:1:1", "no reference"),
        ("${a b}", "f:1:1", "no reference"),
    ],
)
def test_what_cannot_be_replaced_is_told_with_line_and_column(
    text: str, place: str, word: str
) -> None:
    with pytest.raises(errors.DefinitionError) as caught:
        substitution.substitute(text, VALUES, "f")
    assert caught.value.where == place
    assert word in caught.value.text()


def test_the_names_that_a_text_speaks_of() -> None:
    text = "${db.addr} ${me.bind} ${LEVEL} $${no.addr} ${db.host}"
    assert substitution.names_used(text) == {"db", "me"}


def test_variables_are_expanded_once_and_stay_text() -> None:
    text = substitution.expand_variables("${A} $$ ${db.addr}", {"A": "$x ${y.z}"})
    assert text == "$$x $${y.z} $$ ${db.addr}"
    assert substitution.substitute(text.replace("${db.addr}", ""), {}) == "$x ${y.z} $ "
