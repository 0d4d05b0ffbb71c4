"""The pytest plugin: fixtures `stack_run` and `lab`, marker `stack`; a failing test tells what its
stack did.

Nothing of stackdsl is imported before a test asks for a stack.
"""

import os
from collections.abc import Callable, Generator, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # every pytest run loads this file: the rest is imported when it is wanted
    from stackdsl.session import hosting, runs, stacks
    from stackdsl.testing import labs

_RUN = pytest.StashKey["runs.Run"]()
_KEPT = pytest.StashKey[dict[tuple[str, str], "runs.Run"]]()
_FAILED = pytest.StashKey[set[str]]()
_TOLD = pytest.StashKey[list[tuple[str, str]]]()
_SCOPES = ("function", "module", "session")
_LAST_LINES = 20


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker. Source: pytest's hook reference."""
    config.addinivalue_line(
        "markers",
        'stack(file, scope="function"|"module"|"session"): the stack that fixture stack_run runs',
    )
    config.stash[_KEPT] = {}
    config.stash[_FAILED] = set()


@pytest.fixture
def stack_run(request: pytest.FixtureRequest) -> Iterator["runs.Run"]:
    """Run the stack of ``@pytest.mark.stack(file, scope=…)`` and yield it when it is ready.

    ``file`` is relative to the root of the tests or to the test's own folder; a loaded `Stack`
    or a module will do too. Each xdist worker runs a copy of its own.
    """
    marker = request.node.get_closest_marker("stack")
    if marker is None or len(marker.args) != 1:
        pytest.fail(
            'stack_run needs its stack: mark the test with @pytest.mark.stack("stacks/demo.py")',
            pytrace=False,
        )
    scope = marker.kwargs.get("scope", "function")
    if scope not in _SCOPES:
        pytest.fail(f"cannot keep a stack for scope {scope!r}: one of {_SCOPES}", pytrace=False)
    if scope == "function":
        up = _up(marker.args[0], request)
        run = _enter(up)
        request.node.stash[_RUN] = run
        try:
            yield run
        finally:
            _give_back(up, run, request.config)
        return
    run = _kept_run(marker.args[0], scope, request)
    request.node.stash[_RUN] = run
    yield run


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> "labs.Builder":
    """Return what builds labs, each for the length of a block.

    As in ``with lab("topology.py") as net: run = net.up("shop.py")``. On the living lab,
    ``net.exec("db", ["hostname"])`` runs a command on a host, ``net["db"].power_off()`` takes its
    power; see the page on labs.
    """
    from stackdsl.testing import labs

    told = request.node.stash.setdefault(_TOLD, [])
    folders = (str(request.config.rootpath), str(request.path.parent))
    return labs.Builder(folders, _describe, lambda run, text: told.append((run, text)))


def _kept_run(target: object, scope: str, request: pytest.FixtureRequest) -> "runs.Run":
    holder: Any = request.session
    if scope == "module":
        holder = request.node.getparent(pytest.Module)
    kept = request.config.stash[_KEPT]
    key = (_name_of(target, request), holder.nodeid if scope == "module" else "")
    if key not in kept:
        up = _up(target, request)
        run = _enter(up)
        kept[key] = run

        def release() -> None:
            kept.pop(key, None)
            _give_back(up, run, request.config)

        holder.addfinalizer(release)
    return kept[key]


def _give_back(up: "hosting.Up", run: "runs.Run", config: pytest.Config) -> None:
    """End the run; its folder stays only where a test that used it failed."""
    import shutil

    up.__exit__(None, None, None)
    if run.name not in config.stash[_FAILED]:
        shutil.rmtree(run.folder, ignore_errors=True)


def _enter(up: "hosting.Up") -> "runs.Run":
    from stackdsl.model import errors

    try:
        return up.__enter__()
    except errors.StackError as error:
        failure = str(error)
    pytest.fail(failure, pytrace=False)  # outside of the handler: told once


def _up(target: object, request: pytest.FixtureRequest) -> "hosting.Up":
    from stackdsl.model import errors

    try:
        return _load(target, request).up(copy=_copy_name(request))
    except errors.StackError as error:
        failure = str(error)
    pytest.fail(failure, pytrace=False)  # outside of the handler: told once


def _load(target: object, request: pytest.FixtureRequest) -> "stacks.Stack":
    from stackdsl.session import stacks

    if isinstance(target, stacks.Stack):
        return target
    if isinstance(target, ModuleType):
        return stacks.load(target)
    return stacks.load(_name_of(target, request))


def _name_of(target: object, request: pytest.FixtureRequest) -> str:
    if not isinstance(target, str | os.PathLike):
        return f"{type(target).__name__} {getattr(target, 'name', '')} {id(target)}"
    file = os.fspath(target)
    for folder in (request.config.rootpath, request.path.parent):
        if (folder / file).is_file():
            return str(folder / file)
    return file


_copies = iter(range(1, 1 << 30))


def _copy_name(request: pytest.FixtureRequest) -> str:
    worker = getattr(request.config, "workerinput", {}).get("workerid", "main")
    return f"test-{worker}-{os.getpid()}-{next(_copies)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the stack did to the report of a failed test. Source: pytest's hook reference."""
    report = yield
    run = item.stash.get(_RUN, None)
    if run is not None and report.failed and call.when == "call":
        item.config.stash[_FAILED].add(run.name)
        report.sections.append((f"stack {run.name}", _describe(run)))
    if report.failed and call.when == "call":
        for name, text in item.stash.get(_TOLD, []):
            report.sections.append((f"stack {name} in a lab", text))
    return report


def _describe(run: "runs.Run") -> str:
    """Return the state, the reason and the last lines of every service, and why what is not well
    is so."""
    rows: list[str] = []
    _try(rows, lambda: _describe_into(rows, run))
    rows.append(f"all of their output: stackdsl logs {run.name}")
    return "\n".join(rows)


def _describe_into(rows: list[str], run: "runs.Run") -> None:
    status = run.status()
    rows.append(f"run is {status.state}")
    rows.extend(f"why: {one}" for one in run.why())
    for one in status.services:
        where = f" at {one.addresses[0][1]}" if one.addresses else ""
        code = "" if one.exit_code is None else f", exit code {one.exit_code}"
        rows.append(f"{one.name}: {one.state}{where}{code}")
        if one.reason:
            rows.append(f"  why: {one.reason}")
        lines = run[one.name].logs(tail=_LAST_LINES).splitlines()
        rows.extend(f"  | {line}" for line in lines[-_LAST_LINES:])


def _try(rows: list[str], describe: Callable[[], None]) -> None:
    from stackdsl.model import errors

    try:
        describe()
    except (errors.StackError, OSError) as error:
        rows.append(f"the stack could not be asked: {error}")
