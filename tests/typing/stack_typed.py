"""A stack as an editor sees it; mypy checks it, nothing runs it."""

from typing import assert_type, reveal_type

from stackdsl import (
    Me,
    Port,
    Ref,
    Service,
    Stack,
    attach,
    docker,
    http,
    planned,
    service,
    task,
)


@service(runs_on=docker("postgres:16"), port=5432, env={"POSTGRES_PASSWORD": "pw", "N": 1})
def postgres() -> None: ...


Stack(name="shop", on_crash="reap", restart="always")


@service(runs_on=attach(process="redis-server"), port=6379)
def redis() -> None: ...


@task
def migrate(postgres: Ref) -> str:
    return f"alembic -x url={postgres.addr} upgrade head"


@service(
    port=Port(8080, scheme="http"),
    ready=[http("/healthz", timeout="2s")],
    needs=[migrate, "postgres", planned("peer")],
    restart="on-failure",
    stop_timeout="5s",
)
def api(postgres: Ref, me: Me, peer: Ref) -> list[str | int]:
    reveal_type(me.bind)  # str
    reveal_type(me.port)  # int
    reveal_type(me.index)  # int
    reveal_type(me.dir)  # str
    reveal_type(me.replicas)  # Sequence[Ref]
    reveal_type(postgres.addr)  # str
    reveal_type(postgres.url)  # str
    reveal_type(postgres.host)  # str
    reveal_type(postgres.port)  # int
    reveal_type(postgres.output)  # str
    reveal_type(postgres.replicas[0])  # Ref
    reveal_type(postgres.ports["admin"].addr)  # str
    assert_type(peer.name, str)
    return ["uvicorn", "--port", me.port]


plain = Service(name="plain", command=["sleep", 1], port=1, needs=[api])
reveal_type(attach("shop"))  # Run
reveal_type(api)  # Declaration
reveal_type(plain)  # Service
