"""The table of services: in slices, so that a change sends the rows around it and not all."""

from datetime import datetime
from typing import Any

import ipywidgets as widgets  # type: ignore[import-untyped]  # it has no types

from stackdsl.model import plans, states
from stackdsl.views import markup

_SLICE_ROWS = 20
_HEIGHT_MAX = "420px"


class ServiceTable(widgets.Box):  # type: ignore[misc]  # it has no types
    """The services of a run, a row each; the head stays in sight."""

    def __init__(self) -> None:
        self._slices = [_make_slice()]
        self._slices[0].add_class("sd-sticky")
        super().__init__(
            children=self._slices,
            layout=widgets.Layout(
                display="flex",
                flex_flow="column",
                align_items="stretch",
                max_height=_HEIGHT_MAX,
                overflow="auto",
                width="100%",
            ),
        )
        self.add_class("sd-rows")

    def show(self, status: states.RunStatus, plan: plans.Plan | None, now: datetime) -> None:
        """Show these services; slices that are the same are not sent again."""
        rows = status.services
        parts = [rows[at : at + _SLICE_ROWS] for at in range(0, len(rows), _SLICE_ROWS)]
        count = len(parts) + 1
        slices = self._slices[:count]
        slices += [_make_slice() for _ in range(count - len(slices))]
        slices[0].value = markup.table_html((), now=now, is_head_shown=True)
        for part, one in zip(parts, slices[1:], strict=True):
            one.value = markup.table_html(part, now=now, plan=plan)
        if len(slices) != len(self._slices):
            self._slices = self.children = slices


def _make_slice() -> Any:
    return widgets.HTML(layout=widgets.Layout(flex="0 0 auto", margin="0"))
