"""The machine's users, looked up when a service wants to be one of them."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the machine. Source: getpwnam(3)."""

    name: str
    uid: int
    gid: int
    home: str

    @property
    def is_us(self) -> bool:
        """Whether we are that user already."""
        return self.uid == os.geteuid()

    def groups(self) -> list[int]:
        """Return all groups that the user is in. Source: getgrouplist(3)."""
        return os.getgrouplist(self.name, self.gid)


def find(user: str) -> Account | None:
    """Return the account of a user's name, or of a number."""
    import pwd  # few services name a user

    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir)
