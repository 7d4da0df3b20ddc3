"""Headers as settings have them: checked, and with values of the environment, which nobody gets to see."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from ..environment import fill, named
from .declared import mistake, shown, where

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PRIVATE = re.compile("authorization|cookie|key$|passw|secret|signature|token", re.IGNORECASE)
_OURS = frozenset({"accept-encoding", "connection", "content-length", "transfer-encoding"})
_SECRET_LEAST = 8


def filled(path: tuple[str, ...], headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers with the environment in them.

    :param path: where they stand in the options.
    :raises ValueError: naming the header that cannot be, but not its value.
    """
    made = {}
    for name, text in headers.items():
        at = (*path, name)
        header_name(at, name)
        if name.lower() in _OURS:
            raise mistake(at, "none that the connection has", shown(name))
        try:
            value = fill(text)
        except ValueError as error:
            raise ValueError(f"{where(at)}: {error}.") from None
        if not (value.isprintable() and value.isascii()):
            raise mistake(at, "printable ASCII characters", "others")
        made[name] = value
    return made


def over(below: Mapping[str, str], above: Mapping[str, str]) -> dict[str, str]:
    """Return headers with others over them, whatever their case."""
    names = {name.lower() for name in above}
    return {**{name: value for name, value in below.items() if name.lower() not in names}, **above}


def secrets(headers: Iterable[Mapping[str, str]]) -> set[str]:
    """Return the credentials in headers: what is from the environment, and what stands in a header made for one.

    A short word may stand anywhere, and is no secret.
    """
    texts = [(name, text) for each in headers for name, text in each.items()]
    found = {os.environ[variable] for _, text in texts for variable in named(text)}
    for name, text in texts:
        if _PRIVATE.search(name):
            words = fill(text).split()
            # Without the scheme, as Bearer.
            found.update(words[1:] or words)
    return {value for value in found if len(value) >= _SECRET_LEAST}


def header_name(path: tuple[str, ...], name: str | None) -> str | None:
    """Return the name of a header, if there is one and it can be one."""
    if name is not None and not _NAME.fullmatch(name):
        raise mistake(path, "the name of a header", shown(name))
    return name
