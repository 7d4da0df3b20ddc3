"""Headers as settings have them: checked, and with values of the environment, which nobody gets to see."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from .declared import mistake, shown, where

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
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
        for variable in _VARIABLE.findall(text):
            if not os.environ.get(variable):
                raise mistake(at, f"the environment variable {variable}")
        if "${" in _VARIABLE.sub("", text):
            raise ValueError(f"{where(at)}: expected ${{NAME}} for what the environment has, got another form.")
        value = _VARIABLE.sub(lambda match: os.environ[match[1]], text)
        if not (value.isprintable() and value.isascii()):
            raise ValueError(f"{where(at)}: expected printable ASCII characters, got others.")
        made[name] = value
    return made


def over(below: Mapping[str, str], above: Mapping[str, str]) -> dict[str, str]:
    """Return headers with others over them, whatever their case."""
    names = {name.lower() for name in above}
    return {**{name: value for name, value in below.items() if name.lower() not in names}, **above}


def secrets(headers: Iterable[Mapping[str, str]]) -> set[str]:
    """Return what headers have from the environment; a short word may stand anywhere, and is no secret."""
    names = {name for each in headers for text in each.values() for name in _VARIABLE.findall(text)}
    return {value for name in names if len(value := os.environ[name]) >= _SECRET_LEAST}


def header_name(path: tuple[str, ...], name: str | None) -> str | None:
    """Return the name of a header, if there is one and it can be one."""
    if name is not None and not _NAME.fullmatch(name):
        raise mistake(path, "the name of a header", shown(name))
    return name
