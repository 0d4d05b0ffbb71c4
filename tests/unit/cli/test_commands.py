"""Calls of the command line: what is offered, and how wrong calls are answered."""

import pytest

from stackdsl.cli import commands, main
from stackdsl.model import errors

OFFERED = (
    "run", "start", "stop", "restart", "status", "ps", "logs", "events", "wait", "why", "exec",
    "shell", "do", "clean", "validate", "plan", "graph", "doctor", "explain", "lab",
)  # fmt: skip


def refused(*arguments: str) -> errors.StackError:
    with pytest.raises(errors.UsageError) as caught:
        commands.call(list(arguments))
    assert caught.value.do
    assert caught.value.what.startswith("cannot ")
    return caught.value


def test_help_names_every_command_and_no_hidden_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.call(["--help"]) == 0

    listed = capsys.readouterr().out.partition("Commands:")[2].splitlines()
    assert tuple(row.split()[0] for row in listed if row.strip()) == OFFERED


@pytest.mark.parametrize("command", OFFERED)
def test_help_of_a_command_fits_80_columns(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands.call([command, "--help"]) == 0

    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_no_summary_of_a_command_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    commands.call(["--help"])

    assert "..." not in capsys.readouterr().out.partition("Commands:")[2]


@pytest.mark.parametrize("later", ["scale", "swap", "export", "package", "ui"])
def test_what_comes_later_is_not_offered_yet(later: str) -> None:
    assert refused(later).code == "usage.unknown-command"


def test_a_misspelt_command_names_the_near_ones() -> None:
    assert "status" in refused("statsu").why


def test_a_misspelt_option_names_the_near_ones() -> None:
    error = refused("run", "--until-redy")

    assert error.code == "usage.unknown-option"
    assert "--until-ready" in error.why


def test_options_of_the_command_to_run_are_told_to_stand_after_two_dashes() -> None:
    assert "after --" in refused("exec", "api", "ls", "-l").do


def test_a_missing_argument_is_a_wrong_call() -> None:
    assert refused("explain").code == "usage.call"


def test_a_number_that_is_none_is_a_wrong_call() -> None:
    assert refused("logs", "--tail", "many").code == "usage.call"


def test_no_command_prints_the_help_on_stderr_and_exits_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.main([]) == 2

    done = capsys.readouterr()
    assert done.out == ""
    assert "Commands:" in done.err


def test_errors_go_to_stderr_in_their_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["explain", "no.such"]) == 2

    done = capsys.readouterr()
    assert done.out == ""
    assert done.err.splitlines()[0] == 'cannot explain "no.such": there is no such error code'
    assert done.err.splitlines()[-1] == "  code   usage.unknown-code"


def test_our_frames_are_shown_only_when_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main.main(["explain", "no.such"])
    assert "Traceback" not in capsys.readouterr().err

    monkeypatch.setenv("STACKDSL_TRACEBACK", "1")
    main.main(["explain", "no.such"])
    assert "Traceback" in capsys.readouterr().err


def test_a_code_is_explained_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["explain", "definition.cycle"]) == 0

    assert capsys.readouterr().out.startswith("definition.cycle: ")


def test_a_bug_of_ours_is_told_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: list[str]) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(commands, "call", fail)

    assert main.main(["ps"]) == 1
    told = capsys.readouterr().err
    assert "internal.command" in told
    assert "Traceback" not in told
