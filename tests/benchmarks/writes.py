"""Counts what a process writes to its databases, and leaves the number behind when it ends."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

_WRITES = ("INSERT", "UPDATE", "DELETE")
_counted = 0


def _watch(connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    if _execute not in connection.execute_wrappers:
        connection.execute_wrappers.append(_execute)


def _execute(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    global _counted
    if sql.startswith(_WRITES):
        _counted += 1
    return execute(sql, params, many, context)


def count(folder: Path) -> None:
    """Count from now on, on every connection that is opened.

    :param folder: where the number is left, as a file `.writes`.
    """
    connection_created.connect(_watch)
    atexit.register(lambda: (folder / f"{os.getpid()}.writes").write_text(str(_counted)))
