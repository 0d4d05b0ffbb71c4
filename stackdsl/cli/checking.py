"""`validate` and `plan`: what a stack is, without starting anything of it."""

import os
import sys
from collections.abc import Sequence

from stackdsl.cli import asides, choosing, streams
from stackdsl.model import errors, plans
from stackdsl.session import stacks


def validate(words: Sequence[str], option: str | None, *, as_json: bool) -> int:
    """Check a stack without contacting anyone; return the exit code."""
    file, rest = _find_file(words, option)
    choosing.refuse_rest(rest, "validate")
    try:
        with asides.beside():
            stack = stacks.load(file)
            plan = stack.plan()
    except errors.StackError as error:
        if not as_json:
            raise
        _print_verdict(None, None, error)
        return error.exit_code
    if as_json:
        _print_verdict(stack, plan, None)
        return 0
    if plan.warnings:
        from stackdsl.views import problems

        for notice in plan.warnings:
            print(problems.format_warning(notice, streams.paint_for(sys.stderr)), file=sys.stderr)
    tasks = sum(one.kind == "task" for one in stack.services)
    services = len(stack.services) - tasks
    what = f"{_count(services, 'service')}, {_count(tasks, 'task')}"
    print(f"ok: {stack.name} ({_shorten(file)}): {what}")
    return 0


def _shorten(file: str) -> str:
    """Return the path of a file as one would write it here."""
    near = os.path.relpath(file)
    return file if near.startswith("../") else near


def _count(count: int, word: str) -> str:
    return f"{count} {word}" + ("" if count == 1 else "s")


def _print_verdict(
    stack: stacks.Stack | None, plan: plans.Plan | None, error: errors.StackError | None
) -> None:
    from stackdsl.views import problems

    kinds = [one.kind for one in stack.services] if stack is not None else []
    streams.print_json(
        {
            "ok": error is None,
            "stack": stack.name if stack is not None else None,
            "services": kinds.count("service"),
            "tasks": kinds.count("task"),
            "errors": [] if error is None else problems.errors_json([error]),
            "warnings": [] if plan is None else problems.notices_json(plan.warnings),
        }
    )


def _find_file(words: Sequence[str], option: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the file that is meant, and the words that are left."""
    if choosing.is_plain_file(words, option):
        # without a look at runs: reading their store costs as much as checking a small stack
        return (option, tuple(words)) if option is not None else (words[0], tuple(words[1:]))
    with choosing.open_records() as (_, records):
        chosen = choosing.choose_file(words, option, records)
    assert chosen.file is not None
    return chosen.file, chosen.rest


def plan(
    words: Sequence[str],
    option: str | None,
    copy: str | None,
    *,
    as_json: bool,
    is_offline: bool,
    facts_file: str | None,
) -> int:
    """Print the plan of a stack; return the exit code."""
    import asyncio  # here: validate does without

    from stackdsl.registry import places
    from stackdsl.session import looking
    from stackdsl.views import plans as plan_views

    with asides.beside():
        if is_offline or facts_file is not None:
            stack = _load_part(*_find_file(words, option))
            seen = looking.read_facts(facts_file) if facts_file else stacks.assume_facts()
            made = looking.plan_for(stack, seen, copy, places.state_root())
        else:
            with choosing.open_records() as (store, records):
                chosen = choosing.choose_file(words, option, records)
                assert chosen.file is not None
                stack = _load_part(chosen.file, chosen.rest)
                made = asyncio.run(looking.plan_here(stack, store, copy))
    if as_json:
        streams.print_json(plan_views.plan_json(made))
    else:
        assert stack.file is not None
        width = streams.width_of(sys.stdout)
        print(plan_views.plan_table(made, _shorten(stack.file), width=width))
    return 0


def _load_part(file: str, names: Sequence[str]) -> stacks.Stack:
    stack = stacks.load(file)
    return stack.only(*names) if names else stack
