"""Whole plans as text. After a change that is meant: `GOLDEN=write pytest tests/golden`, then read
the difference as you would read code."""

import dataclasses
import os
from pathlib import Path

import pytest

from stackdsl.model import facts, places, plans, probes, services, specs
from stackdsl.views import plans as plan_views
from tests.unit.plan.making import (
    after,
    boxed,
    grounded,
    lan,
    listener,
    local,
    observe,
    plan,
    port,
    say_all,
    service,
    ssh,
    stack,
    task,
    uses,
)

FOLDER = Path(__file__).parent


def shop() -> list[services.Service]:
    return [
        service("postgres", port(5432, scheme="postgresql"), env=(("POSTGRES_PASSWORD", "pw"),)),
        task("migrate", needs=[uses("postgres")]),
        service(
            "api",
            port(8080, scheme="http"),
            needs=[uses("postgres"), after("migrate", "completed")],
            ready=(probes.Http(path="/healthz"),),
        ),
        service("load", needs=[uses("api")], replicas=3),
    ]


def make_start() -> plans.Plan:
    return plan(stack(*shop()))


def make_replicas() -> plans.Plan:
    return plan(
        stack(
            service("db", port(5432), replicas=2),
            service("api", port(8080, "http", scheme="http"), port(9090, "admin"),
                    needs=[uses("db")], replicas=2, is_stable=True),
            service("web", port(8000), needs=[uses("api")]),
        )
    )  # fmt: skip


def make_ports() -> plans.Plan:
    return plan(
        stack(
            service("fixed", port(8000, listens=("127.0.0.1", 9000))),
            service("greedy", port(8081, listens=("0.0.0.0", 8081))),
            service("other", port(8082, listens=("0.0.0.0", 8083))),
            service("low", port(80, scheme="http")),
            service("people", port(3000, publish=("127.0.0.1", 3001))),
            service("wide", port(3002, publish=("0.0.0.0", 3003))),
            service("dns", port(5353, protocol="udp", listens=("127.0.0.1", 5354))),
            service("caller", needs=[uses(n) for n in ("fixed", "greedy", "other", "low", "dns")]),
        )
    )


def make_outputs() -> plans.Plan:
    return plan(
        stack(
            service("vault", port(8200)),
            task("token", needs=[uses("vault")]),
            service("api", port(8080), needs=[uses("token", "completed"), uses("vault")]),
            service("worker", needs=[uses("api")]),
        )
    )


def make_cycle() -> plans.Plan:
    names = ("raft-a", "raft-b", "raft-c")
    return plan(
        stack(
            *(
                service(name, port(7000), needs=[uses(n, "planned") for n in names if n != name])
                for name in names
            ),
            service("client", needs=[uses(name) for name in names]),
        )
    )


def make_external() -> plans.Plan:
    return plan(
        stack(
            service(
                "db",
                port(5432, scheme="postgresql"),
                runs_on=places.External(host="db.example.com", port=5432),
                me=False,
            ),
            service("cache", port(6379), runs_on=places.Attach(process="redis-server"), me=False),
            service("api", port(8080), needs=[uses("db"), uses("cache")]),
        )
    )


def make_change() -> plans.Plan:
    before = plan(stack(*shop(), service("old", port(8090), needs=[uses("api")])))
    postgres, migrate, api, load = shop()
    faster = dataclasses.replace(
        api,
        env=(("WORKERS", "4"),),
        body=lambda values: services.Command(argv=("serve", "--fast")),
    )
    load = dataclasses.replace(load, restart_with=("api",))
    wanted = stack(postgres, migrate, faster, load, service("new", port(8091)))
    stands = observe(before, load_1="failed", postgres="unready")
    return plan(wanted, previous=before, observed=stands)


def make_lan() -> plans.Plan:
    seen = lan({"local": "192.168.1.5", "edge": "192.168.1.7", "far": "192.168.1.9"})
    return plan(
        stack(
            service("db", port(5432), runs_on=ssh("edge")),
            service("cache", port(5432, "redis"), runs_on=ssh("edge")),
            service("job", needs=[uses("cache")], runs_on=ssh("edge")),
            service("api", port(8080), needs=[uses("db"), uses("cache")], runs_on=ssh("far")),
            service("web", port(80), needs=[uses("api"), uses("db")]),
        ),
        seen,
    )


def make_attached_low() -> plans.Plan:
    """A port below 1024 without privilege, kept from the plan before."""
    made = stack(service("web", port(443, scheme="https")), service("probe", needs=[uses("web")]))
    first = dataclasses.replace(plan(made), ports_kept=(("web/default", 20443),))
    return plan(made, local(), previous=first)


def make_mixed() -> plans.Plan:
    """Containers and natives that call each other; one native is called by both kinds."""
    return plan(
        stack(
            boxed("postgres", port(5432, scheme="postgresql"), env=(("POSTGRES_PASSWORD", "pw"),),
                  volumes=(services.Volume(kind="named", source="data", path="/data"),)),
            task("migrate", needs=[uses("postgres")]),
            service("api", port(8080, scheme="http"), needs=[uses("postgres"), after("migrate")]),
            service("feed", port(9000), needs=[uses("postgres")]),
            boxed("web", port(80, publish=("127.0.0.1", 8000)), needs=[uses("api"), uses("feed")]),
            service("load", needs=[uses("api"), uses("web")]),
        ),
        grounded(subnets=("172.17.0.0/16", "10.200.0.0/16")),
    )  # fmt: skip


def make_two_of_one_port() -> plans.Plan:
    return plan(
        stack(
            boxed("orders_db", port(5432)),
            boxed("users_db", port(5432)),
            service("api", needs=[uses("orders_db"), uses("users_db")]),
            boxed("report", needs=[uses("orders_db"), uses("users_db")]),
        ),
        grounded(),
    )


def make_insisting() -> plans.Plan:
    """Natives that insist on a socket, called from a container."""
    return plan(
        stack(
            service("narrow", port(8000, listens=("127.0.0.1", 9000))),
            service("wide", port(8081, listens=("0.0.0.0", 8081))),
            service("moved", port(8082, listens=("0.0.0.0", 8083))),
            service("dns", port(5353, protocol="udp")),
            service("low", port(80)),
            boxed("caller", needs=[uses(n) for n in ("narrow", "wide", "moved", "dns", "low")]),
        ),
        grounded(),
    )


def make_gateway() -> plans.Plan:
    """Where no address may be added, natives share that of the machine."""
    return plan(
        stack(
            service("api", port(8080)),
            service("other", port(8080)),
            service("both", port(8090)),
            service("native", needs=[uses("both")]),
            boxed("caller", needs=[uses("api"), uses("other"), uses("both")]),
        ),
        grounded(can_network=False),
    )


def make_isolated() -> plans.Plan:
    return plan(
        stack(
            service("one", port(8080, listens=("0.0.0.0", 8080)), is_isolated=True),
            service("two", port(8080), is_isolated=True, needs=[uses("one"), uses("db")]),
            boxed("db", port(5432), needs=[uses("one")]),
            service("api", port(8080), needs=[uses("one"), uses("two")]),
            service("people", port(8090, publish=("127.0.0.1", 8091)), is_isolated=True),
        ),
        grounded(),
    )


def make_attached() -> plans.Plan:
    found = facts.FoundContainer(name="legacy", id="c0ffee", address="172.17.0.2", state="running")
    return plan(
        stack(
            service("legacy", port(6379), runs_on=places.Attach(container="legacy"), me=False),
            service("redis", port(6380), runs_on=places.Attach(process="redis"), me=False),
            service("wide", port(6381), runs_on=places.Attach(pid=7), me=False),
            service("api", needs=[uses("legacy"), uses("redis")]),
            boxed("web", needs=[uses("legacy"), uses("redis"), uses("wide")]),
        ),
        grounded(listener("0.0.0.0", 6381), containers=(found,)),
    )


def make_boxed_replicas() -> plans.Plan:
    return plan(
        stack(
            boxed("raft", port(7000), replicas=3, body=say_all),
            boxed("front", port(8080), replicas=2, is_stable=True, needs=[uses("raft")]),
            service("client", needs=[uses("raft"), uses("front")]),
            boxed("probe", needs=[uses("raft"), uses("front")]),
        ),
        grounded(),
    )


def make_built() -> plans.Plan:
    image = places.Docker(build=places.Build(context="/home/ann/app"))
    seen = grounded(builds=(("/home/ann/app", "sha256:0123456789abcdef"),))
    made = stack(boxed("app", port(8080), place=image, replicas=2), boxed("cron", place=image))
    before = plan(made, grounded(builds=(("/home/ann/app", "sha256:ffff6789abcdef"),)))
    return plan(made, seen, previous=before, observed=observe(before))


CASES = {
    "start": make_start,
    "replicas": make_replicas,
    "ports": make_ports,
    "outputs": make_outputs,
    "cycle": make_cycle,
    "external": make_external,
    "change": make_change,
    "lan": make_lan,
    "kept": make_attached_low,
    "mixed": make_mixed,
    "two_of_one_port": make_two_of_one_port,
    "insisting": make_insisting,
    "gateway": make_gateway,
    "isolated": make_isolated,
    "attached": make_attached,
    "boxed_replicas": make_boxed_replicas,
    "built": make_built,
}


def write_down(made: plans.Plan) -> str:
    """Return a plan's table, and what the table leaves out: environments, probes, forwards."""
    lines = [plan_views.plan_table(made), "", "told"]
    for one in made.services:
        lines.append(f"  {one.name}  ready: {', '.join(c.label for c in one.checks) or '-'}")
        lines.extend(f"    {key}={value}" for key, value in one.env if value is not None)
        if one.container is not None:
            lines.extend(write_container(one.container))
        if one.namespace is not None:
            names = ", ".join(f"{name} is {at}" for name, at in one.namespace.hosts)
            lines.append(f"    in a namespace: {one.namespace.address}; {names or '-'}")
    lines.extend(
        f"  {step.id} tries {edge.vantage} {edge.kind} {edge.host}:{edge.number} {edge.protocol},"
        f" bound {edge.bound[0]}:{edge.bound[1]} by {edge.target}"
        for step in made.steps
        if isinstance(step, plans.ProveLinks)
        for edge in step.edges
    )
    return "\n".join(lines) + "\n"


def write_container(box: specs.Container) -> list[str]:
    mounts = [f"{m.kind} {m.source} at {m.path}" for m in box.mounts]
    published = [f"{p.protocol}/{p.host}:{p.port}->{p.target}" for p in box.publishes]
    names = [f"{name} is {at}" for name, at in box.hosts]
    rows = {
        f"as {box.name} from": [box.image.reference],
        "at": [box.address, *box.aliases],
        "published": published,
        "mounts": mounts,
        "knows": names,
    }
    return [f"    {what} {', '.join(row)}" for what, row in rows.items() if row]


@pytest.mark.parametrize("name", CASES)
def test_the_plan_reads_as_it_did(name: str) -> None:
    file = FOLDER / f"{name}.txt"
    text = write_down(CASES[name]())
    if os.environ.get("GOLDEN") == "write":
        file.write_text(text)

    assert text == file.read_text()


def test_every_text_belongs_to_a_plan() -> None:
    assert {file.stem for file in FOLDER.glob("*.txt")} == set(CASES)
