"""Errors on their way to another process keep their family, and with it the exit code."""

import pytest

from stackdsl.model import errors
from stackdsl.node import endpoints, engines
from stackdsl.wire import codec

GONE = endpoints.Endpoint(url="unix:///gone", source="a test")


@pytest.mark.parametrize(
    "error",
    [
        engines.unreached(GONE, FileNotFoundError("gone")),
        engines.refusal(409, "it is taken"),
        errors.TeardownError("teardown.left", "it stays", do="look at it"),
    ],
    ids=["unreached", "refused", "teardown"],
)
def test_an_error_of_a_modules_own_arrives_as_one_of_its_family(error: errors.StackError) -> None:
    arrived = codec.decode_error(codec.encode_error(error))
    assert isinstance(error, type(arrived))
    assert (arrived.exit_code, arrived.code) == (error.exit_code, error.code)
    assert not isinstance(arrived, errors.InternalError)
