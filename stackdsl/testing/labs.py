"""Labs for tests: what the fixture `lab` hands out, and what a failing test tells of their runs."""

import os
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a test that asks for a lab pays for it when it builds one
    from stackdsl.session import labs, runs


class Builder:
    """Builds labs for a test: ``with lab("topology.py") as net: run = net.up("shop.py")``."""

    def __init__(
        self,
        folders: tuple[str, ...],
        describe: "Callable[[runs.Run], str]",
        tell: Callable[[str, str], None],
    ) -> None:
        self._folders = folders
        self._describe = describe
        self._tell = tell

    def __call__(self, topology: "labs.Target") -> "Opening":
        """Return what builds the lab of a topology (a file, a module, a `Lab`) for the length of a
        ``with`` block. Files are relative to the root of the tests or to the test's own folder."""
        return Opening(topology, self._folders, self._describe, self._tell)


class Opening:
    """A lab for the length of a block."""

    def __init__(
        self,
        topology: "labs.Target",
        folders: tuple[str, ...],
        describe: "Callable[[runs.Run], str]",
        tell: Callable[[str, str], None],
    ) -> None:
        self._topology = topology
        self._folders = folders
        self._describe = describe
        self._tell = tell
        self._net: labs.Net | None = None

    def __enter__(self) -> "labs.Net":
        from stackdsl.session import labs

        target = self._topology
        if isinstance(target, str | os.PathLike):
            target = labs.find_file(os.fspath(target), self._folders)
        self._net = labs.open_net(target, folders=self._folders)
        return self._net

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._net is not None
        try:
            if error is not None:  # while there is someone to ask
                for run in self._net.runs:
                    self._tell(run.name, self._describe(run))
        finally:
            self._net.close()
