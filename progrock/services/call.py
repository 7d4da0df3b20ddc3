"""A kind of call that an API has: where it goes, what is sent, and where in the reply the job is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from ..expression import Expression, Senseless
from .declared import Part, mistake, shown, where
from .headers import filled, over
from .template import Template

M = TypeVar("M")

NAMES = {
    "start": frozenset({"job", "params", "hook"}),
    "status": frozenset({"remote"}),
    "batch": frozenset({"remotes"}),
    "cancel": frozenset({"remote"}),
    "find": frozenset({"job"}),
    "result": frozenset({"remote"}),
    "file": frozenset({"remote"}),
}
"""What each call knows: the variables of its path and its expressions."""
_SAID = {name: known for name, known in NAMES.items() if name not in ("start", "batch")}
"""What each call that is about one job has to say, as all jobs are the same without it."""


class Call:
    """One kind of call, ready to be made: where it goes, and what is sent."""

    # Not a struct: its headers hold credentials, which no repr shall show.
    __slots__ = ("_at", "_form", "_json", "_template", "headers", "needs")

    def __init__(self, part: Part, name: str, headers: Mapping[str, str]) -> None:
        known = NAMES[name]
        paths = known - {"params"} | ({"params."} if "params" in known else set())
        self._template = _made((name, "call"), lambda: Template(part.call, frozenset(paths)))
        self._json = expression((name, "json"), part.json, known)
        self._form = expression((name, "form"), part.form, known)
        self._at = expression((name, "at"), part.at)
        if self._json and self._form:
            raise mistake((name, "form"), "one of json and form", "both")
        if self._template.method in ("GET", "HEAD") and (self._json or self._form):
            raise mistake((name, "json" if self._json else "form"), "none with GET", shown(part.json or part.form))
        for variable in _SAID.get(name, ()):
            sent = part.json or part.form or ""
            if variable not in self._template.names and not re.search(rf"\b{variable}\b|@", sent):
                raise mistake(
                    (name, "call"), f"{{{variable}}} in the path, or {variable} in json or form", shown(part.call)
                )
        self.headers = over(headers, filled((name, "headers"), part.headers))
        self.needs = sorted(each.removeprefix("params.") for each in self._template.names if "." in each)
        """The parameters that must be there for the path."""

    @property
    def method(self) -> str:
        """The HTTP method."""
        return self._template.method

    @property
    def names(self) -> frozenset[str]:
        """The variables of the path."""
        return self._template.names

    def path(self, values: Mapping[str, Any]) -> str | None:
        """Return where it goes with these values; None if that would be out of the base URL."""
        if self.needs:
            params = {f"params.{name}": _scalar(values["params"].get(name)) for name in self.needs}
            values = {**{name: value for name, value in values.items() if name != "params"}, **params}
        return self._template.path(values)

    def sent(self, values: Mapping[str, Any]) -> tuple[bytes, str] | None:
        """Return what is sent and its media type; None if nothing is.

        :raises Senseless: if these values do not make it.
        """
        if self._json:
            return msgspec.json.encode(self._json(values)), "application/json"
        if self._form:
            return _form(self._form(values)), "application/x-www-form-urlencoded"
        return None

    def job(self, body: object) -> Any:
        """Return the job in a reply.

        :raises Senseless: if the expression for it has no answer.
        """
        return self._at(body) if self._at else body


def expression(path: tuple[str, ...], text: str | None, names: frozenset[str] | None = None) -> Expression | None:
    """Return an expression of the options compiled, if it is there.

    :raises ValueError: naming the option, and what is wrong where in it.
    """
    return None if text is None else _made(path, lambda: Expression(text, names))


def _made(path: tuple[str, ...], make: Callable[[], M]) -> M:
    """Return what is made of an option.

    :raises ValueError: naming the option beside what is wrong in it.
    """
    try:
        return make()
    except ValueError as error:
        raise ValueError(f"{where(path)}: {error}.") from None


def _scalar(value: object) -> str | None:
    """Return a parameter as a path has it, None if it has no place there."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) and value != "" else None


def _form(fields: object) -> bytes:
    if not isinstance(fields, dict):
        raise Senseless("expected an object for a form")
    pairs = []
    for name, value in fields.items():
        for each in value if isinstance(value, list) else [value]:
            if each is None:
                continue
            text = "" if each == "" else _scalar(each)
            if text is None:
                raise Senseless(f"expected text or a number for {name!r} in a form")
            pairs.append((name, text))
    return urlencode(pairs).encode()
