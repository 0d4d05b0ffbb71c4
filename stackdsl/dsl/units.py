"""Units: durations, sizes and signals as authors write them, turned into numbers."""

import re

from stackdsl.dsl import faults

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGT]i?)?B")
_POWERS = {"k": 1, "K": 1, "M": 2, "G": 3, "T": 4}


def seconds(value: object) -> float:
    """Return a duration in seconds: a number of seconds, or text as "500ms", "2m", "1h30m".

    Raises:
        Refusal: it is neither, or negative.
    """
    hint = 'give seconds as a number, or text as "500ms", "10s", "2m", "1h30m"'
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise faults.Refusal(f"{faults.shown(value)} is not a duration", hint)
    if not isinstance(value, str):
        if not 0 <= value < float("inf"):
            raise faults.Refusal(f"{value} is not a duration", hint)
        return float(value)
    text = value.strip()
    total, position = 0.0, 0
    while position < len(text):
        match = _DURATION.match(text, position)
        if match is None:
            raise faults.Refusal(f"{faults.shown(value)} is not a duration", hint)
        total += float(match[1]) * _SECONDS[match[2]]
        position = match.end()
    if not text:
        raise faults.Refusal('"" is not a duration', hint)
    return round(total, 6)


def size(value: object) -> int:
    """Return a size in bytes: a number of bytes, or text as "64MiB", "1GB", "512kB".

    Raises:
        Refusal: it is neither, or negative.
    """
    hint = 'give bytes as a whole number, or text as "64MiB", "1GB", "512kB"'
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise faults.Refusal(f"{faults.shown(value)} is not a size", hint)
    unit = match[2] or ""
    factor = (1024 if unit.endswith("i") else 1000) ** _POWERS[unit[0]] if unit else 1
    return int(float(match[1]) * factor)


def signal_number(value: object) -> int:
    """Return a signal's number: a number, or a name as "TERM" or "SIGTERM".

    Raises:
        Refusal: there is no such signal.
    """
    import signal

    numbers = {int(known) for known in signal.valid_signals()}
    names = {known.name for known in signal.Signals}
    if isinstance(value, int) and not isinstance(value, bool) and value in numbers:
        return int(value)
    hint = 'give a number, or a name as "TERM", "INT" or "SIGQUIT"'
    if not isinstance(value, str):
        raise faults.Refusal(f"{faults.shown(value)} is not a signal", hint)
    name = value.upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    if name not in names:
        guess = faults.nearest(name, names)
        raise faults.Refusal(f"{faults.shown(value)} is not a signal", f"{guess}{hint}")
    return int(signal.Signals[name])
