"""What became of each series, in an SQLite database that survives a power cut."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ratcli.errors import UsageError

STATES = ("received", "restoring", "restored", "sent", "ignored", "failed")

_TABLES = """
CREATE TABLE IF NOT EXISTS series (
    key TEXT PRIMARY KEY, route TEXT NOT NULL, state TEXT NOT NULL, changed REAL NOT NULL,
    reason TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS deliveries (
    key TEXT NOT NULL, destination TEXT NOT NULL, made REAL NOT NULL,
    refusals INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL DEFAULT 0,
    "transaction" TEXT NOT NULL DEFAULT '', PRIMARY KEY (key, destination));
"""
_SERIES = "SELECT key, route, state, changed, reason FROM series"
_THIS = "WHERE key = ? AND destination = ? AND made = ?"


@dataclass(frozen=True)
class Entry:
    """A series in the queue.

    Attributes:
        key: name of the series and of its folder; nothing of a patient.
        route: name of its route.
        state: one of `STATES`.
        changed: when it got that state, in seconds since 1970.
        reason: why it failed or was ignored.
    """

    key: str
    route: str
    state: str
    changed: float
    reason: str


@dataclass(frozen=True)
class Delivery:
    """A series that is to be sent to a destination.

    Attributes:
        key: of the series.
        destination: its name.
        made: when the series was restored; tells this result from one that replaces it.
        refusals: how often the destination refused it.
        tries: how often it was tried since it last worked.
        transaction: UID of the storage commitment that is awaited; empty for none.
    """

    key: str
    destination: str
    made: float
    refusals: int
    tries: int
    transaction: str


class Queue:
    """The database; all methods may be called from any thread.

    A change is on the disk when its method returns.

    Args:
        path: the file; it is made if it does not exist.

    Raises:
        UsageError: it cannot be opened, or is not a database.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=FULL")
            self._database.executescript(_TABLES)
        except sqlite3.Error as error:
            raise UsageError(
                f"the queue {path.name} cannot be opened: {error}",
                hint="Run this as the user of the node, and see that the disk is not full.",
            ) from error

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def restart(self) -> None:
        """Put back what was being restored when the process ended."""
        self._change("UPDATE series SET state = 'received' WHERE state = 'restoring'")

    def receive(self, key: str, route: str) -> None:
        """Record that something of a series comes in; what was restored of it is outdated."""
        with self._together():
            self._change("DELETE FROM deliveries WHERE key = ?", key)
            self._change(
                "INSERT OR REPLACE INTO series (key, route, state, changed) "
                "VALUES (?, ?, 'received', ?)", key, route, time.time(),
            )  # fmt: skip

    def change(self, key: str, old: str, new: str, reason: str = "") -> bool:
        """Give a series another state; return False if it did not have the old one."""
        return self._change(
            "UPDATE series SET state = ?, changed = ?, reason = ? WHERE key = ? AND state = ?",
            new, time.time(), reason, key, old,
        ) == 1  # fmt: skip

    def restored(self, key: str, destinations: Sequence[str]) -> None:
        """Record that a series is restored and is to be sent."""
        with self._together():
            for name in destinations:
                self._change(
                    "INSERT OR REPLACE INTO deliveries (key, destination, made) VALUES (?, ?, ?)",
                    key, name, time.time(),
                )  # fmt: skip
            self.change(key, "restoring", "restored")

    def delivered(self, delivery: Delivery) -> None:
        """Record that a destination has a series; with the last destination it is `sent`."""
        with self._together():
            self._change(
                f"DELETE FROM deliveries {_THIS}",
                delivery.key, delivery.destination, delivery.made,
            )  # fmt: skip
            if not self._rows("SELECT 1 FROM deliveries WHERE key = ?", delivery.key):
                self.change(delivery.key, "restored", "sent")

    def postpone(
        self, delivery: Delivery, seconds: float, *, refused: bool = False, transaction: str = ""
    ) -> None:
        """Try a delivery again after some time.

        Args:
            delivery: the delivery.
            seconds: how long to wait.
            refused: whether the destination refused it, rather than being out of reach.
            transaction: UID of the storage commitment that is awaited.
        """
        self._change(
            "UPDATE deliveries SET tries = tries + ?, refusals = refusals + ?, due = ?, "
            f'"transaction" = ? {_THIS}',
            int(not transaction), int(refused), time.time() + seconds, transaction,
            delivery.key, delivery.destination, delivery.made,
        )  # fmt: skip

    def due(self, destination: str) -> list[Delivery]:
        """Return what is to be sent to a destination now, oldest first."""
        return [Delivery(*row) for row in self._rows(
            "SELECT d.key, d.destination, d.made, d.refusals, d.tries, d.\"transaction\" "
            "FROM deliveries d JOIN series s ON s.key = d.key "
            "WHERE d.destination = ? AND d.due <= ? AND s.state = 'restored' ORDER BY s.changed",
            destination, time.time(),
        )]  # fmt: skip

    def awaiting(self, transaction: str) -> Delivery | None:
        """Return the delivery that awaits a storage commitment, or None."""
        rows = self._rows(
            'SELECT key, destination, made, refusals, tries, "transaction" FROM deliveries '
            'WHERE "transaction" = ?', transaction,
        )  # fmt: skip
        return Delivery(*rows[0]) if rows else None

    def entries(self, *states: str) -> list[Entry]:
        """Return the series in some states, those that are longest in theirs first."""
        marks = ", ".join("?" * len(states))
        return [Entry(*row) for row in self._rows(
            "SELECT key, route, state, changed, reason FROM series "
            f"WHERE state IN ({marks}) ORDER BY changed", *states,
        )]  # fmt: skip

    def entry(self, key: str) -> Entry | None:
        """Return a series, or None if there is none of that key."""
        rows = self._rows(f"{_SERIES} WHERE key = ?", key)
        return Entry(*rows[0]) if rows else None

    def counts(self) -> dict[str, int]:
        """Return how many series are in each state."""
        found = dict(self._rows("SELECT state, COUNT(*) FROM series GROUP BY state"))
        return {state: found.get(state, 0) for state in STATES}

    def waiting(self) -> dict[str, int]:
        """Return how many series each destination is still to get."""
        return dict(
            self._rows(
                "SELECT destination, COUNT(*) FROM deliveries d JOIN series s ON s.key = d.key "
                "WHERE s.state = 'restored' GROUP BY destination"
            )
        )

    def remove(self, key: str, state: str) -> bool:
        """Forget a series; return False if it did not have that state."""
        return self._change("DELETE FROM series WHERE key = ? AND state = ?", key, state) == 1

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Make several changes one: all of them are on the disk, or none."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def _change(self, statement: str, *values: object) -> int:
        """Run a statement; return how many rows it changed."""
        with self._lock:
            return self._database.execute(statement, values).rowcount

    def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._database.execute(statement, values).fetchall()
