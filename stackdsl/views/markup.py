"""Statuses and output as HTML, for notebooks and pages; light and dark as the page around it is.

Laws: whatever comes from outside is escaped; nothing is fetched; colours are those of JupyterLab's
theme, of VS Code's, else plain ones.
"""

import html
import re
import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime

from stackdsl.model import plans, states
from stackdsl.model.data import dataclass
from stackdsl.views import lines, statuses

_TEXT = "var(--jp-ui-font-color1, var(--vscode-foreground, #1f2328))"
_DIM = "var(--jp-ui-font-color2, var(--vscode-descriptionForeground, #6b7280))"
_EDGE = "var(--jp-border-color2, var(--vscode-panel-border, #d0d7de))"
_RAISED = "var(--jp-layout-color2, var(--vscode-editorWidget-background, #f3f4f6))"
_GROUND = "var(--jp-layout-color1, var(--vscode-editor-background, #ffffff))"
_RED = "var(--jp-error-color1, var(--vscode-errorForeground, #c62828))"
_MONO = "var(--jp-code-font-family, var(--vscode-editor-font-family, monospace))"

STYLE = f"""<style>
.sd {{ color: {_TEXT}; font-size: 13px; line-height: 20px; }}
.sd .sd-dim {{ color: {_DIM}; }}
.sd .sd-green {{ color: var(--jp-success-color1, var(--vscode-testing-iconPassed, #2e7d32)); }}
.sd .sd-yellow {{ color: var(--jp-warn-color1, var(--vscode-editorWarning-foreground, #b26a00)); }}
.sd .sd-red {{ color: {_RED}; }}
.sd .sd-head {{ padding: 2px 0 6px; }}
.sd .sd-title {{ font-size: 15px; font-weight: 600; margin-right: 8px; }}
.sd table.sd-table {{ border-collapse: collapse; table-layout: fixed; width: 100%; margin: 0;
  border: none; color: inherit; font-size: inherit; line-height: inherit; }}
.sd table.sd-table tr, .sd table.sd-table tbody tr:nth-child(odd) {{ background: none; }}
.sd table.sd-table tbody tr:hover {{ background: {_RAISED}; }}
.sd table.sd-table th, .sd table.sd-table td {{ text-align: left; padding: 3px 12px 3px 8px;
  border: none; border-bottom: 1px solid {_EDGE}; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; vertical-align: top; max-width: none; }}
.sd table.sd-table th {{ font-weight: 500; color: {_DIM}; background: {_GROUND}; }}
.sd table.sd-table td.sd-number {{ text-align: right; font-variant-numeric: tabular-nums; }}
.sd table.sd-table td.sd-name {{ font-weight: 600; }}
.sd table.sd-table a {{ color: var(--jp-content-link-color, var(--vscode-textLink-foreground,
  #0969da)); }}
.sd pre.sd-lines {{ margin: 0; padding: 0; background: none; border: none; color: inherit;
  font-family: {_MONO}; font-size: 12px; line-height: 18px; white-space: pre-wrap;
  overflow-wrap: anywhere; }}
.sd .sd-problem {{ white-space: pre-wrap; font-family: {_MONO}; font-size: 12px; }}
</style>"""

# What is always as long has a width; the rest share what is left.
_COLUMNS = (
    ("service", "17%"), ("state", "118px"), ("since", "92px"), ("restarts", "78px"),
    ("place", "12%"), ("address", "25%"), ("note", "auto"),
)  # fmt: skip
_COLOURS = frozenset({"green", "yellow", "red", "dim"})
# Readable on light and on dark ground; red and yellow are left to what went wrong.
_NAME_COLOURS = (
    "#2f81c7", "#2a9d8f", "#a15fd0", "#5a8f3c", "#c2588f", "#4f7fe0", "#0f9bb5", "#8c7ae6",
)  # fmt: skip
_COLOURING = re.compile(r"\x1b\[[0-9;:]*m")
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of output to be shown; ``stream`` is "out" or "err"."""

    name: str
    stream: str
    time_ns: int
    text: str


def status_html(
    status: states.RunStatus, *, now: datetime, plan: plans.Plan | None = None, count: int = 200
) -> str:
    """Return a run's status as a head line and a table of at most ``count`` rows; times are told
    in the time zone of ``now``."""
    rest = len(status.services) - count
    more = f'<div class="sd-dim">and {rest} more</div>' if rest > 0 else ""
    table = table_html(status.services[:count], now=now, plan=plan, is_head_shown=True)
    return f'{STYLE}<div class="sd">{head_html(status, now=now)}{table}{more}</div>'


def head_html(status: states.RunStatus, *, now: datetime, note: str = "") -> str:
    """Return the line above the table: the run, its state and how many of what."""
    counts: dict[str, int] = {}
    for one in status.services:
        counts[one.state] = counts.get(one.state, 0) + 1
    told = " · ".join(f"{number} {state}" for state, number in counts.items())
    words = [f'<span class="sd-title">{html.escape(status.run)}</span>{_state_html(status.state)}']
    words.append(f'<span class="sd-dim">since {_say_time(status.since, now)}</span>')
    words += [f'<span class="sd-dim">{told}</span>'] if told else []
    words += [f"<span>{html.escape(note)}</span>"] if note else []
    return f'<div class="sd-head">{"&ensp;".join(words)}</div>'


def table_html(
    services: Sequence[states.ServiceStatus],
    *,
    now: datetime,
    plan: plans.Plan | None = None,
    is_head_shown: bool = False,
) -> str:
    """Return rows of services; tables below each other have the same columns. Without services
    only the head."""
    widths = "".join(f'<col style="width:{width}">' for _, width in _COLUMNS)
    head = "".join(f"<th>{title}</th>" for title, _ in _COLUMNS)
    head = f"<thead><tr>{head}</tr></thead>" if is_head_shown else ""
    rows = "".join(_row(one, now, plan) for one in services)
    return (
        f'<table class="sd-table"><colgroup>{widths}</colgroup>{head}<tbody>{rows}</tbody></table>'
    )


def _row(one: states.ServiceStatus, now: datetime, plan: plans.Plan | None) -> str:
    note = ""
    if one.reason and one.state not in ("ready", "completed"):
        note = one.reason.splitlines()[0]
    told = statuses.addresses_of(one, plan)
    addresses = "<br>".join(_address_html(address) for address in told)
    every = html.escape(" ".join(told))
    name, place = html.escape(one.name), html.escape(one.target or one.host)
    return (
        f'<tr data-service="{name}" data-state="{one.state}">'
        f'<td class="sd-name" title="{name}">{name}</td><td>{_state_html(one.state)}</td>'
        f'<td title="{html.escape(one.since)}">{_say_time(one.since, now)}</td>'
        f'<td class="sd-number">{one.restarts or ""}</td>'
        f'<td title="{place}">{place}</td><td title="{every}">{addresses}</td>'
        f'<td class="sd-dim" title="{html.escape(one.reason)}">{html.escape(note)}</td></tr>'
    )


def _state_html(state: str) -> str:
    symbol, colour = statuses.SYMBOLS.get(state, ("·", ""))
    kind = f' class="sd-{colour}"' if colour in _COLOURS else ""
    return f"<span{kind}>{symbol} {html.escape(state)}</span>"


def _address_html(address: str) -> str:
    text = html.escape(address)
    if address.startswith(("http://", "https://")):
        return f'<a href="{text}" target="_blank" rel="noopener">{text}</a>'
    return text


def _say_time(since: str, now: datetime) -> str:
    if not since:
        return ""
    then = datetime.fromisoformat(since).astimezone(now.tzinfo)
    is_old = (now - then).total_seconds() > _DAY_S
    return then.strftime("%d %b %H:%M" if is_old else "%H:%M:%S")


def lines_html(rows: Iterable[LogLine], *, zone: datetime) -> str:
    """Return lines of output, each with its time (in ``zone``'s time zone) and its writer."""
    return '<pre class="sd-lines">' + "".join([_line_html(row, zone) for row in rows]) + "</pre>"


def _line_html(row: LogLine, zone: datetime) -> str:
    clock = datetime.fromtimestamp(row.time_ns / 1e9, tz=zone.tzinfo).strftime("%H:%M:%S")
    colour = _NAME_COLOURS[zlib.crc32(row.name.encode()) % len(_NAME_COLOURS)]
    text = html.escape(_COLOURING.sub("", lines.tame(row.text)))
    shown = f'<span class="sd-red">{text}</span>' if row.stream == "err" else text
    name = f'<span style="color:{colour}">{html.escape(row.name)}</span>'
    return f'<span class="sd-dim">{clock}</span> {name} {shown}\n'


def problem_html(text: str) -> str:
    """Return the printed form of an error."""
    return f'<div class="sd-problem sd-red">{html.escape(text)}</div>'


def note_html(text: str, *, is_problem: bool = False) -> str:
    """Return a short word on what is being done, or went wrong."""
    return f'<span class="{"sd-red" if is_problem else "sd-dim"}">{html.escape(text)}</span>'
