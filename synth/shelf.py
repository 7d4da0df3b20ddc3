"""Keeps a small record per render on disk, so that a studio opened again knows its renders."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class HomeBusyError(Exception):
    """Another synth works in this home."""


class Shelf:
    """The records of one home, in a SQLite file; they survive the process, not a power cut."""

    def __init__(self, home: Path) -> None:
        """Open the shelf in `home`.

        Raises:
            HomeBusyError: another process has it open.
        """
        self._db = sqlite3.connect(home / "renders.sqlite3", timeout=0, isolation_level=None)
        try:
            # Exclusive while it is open: two studios in one home would record over each other.
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            # A crashed process loses nothing this way, and a start costs no disk flush.
            self._db.execute("PRAGMA synchronous=OFF")
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("CREATE TABLE IF NOT EXISTS renders (id TEXT PRIMARY KEY, record TEXT NOT NULL)")
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._db.close()
            message = f"{home} is in use by another synth ({error})"
            raise HomeBusyError(message) from None

    def put(self, name: str, record: dict[str, Any]) -> None:
        """Store or replace one record."""
        self._db.execute("INSERT OR REPLACE INTO renders VALUES (?, ?)", (name, json.dumps(record)))

    def drop(self, names: Iterable[str]) -> None:
        """Forget records; unknown names are no error."""
        self._db.executemany("DELETE FROM renders WHERE id = ?", ((name,) for name in names))

    def all(self) -> list[tuple[str, dict[str, Any]]]:
        """Give every record, oldest first."""
        rows = self._db.execute("SELECT id, record FROM renders ORDER BY rowid")
        return [(name, json.loads(record)) for name, record in rows]

    def close(self) -> None:
        """Let go of the home."""
        self._db.close()
