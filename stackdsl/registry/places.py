"""Where state lives on disk: the state folder and each run's folder in it."""

import os


def state_root() -> str:
    """Return the state folder: $STACKDSL_STATE, else $XDG_STATE_HOME/stackdsl, else
    ~/.local/state/stackdsl; for root at home, /var/lib/stackdsl: services with a user of their own
    could not pass through root's home. Source: XDG Base Directory Specification, FHS 5.8."""
    chosen = os.environ.get("STACKDSL_STATE")
    if chosen:
        return os.path.abspath(chosen)
    base = os.environ.get("XDG_STATE_HOME")
    if not base:
        base = "/var/lib" if _is_root_at_home() else os.path.expanduser("~/.local/state")
    return os.path.join(base, "stackdsl")


def _is_root_at_home() -> bool:
    """Whether we are root with root's own home; a HOME that was chosen is meant."""
    if os.geteuid() != 0:
        return False
    import pwd  # needed by root only

    return os.path.expanduser("~") == pwd.getpwuid(0).pw_dir


def run_folder(root: str, run: str) -> str:
    """Return the folder of one run."""
    return os.path.join(root, "runs", run)


def short_socket_path(folder_fd: int, name: str) -> str:
    """Return a path for a Unix socket in an open folder that always fits sun_path (unix(7)).

    Long folders would break the limit of 107 bytes; the kernel resolves the folder through its
    open descriptor instead.
    """
    return f"/proc/self/fd/{folder_fd}/{name}"
