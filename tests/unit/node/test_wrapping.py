"""What is put in front of a program."""

from stackdsl.model import services
from stackdsl.node import wrapping

ARGV = ("serve", "--port", "1")


def test_nothing_is_put_in_front_where_nothing_is_wanted() -> None:
    assert wrapping.wrap(ARGV, services.Limits(), None) is ARGV


def test_the_shell_becomes_the_program_with_its_arguments_untouched() -> None:
    shell, flag, script, name, *rest = wrapping.wrap(ARGV, services.Limits(files=64), None)
    assert (shell, flag, name, tuple(rest)) == ("/bin/sh", "-c", "sh", ARGV)
    assert script == 'set -e; ulimit -n 64; exec "$@"'


def test_memory_is_bounded_by_address_space_without_a_cgroup() -> None:
    limits = services.Limits(memory_bytes=64 * 1024 * 1024)
    assert "ulimit -v 65536" in wrapping.wrap(ARGV, limits, None)[2]


def test_memory_is_left_to_the_cgroup_where_there_is_one() -> None:
    limits = services.Limits(memory_bytes=64 * 1024 * 1024)
    assert wrapping.wrap(ARGV, limits, None, has_cgroup=True) is ARGV


def test_a_terminal_is_opened_by_the_leader_of_the_session() -> None:
    assert "exec 0<>/dev/pts/7 1>&0 2>&0" in wrapping.wrap(ARGV, services.Limits(), "/dev/pts/7")[2]
