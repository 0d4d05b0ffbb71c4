"""A stack full of mistakes that an editor should flag; each line says which."""

from collections.abc import Iterator

from stackdsl import Network, Port, Ref, Service, Stack, attach, http, service, task


@service(port="8080")  # wrong: a text
def text_port() -> None: ...


@service(pot=8080)  # wrong: unknown
def unknown_keyword() -> None: ...


@service(retries=3)  # wrong: of a task
def of_a_task() -> None: ...


@task(restart="always")  # wrong: of a service
def of_a_service() -> None: ...


@service(restart="allways")  # wrong: none of three
def misspelt() -> None: ...


@service(port=Port(80, shceme="x"))  # wrong: unknown
def unknown_in_port() -> None: ...


@service(port=80, ready=http("/", tries=3))  # wrong: unknown
def unknown_in_probe() -> None: ...


@service(env={"A": []})  # wrong: a list
def list_in_env() -> None: ...


@service(port=80)  # wrong: asynchronous
async def asynchronous() -> list[str]:
    return ["a"]


@service(port=80)  # wrong: a generator
def generator() -> Iterator[str]:
    yield "a"


@service(port=80)  # right
def right(api: Ref) -> list[str]:
    return [api.adr]  # wrong: unknown attribute


Service(command="a")  # wrong: no name

Stack("shop", restrat="always")  # wrong: unknown
Stack("shop", on_crash="adopt", network=Network(encrypt="always"))  # right
attach(pid="1")  # wrong: a text
