"""Probes as authors write them; each takes interval, timeout, start_period, success, failures."""

from collections.abc import Mapping, Sequence
from typing import TypedDict, Unpack

from stackdsl.dsl import values, written


class TimingKeywords(TypedDict, total=False):
    """When a probe is tried and what counts: durations, and numbers of tries in a row."""

    interval: values.Duration
    timeout: values.Duration
    start_period: values.Duration
    success: int
    failures: int


TIMINGS = tuple(TimingKeywords.__annotations__)


class Probe(written.Written):
    """A probe as it was written down; ``unknown`` holds its timing keywords too."""

    __slots__ = ()


def http(
    path: str = "/",
    *,
    port: int | str | None = None,
    status: int | Sequence[int] = 200,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body_contains: str | None = None,
    **timing: Unpack[TimingKeywords],
) -> Probe:
    """Return a probe that a request answers with ``status``; ``port`` None is the default port."""
    kept = {
        "path": path,
        "port": port,
        "status": status,
        "method": method,
        "headers": headers,
        "body_contains": body_contains,
    }
    return Probe("http", kept, dict(timing))


def tcp(port: int | str | None = None, **timing: Unpack[TimingKeywords]) -> Probe:
    """Return a probe that a connection is accepted at a port's number or name."""
    return Probe("tcp", {"port": port}, dict(timing))


def check(argv: values.Argv, **timing: Unpack[TimingKeywords]) -> Probe:
    """Return a probe that a command exits 0, run where the service runs."""
    return Probe("check", {"argv": argv}, dict(timing))


def log(regex: str, **timing: Unpack[TimingKeywords]) -> Probe:
    """Return a probe that a line of output matches a regular expression."""
    return Probe("log", {"regex": regex}, dict(timing))


def file(path: values.Path, **timing: Unpack[TimingKeywords]) -> Probe:
    """Return a probe that a path exists; relative ones start at `me.dir`."""
    return Probe("file", {"path": path}, dict(timing))


def notify(**timing: Unpack[TimingKeywords]) -> Probe:
    """Return a probe that the service says READY=1 itself, as sd_notify(3) has it."""
    return Probe("notify", {}, dict(timing))


def docker_health(**timing: Unpack[TimingKeywords]) -> Probe:
    """Return a probe that the image's own HEALTHCHECK says healthy."""
    return Probe("docker_health", {}, dict(timing))
