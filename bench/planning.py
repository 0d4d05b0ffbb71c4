"""Planning 10,000 services on 100 machines with 30,000 edges, and how it grows from 1,000."""

import gc
import math
import statistics
import time
from collections.abc import Mapping

from bench.figures import Figure
from stackdsl.model import facts, places, refs, services, stacks
from stackdsl.plan import planning

SMALL, LARGE = 1_000, 10_000
HOSTS = 100
EDGES_EACH = 3
BOUND_S = 5.0
ROUNDS = 3


def main() -> list[Figure]:
    """Measure seconds on one core, and the growth against n log n."""
    seconds = {count: measure(count) for count in (SMALL, LARGE)}
    growth = seconds[LARGE] / seconds[SMALL]
    fair = LARGE * math.log(LARGE) / (SMALL * math.log(SMALL))
    return [
        Figure(
            name=f"plan of {LARGE} services, {LARGE * EDGES_EACH} edges, {HOSTS} hosts",
            ratio=seconds[LARGE],
            bound=BOUND_S,
            unit="s",
            detail=f"{SMALL} services: {seconds[SMALL]:.2f} s",
        ),
        Figure(
            name=f"growth of planning from {SMALL} to {LARGE}, to n log n",
            ratio=growth / fair,
            bound=1.0,
            detail=f"{growth:.1f} x for {LARGE // SMALL} x the services",
        ),
    ]


def measure(count: int) -> float:
    """Return the median CPU seconds of planning a stack of ``count`` services."""
    stack, seen = make_stack(count), make_facts()
    found = []
    for _ in range(ROUNDS):
        gc.collect()
        begun = time.process_time()
        plan = planning.make_plan(stack, seen, run="bench", folder="/run/bench")
        found.append(time.process_time() - begun)
        assert len(plan.services) == count
        assert sum(len(replica.needs) for replica in plan.services) >= count * EDGES_EACH - 20
        del plan
    return statistics.median(found)


def make_stack(count: int) -> stacks.StackModel:
    """Return services spread over the machines, each with needs among those before it."""
    made = []
    for number in range(count):
        needs = sorted(
            {(number * 7 + step * 131) % number for step in range(EDGES_EACH)} if number else ()
        )
        while len(needs) < min(EDGES_EACH, number):
            needs = sorted({*needs, next(n for n in range(number) if n not in needs)})
        made.append(make_service(number, needs))
    return stacks.StackModel(name="bench", file=None, folder="/srv/bench", services=tuple(made))


def make_service(number: int, needs: list[int]) -> services.Service:
    """Return one service with a port; its body uses every address that it is told."""
    names = tuple(f"s{need:05}" for need in needs)
    return services.Service(
        name=f"s{number:05}",
        kind="service",
        body=body,
        parameters=(*names, "me"),
        where=services.Where(file="bench.py", line=number + 1),
        runs_on=places.Ssh(host=f"h{number % HOSTS:03}"),
        ports=(services.Port(name="http", number=8080, scheme="http"),),
        default_port="http",
        needs=tuple(
            services.Need(name=name, condition="ready", parameter=name, is_addressed=True)
            for name in names
        ),
    )


def body(values: Mapping[str, refs.Ref | refs.Me]) -> services.Command:
    """Return a command that names every dependency's address."""
    return services.Command(argv=("serve", *(value.addr for value in values.values())))


def make_facts() -> facts.Facts:
    """Return machines of one LAN that all reached each other."""
    names = [f"h{number:03}" for number in range(HOSTS)]
    address = {name: f"10.0.0.{number + 1}" for number, name in enumerate(names)}
    return facts.Facts(
        hosts=(
            facts.HostFacts(name="local"),
            *(facts.HostFacts(name=name, kind="ssh", addresses=(address[name],)) for name in names),
        ),
        reached=tuple(
            facts.Reach(source=source, target=target, address=address[target])
            for source in names
            for target in names
            if source != target
        ),
    )
