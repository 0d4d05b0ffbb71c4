"""The pane with what services wrote: the last lines, of one or all, with a filter, as they come."""

import collections
import threading
from collections.abc import Iterable, Sequence
from datetime import datetime

import ipywidgets as widgets  # type: ignore[import-untyped]  # it has no types

from stackdsl.session import outputs
from stackdsl.views import lines, markup

_SHOWN_MAX = 300
_STILL_MAX = 1_000  # shown while nothing moves
_KEPT_OF_ONE = 1_000
_KEPT_OF_ALL = 3_000
_CUT_CHARS = 2_000
_ALL = ""
_HEIGHT = "260px"


class LogPane(widgets.VBox):  # type: ignore[misc]  # it has no types
    """The output of a run. ``lock`` is held whenever what is shown is made anew: lines come in
    another thread than the user's clicks."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._of_all: collections.deque[markup.LogLine] = collections.deque(maxlen=_KEPT_OF_ALL)
        self._of_one: dict[str, collections.deque[markup.LogLine]] = {}
        self.chosen = widgets.Dropdown(
            options=[("everything", _ALL)],
            description="Output of",
            style={"description_width": "initial"},
            layout=widgets.Layout(width="260px"),
        )
        self.filter = widgets.Text(
            placeholder="only lines with …", layout=widgets.Layout(width="220px")
        )
        self.follow = widgets.Checkbox(
            value=True,
            description="follow",
            indent=False,
            tooltip="Show lines as they come",
            layout=widgets.Layout(width="auto", margin="2px 8px"),
        )
        self.lines = widgets.HTML(layout=widgets.Layout(margin="0 0 auto", flex="0 0 auto"))
        # what scrolls lasts while its content is replaced, and stays at its end by itself
        view = widgets.Box(
            [self.lines],
            layout=widgets.Layout(height=_HEIGHT, overflow="auto", width="100%"),
        )
        view.add_class("sd-output")
        bar = widgets.HBox([self.chosen, self.filter, self.follow])
        super().__init__(children=[bar, view], layout=widgets.Layout(width="100%"))
        for control in (self.chosen, self.filter, self.follow):
            control.observe(self._take_choice, names="value")

    def name_services(self, names: Sequence[str]) -> None:
        """Offer these replicas in the choice; what is chosen stays chosen if it is among them."""
        options = [("everything", _ALL), *((name, name) for name in names)]
        if tuple(options) == tuple(self.chosen.options):
            return
        was = self.chosen.value
        with self.chosen.hold_trait_notifications():
            self.chosen.options = options
            self.chosen.value = was if was in names else _ALL

    def add(self, chunks: Iterable[outputs.Lines]) -> None:
        """Take in what was written, and show it unless the pane stands still."""
        is_new = False
        for chunk in chunks:
            own = self._of_one.setdefault(chunk.name, collections.deque(maxlen=_KEPT_OF_ONE))
            for text in chunk.lines:
                line = markup.LogLine(
                    name=chunk.name,
                    stream=chunk.stream,
                    time_ns=chunk.time_ns,
                    text=lines.cut(text, _CUT_CHARS),
                )
                own.append(line)
                self._of_all.append(line)
                is_new = True
        if is_new and self.follow.value:
            self.show()

    def show(self) -> None:
        """Show the last lines of what is chosen."""
        with self._lock:
            name, part = self.chosen.value, self.filter.value.strip().lower()
            kept = self._of_all if name == _ALL else self._of_one.get(name, ())
            count = _SHOWN_MAX if self.follow.value else _STILL_MAX
            rows = [line for line in kept if part in line.text.lower()] if part else list(kept)
            rows = rows[-count:]
            self.lines.value = markup.lines_html(rows, zone=datetime.now().astimezone())

    def _take_choice(self, _change: object) -> None:
        self.show()
