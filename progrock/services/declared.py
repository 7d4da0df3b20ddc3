"""The form of a service that is declared in settings, presets included, and the names of what is wrong in it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

PRESETS = Path(__file__).parent / "presets"

_TYPES = (("object", "dict"), ("array", "list"), ("null", "None"))
"""Words of JSON, in which msgspec thinks, and of Python, in which settings are written."""

Milliseconds = Annotated[int, msgspec.Meta(ge=1, le=3_600_000)]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One kind of call.

    :param call: `METHOD /path`, a URI template below the base URL.
    :param headers: those that it has beside, or instead of, the service's.
    :param json: an expression for what is sent, as JSON.
    :param form: the same as a form: an object of texts, numbers and lists of them.
    :param at: an expression for where in the reply the job is.
    """

    call: str
    headers: dict[str, str] = {}
    json: str | None = None
    form: str | None = None
    at: str | None = None


class Start(Part, frozen=True):
    """The call that starts a job.

    :param key: name of a header that has the job's id, which makes a start sent twice one job out there.
    :param expect: status codes that mean that it was started.
    :param location: name of a header of the reply, whose URL is the service's name for the job.
    :param named: whether the service takes the job's id, which the call gives it, as its own name for the job.
    """

    key: str | None = None
    expect: tuple[int, ...] = (200, 201, 202)
    location: str | None = None
    named: bool = False


class Status(Part, frozen=True):
    """The call that looks at one job."""


class Batch(Part, frozen=True):
    """The call that looks at many jobs.

    :param each: an expression for where in the reply the list of jobs is.
    :param size: how many jobs to ask for with one call.
    """

    each: str
    size: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 250


class Cancel(Part, frozen=True):
    """The call that asks for a job's end.

    :param expect: status codes that mean that it was heard.
    """

    expect: tuple[int, ...] = (200, 201, 202, 204)


class Find(Part, frozen=True):
    """The call that looks for a job by our id of it."""


class Result(Part, frozen=True):
    """The call that brings a finished job's result, if its status does not."""


class Download(Part, frozen=True):
    """The call that brings a finished job's file.

    :param redirect: whether browsers are sent where the reply's Location says; or an expression for where, over the
        reply's JSON. If not, the file is streamed through.
    """

    redirect: bool | str = False


class Fields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Expressions for where in a reply the parts of a reading are.

    :param remote: the service's name for the job.
    :param state: how it stands; `states` says what the words mean.
    :param percent: 0 to 100.
    :param done: how much is done, of `total`: instead of a percentage.
    :param total: how much there is to do.
    :param message: what is going on, for people.
    :param title: what the service calls the job.
    :param result: any JSON.
    :param error: why it failed, for people.
    :param file: media type of the finished file; anything else that is there means that there is a file.
    :param again: seconds that the service asks us to wait.
    :param lines: all that the service has said of the job so far: a list of text, or of objects with `text`, `level`
        and `data`.
    """

    remote: str | None = None
    state: str | None = None
    percent: str | None = None
    done: str | None = None
    total: str | None = None
    message: str | None = None
    title: str | None = None
    result: str | None = None
    error: str | None = None
    file: str | None = None
    again: str | None = None
    lines: str | None = None


class Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of :class:`~progrock.services.HTTPService`.

    :param preset: name of a file in `presets/` that these options complete.
    :param base_url: scheme, host and optional path prefix; nothing else is ever called.
    :param headers: those that every call has; `${NAME}` in them is that variable of the environment.
    :param start: the call that starts a job.
    :param status: the call that looks at one job; this or `batch`.
    :param batch: the call that looks at many.
    :param cancel: the call that asks for a job's end.
    :param find: the call that looks for a job by our id of it.
    :param result: the call that brings a finished job's result.
    :param file: the call that brings a finished job's file.
    :param reading: where in the replies the parts of a reading are.
    :param states: what the service's words for a state mean; our own words are known.
    :param timeout: milliseconds for a whole call.
    :param connect_timeout: milliseconds for the connection alone.
    :param connections: how many calls may be on the way at once.
    :param traceparent: whether calls say to which trace they belong.
    """

    preset: str | None = None
    base_url: str | None = None
    headers: dict[str, str] = {}
    start: Start | None = None
    status: Status | None = None
    batch: Batch | None = None
    cancel: Cancel | None = None
    find: Find | None = None
    result: Result | None = None
    file: Download | None = None
    reading: Fields = Fields()
    states: dict[str, str] = {}
    timeout: Milliseconds = 10_000
    connect_timeout: Milliseconds = 3_000
    connections: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50
    traceparent: bool = False


FORMS: Mapping[str, type[msgspec.Struct]] = {
    "start": Start,
    "status": Status,
    "batch": Batch,
    "cancel": Cancel,
    "find": Find,
    "result": Result,
    "file": Download,
    "reading": Fields,
}
"""The forms inside the form, by key."""


def declared(options: Mapping[str, Any]) -> Form:
    """Return the options of a service, those of its preset included.

    :raises ValueError: naming the option that cannot be, what was expected there, and what came.
    """
    given = dict(options)
    name = given.get("preset")
    if name is not None:
        given = _merged(_preset(name), given)
    try:
        return msgspec.convert(given, Form)
    except msgspec.ValidationError as error:
        raise ValueError(_translated(str(error))) from None


def presets() -> list[str]:
    """Return the names of the presets that there are."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def mistake(path: tuple[str, ...], expected: str, got: str = "none") -> ValueError:
    """Return the error for an option that cannot be: where it is, what was expected there, and what came."""
    return ValueError(f"{where(path)}: expected {expected}, got {got}.")


def where(path: tuple[str, ...]) -> str:
    """Return an option's name as settings have it."""
    return "OPTIONS" + "".join(f'["{key}"]' for key in path)


def shown(value: object) -> str:
    """Return a value for a message; no header's, for credentials are there."""
    return repr(value)[:200]


def _preset(name: object) -> dict[str, Any]:
    known = presets()
    if name not in known:
        raise mistake(("preset",), f"one of {', '.join(known) or 'none'}", shown(name))
    return tomllib.loads((PRESETS / f"{name}.toml").read_text())


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return the one with the other's keys over it, key by key; None above takes away what is below."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merged(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def _translated(error: str) -> str:
    """Return msgspec's words for a mistake in ours: with the setting's name, and without its value."""
    says, _, at = error.partition(" - at ")
    path = tuple(re.findall(r"\.(\w+)", at))
    if unknown := re.search(r"unknown field `(.*)`", says):
        form = FORMS[path[0]] if path else Form
        known = ", ".join(sorted(form.__struct_fields__))
        return str(mistake((*path, unknown[1]), f"one of {known}", shown(unknown[1])))
    if missing := re.search(r"missing required field `(.*)`", says):
        return str(mistake((*path, missing[1]), "a value"))
    for theirs, ours in _TYPES:
        says = re.sub(rf"\b{theirs}\b(?=[^`]*`)", ours, says)
    return f"{where(path)}: {says[:1].lower()}{says[1:]}."
