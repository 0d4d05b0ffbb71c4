"""Why a host cannot be worked on over SSH, as errors that say what to do next."""

import errno
import socket

import asyncssh

from stackdsl.model import errors
from stackdsl.model.data import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What was dialled: ``name`` as the author wrote it, then what it came to by ssh's settings.
    ``jump`` names the host that it was reached through. ``known_keys`` are the kinds of keys that
    known_hosts has for it."""

    name: str
    host: str
    port: int
    user: str
    jump: str = ""
    known_keys: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """Where it was dialled."""
        return f"{self.host}:{self.port}"

    @property
    def command(self) -> str:
        """What a person types to get there."""
        port = "" if self.port == asyncssh.DEFAULT_PORT else f" -p {self.port}"
        jump = f" -J {self.jump}" if self.jump else ""
        return f"ssh{port}{jump} {self.user}@{self.host}"


def explain(target: Target, error: Exception) -> errors.HostError:
    """Return the error to raise for what asyncssh or the system raised while connecting."""
    match error:
        case asyncssh.HostKeyNotVerifiable() | asyncssh.KeyExchangeFailed() if target.known_keys:
            return _changed_key(target, str(error.reason))
        case asyncssh.HostKeyNotVerifiable():
            return _unknown_key(target)
        case asyncssh.PermissionDenied():
            return _refused_login(target, str(error.reason))
        case asyncssh.KeyImportError() | asyncssh.KeyEncryptionError():
            return _refused_login(target, str(error))
        case asyncssh.ConfigParseError():
            return bad_config(target.name, str(error))
        case _:
            return unreached(target, _say(target, error))


def _say(target: Target, error: Exception) -> str:
    """Return in words why nobody answers."""
    match error:
        case asyncssh.ConnectionLost():
            text = f"its sshd ended the connection: {error.reason}"
        case asyncssh.ChannelOpenError():
            text = f'"{target.jump}" does not get there: {error.reason}'
        case socket.gaierror():
            text = f'the name "{target.host}" is not known: {error.strerror}'
        case TimeoutError():
            text = "nothing answers: time is up"
        case ConnectionRefusedError():
            text = "the connection was refused: no sshd listens there"
        case OSError():
            text = os_text(error)
        case _:
            text = f"{type(error).__name__}: {error}"
    return text


def os_text(error: OSError) -> str:
    """Return a system's error in words."""
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return "there is no way to it: " + str(error.strerror).lower()
    return error.strerror or str(error)


def unreached(target: Target, why: str) -> errors.HostError:
    """Return the error for a host that does not answer."""
    return errors.HostError(
        "host.unreached",
        f'cannot reach host "{target.name}": {target.address} does not answer',
        why=why,
        do=f"switch it on or correct its address; `{target.command} true` must work",
    )


def bad_config(name: str, why: str) -> errors.HostError:
    """Return the error for settings of ssh that cannot be read."""
    return errors.HostError(
        "host.ssh-config",
        f'cannot connect to host "{name}": the settings of ssh cannot be used',
        why=why,
        do=f"correct ~/.ssh/config or the keywords of ssh(…); `ssh -G {name}` shows what holds",
    )


def _unknown_key(target: Target) -> errors.HostError:
    scan = f"ssh-keyscan {_port_option(target)}{target.host} >> ~/.ssh/known_hosts"
    return errors.HostError(
        "host.key-unknown",
        f'cannot trust host "{target.name}": its key is not in known_hosts',
        why=f"{_in_known_hosts(target)} has no entry there; whoever answers may be someone else",
        do=f"connect once and compare the fingerprint: {target.command}\n"
        f"or take the key over as it is: {scan}",
    )


def _changed_key(target: Target, why: str) -> errors.HostError:
    return errors.HostError(
        "host.key-changed",
        f'cannot trust host "{target.name}": its key is another one than in known_hosts',
        why=f"known_hosts has {', '.join(target.known_keys)} for {_in_known_hosts(target)}: {why}",
        do=f"if the machine was set up anew: ssh-keygen -R '{_in_known_hosts(target)}',"
        f" then {target.command}; if not, someone may stand between",
    )


def _in_known_hosts(target: Target) -> str:
    if target.port == asyncssh.DEFAULT_PORT:
        return target.host
    return f"[{target.host}]:{target.port}"


def _port_option(target: Target) -> str:
    return "" if target.port == asyncssh.DEFAULT_PORT else f"-p {target.port} "


def _refused_login(target: Target, why: str) -> errors.HostError:
    return errors.HostError(
        "host.auth",
        f'cannot log in to host "{target.name}" as "{target.user}": no key was accepted',
        why=why,
        do=f"let `{target.command} true` work without a password: ssh-copy-id, ssh-add for keys"
        " with a passphrase, or give ssh(…, user=…, key=…)",
    )
