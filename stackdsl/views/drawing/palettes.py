"""Colours and strokes of pictures, light and dark, as the style sheet that an SVG carries."""

from collections.abc import Mapping

FONT = (
    'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "DejaVu Sans",'
    " Arial, sans-serif"
)

# Each kind of line: words for the legend, colour on light and on dark, dashes, width.
LINES: Mapping[str, tuple[str, str, str, str, float]] = {
    "loopback": ("loopback", "#3b6fd4", "#7ba4f7", "", 1.6),
    "bridge": ("bridge", "#0e8f86", "#3fc9bd", "", 1.6),
    "lan": ("LAN", "#4f8a10", "#9acb4a", "", 2.0),
    "wireguard": ("WireGuard", "#8b46d0", "#bf8df5", "", 2.0),
    "tunnel": ("SSH tunnel", "#c2570c", "#f59b57", "2 4", 2.0),
    "external": ("external", "#b8326e", "#f07fb0", "11 4", 1.6),
    "link": ("address told", "#3b6fd4", "#7ba4f7", "", 1.6),
    "needs": ("order only", "#808b9b", "#8793a5", "", 1.3),
}
PLANNED_DASHES = "6 5"

# Each state: colour of its text and edge, tint of its box; on light, on dark.
STATES: Mapping[str, tuple[str, str, str, str]] = {
    "ready": ("#15803d", "#effaf2", "#4ade80", "#11261b"),
    "completed": ("#4d7c5f", "#f2f7f4", "#86b79a", "#17211c"),
    "running": ("#1d64c8", "#eef5ff", "#6aa8ff", "#12203a"),
    "starting": ("#1d64c8", "#eef5ff", "#6aa8ff", "#12203a"),
    "waiting": ("#6b7280", "#f5f6f8", "#9aa4b2", "#1b2029"),
    "unready": ("#a35b00", "#fff6e6", "#f5b04c", "#2b2110"),
    "restarting": ("#a35b00", "#fff6e6", "#f5b04c", "#2b2110"),
    "failed": ("#c81e1e", "#fdf0f0", "#ff7b7b", "#331616"),
    "stopping": ("#6b7280", "#f5f6f8", "#9aa4b2", "#1b2029"),
    "stopped": ("#6b7280", "#f5f6f8", "#9aa4b2", "#1b2029"),
}

_LIGHT = {
    "page": "#ffffff", "ink": "#1b2430", "muted": "#5c6878", "faint": "#8a94a3", "card": "#ffffff",
    "edge": "#b9c2ce", "host": "#f5f7fa", "host-edge": "#d3dae3", "zone": "#ebf5f4",
    "zone-edge": "#9fcbc6", "icon": "#44546a", "task": "#f7f4fd", "task-edge": "#c4b5e8",
    "rule": "#e6eaef",
}  # fmt: skip
_DARK = {
    "page": "#0f141b", "ink": "#e8edf4", "muted": "#a3afbf", "faint": "#7c8899", "card": "#1a212b",
    "edge": "#414d5d", "host": "#151b24", "host-edge": "#2f3947", "zone": "#12211f",
    "zone-edge": "#2c5c57", "icon": "#b4c1d3", "task": "#201c2f", "task-edge": "#584c80",
    "rule": "#262f3b",
}  # fmt: skip


def make_sheet(scope: str) -> str:
    """Return the style sheet of one picture; every rule begins with ``scope``, so that a page that
    holds the picture keeps its own look. Dark where the reader's screen is, never on paper."""
    rules = [
        f"{scope} text{{font-family:{FONT};font-size:11px}}",
        f"{scope} .name,{scope} .task-name{{font-size:13px;font-weight:600}}",
        f"{scope} .title{{font-size:19px;font-weight:650}}",
        f"{scope} .label{{font-size:10px;text-anchor:middle}}",
        f"{scope} .frame-label{{font-size:12px;font-weight:600}}",
        f"{scope} .heading{{font-size:11px;text-anchor:middle;letter-spacing:.04em}}",
        f"{scope} .line,{scope} .edge{{fill:none}}",
        f"{scope} .edge{{stroke:transparent;stroke-width:11}}",
        f"{scope} .icon{{fill:none;stroke-width:1.4;stroke-linecap:round;stroke-linejoin:round}}",
        f"{scope} .box{{stroke-width:1.2}}",
        f"{scope} .outside .box{{stroke-dasharray:5 4}}",
        *(_stroke(scope, kind) for kind in LINES),
        f"{scope} .planned.line{{stroke-dasharray:{PLANNED_DASHES}}}",
        *_color(scope, _LIGHT, is_dark=False),
        f"@media screen and (prefers-color-scheme:dark){{{''.join(dark_rules(scope))}}}",
    ]
    return "".join(rules)


def dark_rules(scope: str) -> list[str]:
    """Return the rules that make a picture dark."""
    return _color(scope, _DARK, is_dark=True)


def _stroke(scope: str, kind: str) -> str:
    _, _, _, dashes, width = LINES[kind]
    dash = f";stroke-dasharray:{dashes}" if dashes else ""
    return f"{scope} .line.{kind}{{stroke-width:{width}{dash}}}"


def _color(scope: str, tones: Mapping[str, str], *, is_dark: bool) -> list[str]:
    """Return the rules that colour everything."""
    rules = [
        f"{scope} .page{{fill:{tones['page']}}}",
        f"{scope} text{{fill:{tones['ink']}}}",
        (
            f"{scope} .note,{scope} .address,{scope} .subtitle,{scope} .legend"
            f"{{fill:{tones['muted']}}}"
        ),
        f"{scope} .heading{{fill:{tones['faint']}}}",
        f"{scope} .rule{{stroke:{tones['rule']}}}",
        f"{scope} .label{{stroke:{tones['page']};stroke-width:3;paint-order:stroke}}",
        f"{scope} .box{{fill:{tones['card']};stroke:{tones['edge']}}}",
        f"{scope} .task .box{{fill:{tones['task']};stroke:{tones['task-edge']}}}",
        f"{scope} .icon{{stroke:{tones['icon']}}}",
        (
            f"{scope} .frame.host,{scope} .frame.outside"
            f"{{fill:{tones['host']};stroke:{tones['host-edge']}}}"
        ),
        f"{scope} .frame.outside{{fill:none;stroke-dasharray:3 5}}",
        (
            f"{scope} .frame.bridge{{fill:{tones['zone']};stroke:{tones['zone-edge']};"
            "stroke-dasharray:6 3}"
        ),
    ]
    for kind, (_, light, dark, _, _) in LINES.items():
        color = dark if is_dark else light
        rules.append(f"{scope} .line.{kind}{{stroke:{color}}}")
        rules.append(f"{scope} .head.{kind}{{fill:{color};stroke:{color}}}")
        rules.append(f"{scope} .label.{kind}{{fill:{color}}}")
    rules.append(f"{scope} .head.planned{{fill:{tones['page']}}}")
    for state, tone in STATES.items():
        color, tint = tone[2:] if is_dark else tone[:2]
        rules.append(f"{scope} .is-{state} .box{{fill:{tint};stroke:{color}}}")
        rules.append(f"{scope} .is-{state} .state{{fill:{color}}}")
        rules.append(f"{scope} .dot.is-{state}{{fill:{color}}}")
    return rules
