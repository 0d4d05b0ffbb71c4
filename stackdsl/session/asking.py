"""Asking why: a run's own account of what is not well, and what is kept of it when the run ends."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Sequence

from stackdsl.model import causes, errors, plans, requests, states
from stackdsl.run import engine, reasoning, scenes
from stackdsl.wire import codec

NOTE = "why.json"
_LOOK_TIMEOUT_S = 5.0
_TRY_TIMEOUT_S = 0.5
_Mask = Callable[[str], str]


async def explain(
    of: engine.Engine, status: states.RunStatus, names: Sequence[str], mask: _Mask
) -> tuple[causes.Explanation, ...]:
    """Return why the worst off of ``names``, one service's replicas, is as it is; without names,
    an explanation for each root of what is not well in the run. Roots are looked at where they
    stand; secrets are masked."""
    reasoner = reasoning.Reasoner(scenes.take(of, status, time.time_ns()))
    asked = [reasoner.pick(names)] if names else reasoner.list_unwell()
    reasoner.looks = await _look_at(of, reasoner.find_roots(asked))
    if not names:
        return tuple(_masked(one, mask) for one in reasoner.explain_all(asked))
    return (_masked(reasoner.explain(asked[0], names), mask),)


async def _look_at(of: engine.Engine, roots: Sequence[str]) -> dict[str, scenes.Look]:
    async with asyncio.TaskGroup() as group:
        tasks = {name: group.create_task(_look(of, name), name=f"look at {name}") for name in roots}
    return {name: task.result() for name, task in tasks.items()}


async def _look(of: engine.Engine, name: str) -> scenes.Look:
    planned = of.ledger.replicas[name].planned
    try:
        async with asyncio.timeout(_LOOK_TIMEOUT_S):
            if planned.host:
                return await of.nodes[planned.host].inspect(name)
            return await _try(of, planned)
    except TimeoutError:
        return requests.Inspection()
    except errors.StackError as error:
        return error


async def _try(of: engine.Engine, planned: plans.PlannedService) -> requests.Inspection:
    """Try an external address from where its callers stand."""
    step = next((one for one in of.current_plan.steps if one.id == f"probe:{planned.name}"), None)
    host = step.host if isinstance(step, plans.ProbeExternal) else next(iter(of.nodes))
    seen = await of.nodes[host].probe(planned.checks, _TRY_TIMEOUT_S)
    bad = [text for text in seen if text]
    return requests.Inspection(reason="\n".join(f"just now: {text}" for text in bad))


def _masked(one: causes.Explanation, mask: _Mask) -> causes.Explanation:
    return causes.Explanation(
        run=one.run,
        name=one.name,
        headline=mask(one.headline),
        causes=tuple(
            causes.Cause(
                subject=cause.subject,
                kind=cause.kind,
                state=cause.state,
                since=cause.since,
                why=mask(cause.why),
                evidence=tuple(map(mask, cause.evidence)),
                do=mask(cause.do),
            )
            for cause in one.causes
        ),
        affects=one.affects,
    )


# --- after the end ------------------------------------------------------------------------------


def note_end(of: engine.Engine, status: states.RunStatus, folder: str, mask: _Mask) -> None:
    """Keep in the run's folder why what is not well is so, for whoever asks when it has ended."""
    reasoner = reasoning.Reasoner(scenes.take(of, status, time.time_ns()))
    found = [_masked(reasoner.explain(name), mask) for name in reasoner.list_unwell()]
    fd = os.open(
        os.path.join(folder, NOTE), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
    )
    with open(fd, "w", encoding="utf-8") as file:
        json.dump(codec.encode(found), file)


def read_end(run: str, folder: str) -> dict[str, causes.Explanation]:
    """Return what was kept of an ended run, by replica; nothing where nothing had failed."""
    try:
        with open(os.path.join(folder, NOTE), encoding="utf-8") as file:
            found = codec.decode(json.load(file))
    except (OSError, ValueError, errors.InternalError):  # none, cut off, or another version's
        return {}
    return {
        one.name: causes.Explanation(
            run=run, name=one.name, headline=one.headline, causes=one.causes, is_past=True
        )
        for one in found
    }


def explain_ended(run: str, name: str, lines: Sequence[str]) -> causes.Explanation:
    """Return what can be said of a replica of an ended run of which nothing was kept."""
    said = ("\n".join(["last lines:", *lines]),) if lines else ()
    cause = causes.Cause(
        subject=name,
        kind="service",
        state="stopped",
        why=f"run {run} has ended, and nothing of it had failed then",
        evidence=said,
        do=f"see all of its output: stackdsl logs {run} {name}; start the stack again",
    )
    headline = f"{name} is stopped: {cause.why}"
    return causes.Explanation(run=run, name=name, headline=headline, causes=(cause,), is_past=True)
