"""The journal of a run on one machine: what was meant, before it is done, and what became of it.

SQLite in ``<folder>/journal.db``. A row is written and committed before a replica is started; its
process follows as soon as it is known. Only what a later node needs stands here: logs are files.

Laws: nothing is done whose intent is not committed. Ending something never needs the journal.
"""

import asyncio
import errno
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from stackdsl.model import errors, specs, states
from stackdsl.model.data import dataclass
from stackdsl.node import proctable
from stackdsl.wire import codec

NAME = "journal.db"
VERSION = 2
_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE replicas (
    name TEXT PRIMARY KEY, kind TEXT NOT NULL, digest TEXT NOT NULL, spec TEXT NOT NULL,
    state TEXT NOT NULL, pid INTEGER, start_ticks INTEGER, boot TEXT, exit_code INTEGER,
    restarts INTEGER NOT NULL DEFAULT 0, out_offset INTEGER NOT NULL DEFAULT 0,
    err_offset INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '', output TEXT,
    is_whole INTEGER NOT NULL DEFAULT 1, since_ns INTEGER NOT NULL,
    container TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
"""
_CHANGES = {1: "ALTER TABLE replicas ADD COLUMN container TEXT NOT NULL DEFAULT '';"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What stands of one replica. ``pid`` with ``start_ticks`` and ``boot`` name its process.
    ``is_whole``: no secret is left out of ``spec``. ``container`` is what its driver notes."""

    spec: specs.ServiceSpec
    state: states.State
    pid: int | None = None
    start_ticks: int = 0
    boot: str = ""
    exit_code: int | None = None
    restarts: int = 0
    offsets: tuple[int, int] = (0, 0)
    reason: str = ""
    output: str | None = None
    is_whole: bool = True
    container: str = ""


class Journal:
    """An open journal. ``on_trouble`` is told once when notes can no longer be written."""

    def __init__(
        self,
        folder: str,
        connection: sqlite3.Connection,
        on_trouble: Callable[[str], None],
        secrets: tuple[str, ...] = (),
    ) -> None:
        self.boot = proctable.boot_id()
        self._folder = folder
        self._db = connection
        self._secrets = _escape(secrets)
        self._on_trouble = on_trouble
        # what became of each since the last commit; None: it is forgotten
        self._notes: dict[str, dict[str, object] | None] = {}
        self._is_awaited = False
        self._has_told = False

    def fact(self, name: str) -> str | None:
        """Return one fact of the run."""
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_facts(self, facts: dict[str, str]) -> None:
        """Keep facts of the run.

        Raises:
            HostError: they cannot be written.
        """
        self._write("INSERT OR REPLACE INTO facts VALUES (?, ?)", list(facts.items()))

    def rows(self) -> list[Row]:
        """Return what stands, by name.

        Raises:
            HostError: a row cannot be read.
        """
        query = (
            "SELECT spec, state, pid, start_ticks, boot, exit_code, restarts, out_offset, "
            "err_offset, reason, output, is_whole, container FROM replicas ORDER BY name"
        )
        self.commit()
        try:
            return [
                Row(
                    spec=codec.decode(json.loads(row[0])),
                    state=row[1],
                    pid=row[2],
                    start_ticks=row[3] or 0,
                    boot=row[4] or "",
                    exit_code=row[5],
                    restarts=row[6],
                    offsets=(row[7], row[8]),
                    reason=row[9],
                    output=row[10],
                    is_whole=bool(row[11]),
                    container=row[12],
                )
                for row in self._db.execute(query)
            ]
        except (sqlite3.DatabaseError, ValueError, KeyError, errors.InternalError) as error:
            raise _corrupt(self._folder, error) from error

    def intend(self, wanted: Iterable[specs.ServiceSpec]) -> None:
        """Write down what is about to be started, in one commit.

        Raises:
            HostError: it cannot be written; nothing may be started then.
        """
        now = time.time_ns()
        rows = []
        for spec in wanted:
            text = json.dumps(codec.encode(spec), separators=(",", ":"))
            masked = self._mask(text, _escape(spec.secrets))
            rows.append((spec.name, spec.kind, spec.digest, masked, self.boot, masked == text, now))
        self._write(
            "INSERT OR REPLACE INTO replicas "
            "(name, kind, digest, spec, boot, is_whole, state, since_ns) "
            "VALUES (?, ?, ?, ?, ?, ?, 'waiting', ?)",
            rows,
        )

    def _mask(self, text: str, more: Sequence[str] = ()) -> str:
        for secret in (*more, *self._secrets):
            text = text.replace(secret, "***")
        return text

    def clear(self) -> None:
        """Drop all rows: the folder belongs to another run now.

        Raises:
            HostError: they cannot be dropped.
        """
        self._write("DELETE FROM replicas WHERE name <> ?", [("",)])

    def note(self, name: str, **fields: object) -> None:
        """Note what became of a replica; committed with all else that this turn of the loop notes.

        What cannot be written is told once as trouble: marks find what the journal does not know.
        """
        noted = self._notes.get(name)
        if noted is None:
            self._notes[name] = noted = {}
            self._commit_soon()
        noted.update(fields, since_ns=time.time_ns())

    def forget(self, names: Iterable[str]) -> None:
        """Drop rows, with all else that this turn of the loop notes."""
        for name in names:
            self._notes[name] = None
        self._commit_soon()

    def close(self, *, is_over: bool = False) -> None:
        """Commit and close; ``is_over``: nobody will ask again, and this process ends: SQLite need
        not put everything in its place, which takes longer than all else at a node's end."""
        self.commit()
        if not is_over:
            self._db.close()

    def _commit_soon(self) -> None:
        if not self._is_awaited:
            self._is_awaited = True
            asyncio.get_running_loop().call_soon(self.commit)

    def commit(self) -> None:
        """Put what was noted on disk now."""
        self._is_awaited = False
        if not self._notes:
            return
        notes, self._notes = self._notes, {}
        try:
            self._db.execute("BEGIN")
            self._db.executemany(
                "DELETE FROM replicas WHERE name = ?",
                [(name,) for name, fields in notes.items() if fields is None],
            )
            for columns, rows in _group(notes):
                setters = ", ".join(f"{column} = ?" for column in columns)
                self._db.executemany(f"UPDATE replicas SET {setters} WHERE name = ?", rows)  # noqa: S608  # columns are ours
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._tell(error)
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        self.commit()
        try:
            self._db.execute("BEGIN")
            self._db.executemany(statement, rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise _explain(self._folder, error) from error

    def _tell(self, error: sqlite3.Error) -> None:
        if not self._has_told:
            self._has_told = True
            self._on_trouble(_explain(self._folder, error).what)


def _group(
    notes: Mapping[str, Mapping[str, object] | None],
) -> Iterator[tuple[tuple[str, ...], list[tuple[object, ...]]]]:
    """Yield columns, and the rows in which these are noted, each with its name last."""
    groups: dict[tuple[str, ...], list[tuple[object, ...]]] = {}
    for name, fields in notes.items():
        if fields is not None:
            groups.setdefault(tuple(fields), []).append((*fields.values(), name))
    yield from groups.items()


def open_journal(
    folder: str, on_trouble: Callable[[str], None], secrets: tuple[str, ...] = ()
) -> Journal:
    """Open a run's journal, or make it; ``secrets`` are masked in it.

    Raises:
        UsageError: a newer version wrote it (``state.newer``).
        HostError: it is corrupt (``state.corrupt``), the disk is full (``state.disk-full``), or it
            cannot be written (``state.refused``).
    """
    path = os.path.join(folder, NAME)
    connection: sqlite3.Connection | None = None
    try:
        # Environments stand in it: no one else may read it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, timeout=2.0)
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > VERSION:
            raise _newer(folder, version)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        if version == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"
            )
        for older in range(max(version, 1), VERSION) if version else ():
            connection.executescript(
                f"BEGIN IMMEDIATE; {_CHANGES[older]} PRAGMA user_version = {older + 1}; COMMIT;"
            )
        connection.execute("SELECT count(*) FROM replicas").fetchone()
    except (OSError, sqlite3.Error, errors.StackError) as error:
        if connection is not None:
            connection.close()
        if isinstance(error, errors.StackError):
            raise
        raise _explain(folder, error) from error
    return Journal(folder, connection, on_trouble, secrets)


def _newer(folder: str, version: int) -> errors.UsageError:
    return errors.UsageError(
        "state.newer",
        f'cannot read the state in "{folder}": a newer stackdsl wrote it',
        why=f"its journal is of version {version}; this stackdsl knows up to {VERSION}",
        do="use the stackdsl that started the run, or end it there",
    )


def _corrupt(folder: str, error: Exception) -> errors.HostError:
    return errors.HostError(
        "state.corrupt",
        f'cannot read the state in "{folder}": its journal is damaged',
        why=f"{os.path.join(folder, NAME)}: {error}",
        do="end what is left with `stackdsl clean`, which needs no journal, then start again",
    )


def _explain(folder: str, error: Exception) -> errors.StackError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    is_full = getattr(error, "errno", 0) == errno.ENOSPC
    if (
        is_full
        or code == sqlite3.SQLITE_FULL
        or (code == sqlite3.SQLITE_IOERR and _is_full(folder))
    ):
        return errors.HostError(
            "state.disk-full",
            f'cannot write the state in "{folder}": the disk is full',
            why=f"{os.path.join(folder, NAME)}: {error}",
            do="make room; what runs goes on meanwhile and can be stopped",
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "no such" in str(error):
        return _corrupt(folder, error)
    return errors.HostError(
        "state.refused",
        f'cannot write the state in "{folder}": {error}',
        why=f"{os.path.join(folder, NAME)}: {getattr(error, 'sqlite_errorname', 'unknown')}",
        do="make the folder writable, or choose another with STACKDSL_STATE",
    )


def _is_full(folder: str) -> bool:
    try:
        room = os.statvfs(folder)
    except OSError:
        return False
    return room.f_bavail == 0


def _escape(secrets: Sequence[str]) -> tuple[str, ...]:
    """Return secrets as they stand in JSON texts, longest first."""
    return tuple(json.dumps(s)[1:-1] for s in sorted(secrets, key=len, reverse=True) if s)
