"""Bringing a node that was started anew to what its run wants of it."""

from collections.abc import Awaitable, Callable, Sequence

from stackdsl import ports
from stackdsl.model import specs, states
from stackdsl.run import engine

SetForwards = Callable[[str, Sequence[specs.Forward]], Awaitable[Sequence[specs.Forward]]]


async def restore(
    eng: engine.Engine,
    host: str,
    node: ports.Node,
    identity: ports.RunIdentity,
    set_forwards: SetForwards,
) -> None:
    """Take up the run with a new node of ``host``: what lives is told again, what should live and
    is unknown there is started, what has ended meanwhile is taken note of. ``set_forwards`` makes
    tunnels and returns the forwards that are the node's.

    Raises:
        StackError: the node is lost again, or refuses.
    """
    stands = {one.name: one for one in await node.begin(identity)}
    forwards = await set_forwards(host, dict(eng.current_plan.forwards).get(host, ()))
    if forwards:
        await node.set_forwards(forwards)
    again: list[specs.ServiceSpec] = []
    for name, replica in sorted(eng.ledger.replicas.items()):
        spec = replica.planned.spec
        is_mine = replica.planned.host == host and replica.has_started
        if not is_mine or replica.state not in states.ALIVE or spec is None:
            continue
        one = stands.get(name)
        if one is None or one.state in states.ALIVE:
            again.append(spec)
        else:
            eng.adopt([one])
    if again:
        await node.start(again)
