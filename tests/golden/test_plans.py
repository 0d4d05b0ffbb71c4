"""Whole plans as text. After a change that is meant: `GOLDEN=write pytest tests/golden`, then read
the difference as you would read code."""

import dataclasses
import os
from pathlib import Path

import pytest

from stackdsl.model import places, plans, probes, services
from stackdsl.views import plans as plan_views
from tests.unit.plan.making import (
    after,
    lan,
    local,
    observe,
    plan,
    port,
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
}


def write_down(made: plans.Plan) -> str:
    """Return a plan's table, and what the table leaves out: environments, probes, forwards."""
    lines = [plan_views.plan_table(made), "", "told"]
    for one in made.services:
        lines.append(f"  {one.name}  ready: {', '.join(c.label for c in one.checks) or '-'}")
        lines.extend(f"    {key}={value}" for key, value in one.env if value is not None)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", CASES)
def test_the_plan_reads_as_it_did(name: str) -> None:
    file = FOLDER / f"{name}.txt"
    text = write_down(CASES[name]())
    if os.environ.get("GOLDEN") == "write":
        file.write_text(text)

    assert text == file.read_text()


def test_every_text_belongs_to_a_plan() -> None:
    assert {file.stem for file in FOLDER.glob("*.txt")} == set(CASES)
