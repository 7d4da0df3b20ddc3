"""Values of the environment, checked: one that is something else than expected is one clear error."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def flag(name: str, default: bool) -> bool:
    """Return a yes or no, the default if it is not set or empty.

    :raises ImproperlyConfigured: if it is neither 1 nor 0.
    """
    value = os.environ.get(name) or str(int(default))
    if value not in ("0", "1"):
        raise ImproperlyConfigured(f"Expected {name} as 1 or 0 in the environment, got {value!a:.40}.")
    return value == "1"


def whole(name: str, default: int) -> int:
    """Return a whole number from 0 on, the default if it is not set or empty.

    :raises ImproperlyConfigured: if it is none.
    """
    value = os.environ.get(name) or str(default)
    if not (value.isascii() and value.isdigit() and len(value) <= 15):
        raise ImproperlyConfigured(f"Expected {name} as a whole number in the environment, got {value!a:.40}.")
    return int(value)


def wholes(*names: str) -> dict[str, int]:
    """Return those of the whole numbers that are set, by name.

    :raises ImproperlyConfigured: if one of them is none.
    """
    return {name: whole(name, 0) for name in names if os.environ.get(name)}


def words(name: str) -> list[str]:
    """Return what is separated by spaces; empty if it is not set."""
    return os.environ.get(name, "").split()


def secret(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return what the variable says, else the text of the file that `<name>_FILE` names, else nothing.

    :param name: of the variable, such as `SECRET_KEY`.
    :raises ImproperlyConfigured: if that file cannot be read, or has nothing in it. It never says what is in it.
    """
    if given := environ.get(name):
        return given
    path = environ.get(f"{name}_FILE")
    if not path:
        return ""
    try:
        text = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ImproperlyConfigured(
            f"Expected {name}_FILE to name a file that can be read, got {path!r}: {why}."
        ) from None
    if not text:
        raise ImproperlyConfigured(f"Expected the file that {name}_FILE names to say something, got {path!r}, empty.")
    return text
