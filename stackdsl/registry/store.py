"""The store of runs: one SQLite file per state folder, one row per run, claimed atomically.

Laws: written before the effect; a newer or broken file is refused with its path, never rewritten.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from stackdsl.model import errors, plans
from stackdsl.model.data import dataclass
from stackdsl.registry import owners, reserves
from stackdsl.wire import codec

SCHEMA_VERSION = 1
_SELECT = (
    "SELECT run, run_id, stack, file, folder, state, crash, grace_s, created_ns, controller_pid,"
    " controller_start, node_pid, node_start, block_first, block_last FROM runs"
)
_SCHEMA = """
CREATE TABLE runs (
  run TEXT PRIMARY KEY, run_id TEXT NOT NULL, stack TEXT NOT NULL, file TEXT, folder TEXT NOT NULL,
  state TEXT NOT NULL, crash TEXT NOT NULL, grace_s REAL NOT NULL, created_ns INTEGER NOT NULL,
  controller_pid INTEGER NOT NULL, controller_start INTEGER NOT NULL,
  node_pid INTEGER NOT NULL, node_start INTEGER NOT NULL,
  block_first INTEGER NOT NULL, block_last INTEGER NOT NULL, plan TEXT
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One run as stored. ``block`` is its loopback block; ``state`` as last written by its
    controller, "ended" once everything was given back."""

    run: str
    run_id: str
    stack: str
    file: str | None
    folder: str
    state: str
    crash: str
    grace_s: float
    created_ns: int
    controller: owners.Owner
    node: owners.Owner
    block: tuple[int, int]

    @property
    def is_ended(self) -> bool:
        """Whether nothing of it should be alive."""
        return self.state == "ended"

    @property
    def has_controller(self) -> bool:
        """Whether its controller lives."""
        return self.controller.is_alive


class Store:
    """The store in one state folder; opened on first use, safe for several processes."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.path = os.path.join(root, "runs.db")
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def exists(self) -> bool:
        """Whether anything was ever stored."""
        return os.path.exists(self.path)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                os.makedirs(self.root, mode=0o700, exist_ok=True)
                if not self.exists:
                    self._create()
                self._connection = self._connect()
            except sqlite3.Error as error:
                broken = self._broken(error)
                if broken.code != "state.disk-full" or not self.exists:
                    raise broken from error
                self._connection = self._connect_on_full_disk()
            except OSError as error:
                raise errors.HostError(
                    "state.unwritable",
                    f'cannot open the state folder "{self.root}": {error.strerror}',
                    do="make it writable, or name another in $STACKDSL_STATE",
                ) from error
        return self._connection

    def _connect(self, *, is_alone: bool = False) -> sqlite3.Connection:
        """Open the file. ``is_alone``: shut others out, which needs no room for shared memory.
        Source: https://www.sqlite.org/wal.html#use_of_wal_without_shared_memory."""
        connection = sqlite3.connect(
            self.path, timeout=10, isolation_level=None, check_same_thread=False
        )
        try:
            if is_alone:
                connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._check_version(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect_on_full_disk(self) -> sqlite3.Connection:
        try:
            return self._connect(is_alone=not reserves.spend(self.root))
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def _create(self) -> None:
        """Make the file aside and put it in place whole: two that create it at the same moment do
        not meet. Source: SQLite's journal_mode is busy at once, whatever the timeout."""
        aside = f"{self.path}.{os.getpid()}"
        os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        try:
            connection = sqlite3.connect(aside, isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(_SCHEMA)
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            connection.close()
            with suppress(FileExistsError):
                os.link(aside, self.path)
        finally:
            os.unlink(aside)

    def _check_version(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise errors.UsageError(
                "state.newer",
                f'cannot read the state in "{self.path}": it is of format {version},'
                f" this stackdsl reads up to {SCHEMA_VERSION}",
                why="a newer stackdsl wrote it",
                do="use that version, or name another state folder in $STACKDSL_STATE",
            )

    def _broken(self, error: sqlite3.Error) -> errors.StackError:
        text = str(error)
        is_refused = isinstance(error, sqlite3.OperationalError) and "I/O" in text
        if "full" in text or (is_refused and reserves.is_full(self.root)):
            return errors.HostError(
                "state.disk-full",
                f'cannot write the state in "{self.path}": the disk is full',
                do="free some space; what runs goes on running",
            )
        if isinstance(error, sqlite3.OperationalError) and "locked" in text:
            return errors.HostError(
                "state.locked",
                f'cannot open the state in "{self.path}": another process holds it',
                do="run the command again",
            )
        if is_refused:
            return errors.HostError(
                "state.refused",
                f'cannot use the state in "{self.path}": {text}',
                why="the disk refused to read or write",
                do="look at the disk (df, dmesg); what runs goes on running",
            )
        return errors.UsageError(
            "state.corrupt",
            f'cannot read the state in "{self.path}": {text}',
            why="the file is damaged, or is not ours",
            do=f'move it away (mv "{self.path}" "{self.path}.broken") and run `stackdsl clean`',
        )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._open()
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # a full disk may have ended it
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def _write_last(self, statement: str, values: tuple[object, ...]) -> None:
        """Write what gives a run back; on a full disk into the room set aside for it."""
        for is_last in (False, True):
            try:
                with self._transaction() as connection:
                    connection.execute(statement, values)
            except errors.HostError as error:
                if is_last or error.code != "state.disk-full" or not reserves.spend(self.root):
                    raise
            else:
                reserves.keep(self.root)
                return

    def records(self) -> tuple[Record, ...]:
        """Return every run that has not ended, by name; an absent file holds none."""
        if not self.exists:
            return ()
        try:
            rows = self._open().execute(_SELECT + " ORDER BY run").fetchall()
        except sqlite3.Error as error:
            raise self._broken(error) from error
        return tuple(_read(row) for row in rows)

    def record(self, run: str) -> Record | None:
        """Return one run."""
        for record in self.records():
            if record.run == run:
                return record
        return None

    def claim(self, record: Record) -> Record | None:
        """Make the caller the owner of a run's name; return None.

        If another living controller owns it, return that record and change nothing. A row whose
        controller is dead is taken over (its run_id is returned in the row that replaces it only
        if the caller passes it on).
        """
        with self._transaction() as connection:
            row = connection.execute(
                _SELECT + " WHERE run=?",
                (record.run,),
            ).fetchone()
            if row is not None:
                known = _read(row)
                # two that adopt the same run bring the same run_id: only one may have it
                is_ours = (known.controller, known.run_id) == (record.controller, record.run_id)
                if known.controller.is_alive and not is_ours:
                    return known
            plan = connection.execute(
                "SELECT plan FROM runs WHERE run=? AND run_id=?", (record.run, record.run_id)
            ).fetchone()
            connection.execute(
                "INSERT OR REPLACE INTO runs VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    record.run, record.run_id, record.stack, record.file, record.folder,
                    record.state, record.crash, record.grace_s, record.created_ns,
                    record.controller.pid, record.controller.start, record.node.pid,
                    record.node.start, *record.block, plan[0] if plan else None,
                ),
            )  # fmt: skip
        reserves.keep(self.root)
        return None

    def claim_block(self, run: str, block: tuple[int, int]) -> bool:
        """Take a loopback block for a run; False if it overlaps another run's."""
        with self._transaction() as connection:
            others = connection.execute(
                "SELECT COUNT(*) FROM runs WHERE run<>? AND block_first<=? AND block_last>=?"
                " AND block_last>0",
                (run, block[1], block[0]),
            ).fetchone()[0]
            if others:
                return False
            connection.execute(
                "UPDATE runs SET block_first=?, block_last=? WHERE run=?", (*block, run)
            )
        return True

    def save_plan(self, plan: plans.Plan) -> None:
        """Store the plan that is being kept (secrets are masked by the caller)."""
        text = json.dumps(codec.encode(plan), separators=(",", ":"))
        with self._transaction() as connection:
            connection.execute("UPDATE runs SET plan=? WHERE run=?", (text, plan.run))

    def load_plan(self, run: str) -> plans.Plan | None:
        """Return the stored plan of a run."""
        try:
            row = self._open().execute("SELECT plan FROM runs WHERE run=?", (run,)).fetchone()
        except sqlite3.Error as error:
            raise self._broken(error) from error
        if row is None or row[0] is None:
            return None
        plan: Any = codec.decode(json.loads(row[0]))
        return plan if isinstance(plan, plans.Plan) else None

    def set_state(self, run: str, state: str) -> None:
        """Write the state of a run."""
        with self._transaction() as connection:
            connection.execute("UPDATE runs SET state=? WHERE run=?", (state, run))

    def set_node(self, run: str, node: owners.Owner) -> None:
        """Write which process is the run's node here."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE runs SET node_pid=?, node_start=? WHERE run=?", (node.pid, node.start, run)
            )

    def release(self, run: str) -> None:
        """Let go of a run that lives on without a controller."""
        self._write_last("UPDATE runs SET controller_pid=0, controller_start=0 WHERE run=?", (run,))

    def remove(self, run: str, run_id: str) -> None:
        """Drop a run's row once everything of it was given back."""
        self._write_last("DELETE FROM runs WHERE run=? AND run_id=?", (run, run_id))


def new_record(
    run: str, run_id: str, *, stack: str, file: str | None, folder: str, crash: tuple[str, float]
) -> Record:
    """Return a record of a run that the calling process owns."""
    return Record(
        run=run,
        run_id=run_id,
        stack=stack,
        file=file,
        folder=folder,
        state="starting",
        crash=crash[0],
        grace_s=crash[1],
        created_ns=time.time_ns(),
        controller=owners.this_process(),
        node=owners.Owner(pid=0, start=0),
        block=(0, 0),
    )


def _read(row: tuple[Any, ...]) -> Record:
    return Record(
        run=row[0],
        run_id=row[1],
        stack=row[2],
        file=row[3],
        folder=row[4],
        state=row[5],
        crash=row[6],
        grace_s=row[7],
        created_ns=row[8],
        controller=owners.Owner(pid=row[9], start=row[10]),
        node=owners.Owner(pid=row[11], start=row[12]),
        block=(row[13], row[14]),
    )
