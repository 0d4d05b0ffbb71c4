"""Commands beside a replica's program: hooks around its life, and the command that stops it."""

from stackdsl.model import errors, specs
from stackdsl.node import executing, launches, outputs, surroundings


async def run_hook(
    name: str,
    spec: specs.ServiceSpec,
    around: surroundings.Surroundings,
    launch: launches.Launch | None,
    timeout_s: float,
) -> None:
    """Run a replica's hook, if it has that one; its output goes into the replica's logs.

    Raises:
        ServiceError: it exited otherwise than with 0, or took too long.
    """
    for hook, argv in spec.hooks:
        if hook != name or launch is None:
            continue
        code = await _run(spec, around, launches.with_argv(launch, argv), timeout_s)
        if code != 0:
            how = f"exited with {code}" if code is not None else f"took over {timeout_s:g} s"
            raise errors.ServiceError(
                "run.hook-failed",
                f"its hook {name} {how}",
                why=f"the hook is {list(argv)}",
                do="mend the hook, or leave it out of hooks=",
            )


async def run_stop_command(
    spec: specs.ServiceSpec,
    around: surroundings.Surroundings,
    launch: launches.Launch,
    main_pid: int,
) -> bool:
    """Run the command that stops a replica ($MAINPID is its process); return whether it did."""
    assert spec.stop_command is not None
    command = launches.with_argv(launch, spec.stop_command)
    command = launches.with_env(command, {"MAINPID": str(main_pid)})
    try:
        return await _run(spec, around, command, None) == 0
    except errors.ServiceError as error:
        around.trouble("stop-command-failed", f'"{spec.name}": {error.what}')
        return False


async def _run(
    spec: specs.ServiceSpec,
    around: surroundings.Surroundings,
    launch: launches.Launch,
    timeout_s: float | None,
) -> int | None:
    with outputs.appending(around.keeper, spec.name) as (out, err):
        return await executing.run_into(
            around.spawner, launches.with_output(launch, out, err), timeout_s
        )
