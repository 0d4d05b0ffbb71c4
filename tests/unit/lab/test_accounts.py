"""Accounts of a lab's host: whom its files know, and what they may do."""

from stackdsl.lab import accounts, topologies

PASSWD = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1::/usr/sbin:/usr/sbin/nologin
sshd:x:105:65534::/run/sshd:/usr/sbin/nologin
alice:x:1000:1000::/home/alice:/bin/bash
nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin
"""
GROUP = "root:x:0:\ndocker:x:108:alice\nalice:x:1000:\n"


def accounts_of(**given: object) -> accounts.Accounts:
    host = topologies.Host(name="db", site="a", **given)  # type: ignore[arg-type] # as they come
    return accounts.Accounts(PASSWD, GROUP, host, "/bin/bash")


def test_the_machines_people_are_not_known_and_its_daemons_are() -> None:
    text = accounts_of().passwd()

    assert "alice" not in text
    assert "sshd:x:105" in text


def test_an_account_has_a_home_and_a_number_of_its_own() -> None:
    made = accounts_of(user="deploy")

    assert (made.uid, made.home) == (1000, "/home/deploy")
    assert "deploy:x:1000:" in made.group()


def test_an_account_that_the_machine_has_keeps_its_number() -> None:
    assert accounts_of(user="daemon").uid == 1


def test_nobody_has_a_password_and_nobody_is_locked_out() -> None:
    assert all(row.split(":")[1] == "*" for row in accounts_of().shadow().splitlines())


def test_the_account_of_a_host_with_an_engine_may_use_it() -> None:
    assert "docker:x:108:deploy" in accounts_of(user="deploy", docker=True).group()


def test_sudo_is_for_those_who_were_given_it() -> None:
    given = accounts.sudoers(topologies.Host(name="db", site="a", user="deploy"))
    denied = accounts.sudoers(topologies.Host(name="db", site="a", user="deploy", sudo=False))

    assert "deploy ALL=(ALL:ALL) NOPASSWD: ALL" in given
    assert "deploy" not in denied
