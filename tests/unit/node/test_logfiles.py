"""Names of log files."""

import pytest

from stackdsl.node import logfiles


@pytest.mark.parametrize("stream", ["out", "err"])
def test_a_log_is_named_after_its_replica_and_stream(stream: str) -> None:
    path = logfiles.path_of("/run", "load-0", stream)

    assert logfiles.parse(path.rpartition("/")[2]) == ("load-0", stream)


@pytest.mark.parametrize("name", ["api.out.idx", "api", ".out", "api.log", "journal.db"])
def test_other_files_are_no_logs(name: str) -> None:
    assert logfiles.parse(name) is None
