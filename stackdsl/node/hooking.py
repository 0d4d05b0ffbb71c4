"""Commands beside a replica's program: hooks around its life, and the command that stops it."""

from stackdsl.model import errors
from stackdsl.node import drivers, surroundings


async def run_hook(name: str, driver: drivers.Driver, timeout_s: float) -> None:
    """Run a replica's hook, if it has that one; its output goes into the replica's logs.

    Raises:
        ServiceError: it exited otherwise than with 0, or took too long.
    """
    for hook, argv in () if driver.is_foreign else driver.spec.hooks:
        if hook != name:
            continue
        code = await driver.run_beside(argv, {}, timeout_s)
        if code != 0:
            how = f"exited with {code}" if code is not None else f"took over {timeout_s:g} s"
            raise errors.ServiceError(
                "run.hook-failed",
                f"its hook {name} {how}",
                why=f"the hook is {list(argv)}",
                do="mend the hook, or leave it out of hooks=",
            )


async def run_stop_command(driver: drivers.Driver, around: surroundings.Surroundings) -> bool:
    """Run the command that stops a replica ($MAINPID is its process); return whether it did."""
    assert driver.spec.stop_command is not None
    env = {"MAINPID": str(driver.pid or 0)}
    try:
        return await driver.run_beside(driver.spec.stop_command, env, None) == 0
    except errors.ServiceError as error:
        around.trouble("stop-command-failed", f'"{driver.spec.name}": {error.what}')
        return False
