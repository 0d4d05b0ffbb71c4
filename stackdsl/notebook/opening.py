"""The way to the panel; ipywidgets is imported when a panel is asked for, not before."""

from typing import TYPE_CHECKING

from stackdsl.model import errors

if TYPE_CHECKING:  # see above
    from stackdsl.notebook import panels
    from stackdsl.session import runs


def control(run: "runs.Run | runs.AsyncRun") -> "panels.Panel":
    """Return the panel of a run: its services' states as they change, buttons to start, stop and
    restart them, their output. Close it with ``panel.close()``; the run goes on.

    Raises:
        UsageError: ipywidgets is not installed, or ``run`` is no run.
    """
    try:
        from stackdsl.notebook import panels
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "ipywidgets":
            raise
        raise errors.UsageError(
            "usage.no-widgets",
            'cannot draw the panel: "ipywidgets" is not installed where this notebook runs',
            do='install it and restart the kernel: pip install "stackdsl[notebook]"',
        ) from None
    return panels.open_panel(run)
