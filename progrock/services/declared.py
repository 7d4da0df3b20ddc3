"""The form of a service that is declared in settings, and what is made of it; every mistake is found here."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from ..protocol import State
from .expression import Expression, Senseless
from .reading import Reader
from .template import Template

PRESETS = Path(__file__).parent / "presets"
STATES = {state.value: state for state in State if state is not State.CANCELLING}
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECRET_LEAST = 8
_VARIABLE = re.compile(r"\$\{(\w+)\}")

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


class Call:
    """One kind of call, ready to be made: where it goes, and what is sent."""

    # No dataclass: its headers hold credentials, which no repr shall show.

    __slots__ = ("_at", "_form", "_json", "_template", "headers", "needs")

    def __init__(self, part: Part, name: str, headers: Mapping[str, str]) -> None:
        known = NAMES[name]
        paths = known - {"params"} | ({"params."} if "params" in known else set())
        self._template: Template = _made((name, "call"), lambda: Template(part.call, frozenset(paths)))
        self._json = _expression((name, "json"), part.json, known)
        self._form = _expression((name, "form"), part.form, known)
        self._at = _expression((name, "at"), part.at)
        if self._json and self._form:
            raise _mistake((name, "form"), "one of json and form", "both")
        if self._template.method in ("GET", "HEAD") and (self._json or self._form):
            raise _mistake((name, "json" if self._json else "form"), "none with GET", _shown(part.json or part.form))
        self.headers = _over(headers, _headers((name, "headers"), part.headers))
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


class Api:
    """A declared service, compiled."""

    def __init__(self, form: Form) -> None:
        base_url = _base_url(form.base_url)
        given = _headers(("headers",), form.headers)
        headers = _over({"Accept": "application/json"}, given)
        if form.start is None:
            raise _mistake(("start",), "the call that starts a job")
        if form.status is None and form.batch is None:
            raise _mistake(("status",), "the call that looks at a job, or batch")
        self.start = Call(form.start, "start", headers)
        self.status = Call(form.status, "status", headers) if form.status else None
        self.batch = Call(form.batch, "batch", headers) if form.batch else None
        self.cancel = Call(form.cancel, "cancel", headers) if form.cancel else None
        self.find = Call(form.find, "find", headers) if form.find else None
        self.result = Call(form.result, "result", headers) if form.result else None
        self.file = Call(form.file, "file", _over({"Accept": "*/*"}, given)) if form.file else None
        if self.file and self.file.method != "GET":
            raise _mistake(("file", "call"), '"GET /path"', _shown(form.file and form.file.call))
        self.client: dict[str, Any] = {
            "base_url": base_url,
            "timeout": form.timeout,
            "connect_timeout": form.connect_timeout,
            "connections": form.connections,
            "hidden": _secrets(form),
        }
        self.each = _expression(("batch", "each"), form.batch.each) if form.batch else None
        self.size = form.batch.size if form.batch else 1
        self.started = _codes(("start", "expect"), form.start.expect)
        self.cancelled = _codes(("cancel", "expect"), form.cancel.expect) if form.cancel else ()
        self.key = _header_name(("start", "key"), form.start.key)
        self.location = _header_name(("start", "location"), form.start.location)
        self.named = form.start.named
        redirect = form.file.redirect if form.file else False
        self.redirect = bool(redirect)
        self.elsewhere = _expression(("file", "redirect"), redirect) if isinstance(redirect, str) else None
        fields = {
            name: compiled
            for name, text in msgspec.structs.asdict(form.reading).items()
            if (compiled := _expression(("reading", name), text))
        }
        _check_fields(form, fields.keys())
        self.reader = Reader(fields, {**STATES, **_states(form.states)})


def declared(options: Mapping[str, Any]) -> Api:
    """Return a service as its options declare it.

    :raises ValueError: naming the option that cannot be, what was expected there, and what came.
    """
    given = dict(options)
    name = given.get("preset")
    if name is not None:
        given = _merged(_preset(name), given)
    try:
        form = msgspec.convert(given, Form)
    except msgspec.ValidationError as error:
        raise ValueError(_translated(str(error))) from None
    return Api(form)


def presets() -> list[str]:
    """Return the names of the presets that there are."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def _preset(name: object) -> dict[str, Any]:
    known = presets()
    if name not in known:
        raise _mistake(("preset",), f"one of {', '.join(known) or 'none'}", _shown(name))
    return tomllib.loads((PRESETS / f"{name}.toml").read_text())


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return the one with the other's keys over it, key by key; None above takes away what is below."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merged(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def _check_fields(form: Form, fields: Any) -> None:
    location = form.start is not None and form.start.location is not None
    named = form.start is not None and form.start.named
    if location and named:
        raise _mistake(("start", "location"), "one of location and named", "both")
    if "remote" not in fields:
        if not location and not named:
            expected = 'where the service\'s name for the job is, or OPTIONS["start"]["location"], or ["named"]'
            raise _mistake(("reading", "remote"), expected)
        for name, part in (("batch", form.batch), ("find", None if named else form.find)):
            if part:
                raise _mistake(("reading", "remote"), f'the name of a job, for OPTIONS["{name}"]')
    if location and form.batch:
        raise _mistake(("start", "location"), "none beside batch, which knows jobs by their names", "both")
    for one, other in (("done", "total"), ("total", "done")):
        if one in fields and other not in fields:
            raise _mistake(("reading", other), f"one, as there is {one}")
    if "percent" in fields and "done" in fields:
        raise _mistake(("reading", "percent"), "one of percent and done with total", "both")
    if "result" in fields and form.result:
        raise _mistake(("reading", "result"), 'one of it and OPTIONS["result"]', "both")
    if "file" in fields and not form.file:
        raise _mistake(("file",), 'a call, as there is OPTIONS["reading"]["file"]')
    if form.file and "file" not in fields:
        expected = 'where the media type of the file is, as there is OPTIONS["file"]; "\'audio/wav\'" is one for all'
        raise _mistake(("reading", "file"), expected)


def _base_url(url: str | None) -> str:
    expected = "http(s)://host[:port][/path]"
    if url is None:
        raise _mistake(("base_url",), expected)
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise _mistake(("base_url",), expected, "something else") from None
    if "@" in parts.netloc:
        # Not shown: this is where a password would be.
        raise ValueError('OPTIONS["base_url"]: expected no user and password in it (use headers), got some.')
    del port
    path = parts.path
    if (
        parts.scheme not in ("http", "https")
        or not host
        or "?" in url
        or "#" in url
        or "\\" in url
        or not url.isprintable()
        or " " in url
        or quote(path, safe="/~!$&'()*+,;=:@%") != path
    ):
        raise _mistake(("base_url",), expected, _shown(url.partition("?")[0]))
    return url


def _headers(path: tuple[str, ...], headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers with the environment in them. Their values are never shown: credentials are there."""
    made = {}
    for name, text in headers.items():
        where = (*path, name)
        _header_name(where, name)
        for variable in _VARIABLE.findall(text):
            if not os.environ.get(variable):
                raise _mistake(where, f"the environment variable {variable}")
        if "${" in _VARIABLE.sub("", text):
            raise ValueError(f"{_where(where)}: expected ${{NAME}} for what the environment has, got another form.")
        value = _VARIABLE.sub(lambda match: os.environ[match[1]], text)
        if not (value.isprintable() and value.isascii()):
            raise ValueError(f"{_where(where)}: expected printable ASCII characters, got others.")
        made[name] = value
    return made


def _over(below: Mapping[str, str], above: Mapping[str, str]) -> dict[str, str]:
    """Return headers with others over them, whatever their case."""
    names = {name.lower() for name in above}
    return {**{name: value for name, value in below.items() if name.lower() not in names}, **above}


def _secrets(form: Form) -> set[str]:
    """Return what the headers have from the environment; a short word may stand anywhere, and is no secret."""
    parts = [form, form.start, form.status, form.batch, form.cancel, form.find, form.result, form.file]
    texts = [text for part in parts if part for text in part.headers.values()]
    values = {os.environ[name] for text in texts for name in _VARIABLE.findall(text)}
    return {value for value in values if len(value) >= _SECRET_LEAST}


def _header_name(path: tuple[str, ...], name: str | None) -> str | None:
    if name is not None and not _HEADER.fullmatch(name):
        raise _mistake(path, "the name of a header", _shown(name))
    return name


def _codes(path: tuple[str, ...], codes: tuple[int, ...]) -> tuple[int, ...]:
    if not codes or not all(200 <= code < 300 or code == 303 for code in codes):
        raise _mistake(path, "status codes from 200 to 299, or 303", _shown(list(codes)))
    return codes


def _states(states: Mapping[str, str]) -> dict[str, State]:
    for word, meaning in states.items():
        if meaning not in STATES:
            raise _mistake(("states", word), f"one of {', '.join(STATES)}", _shown(meaning))
    return {word: STATES[meaning] for word, meaning in states.items()}


def _expression(path: tuple[str, ...], text: str | None, names: frozenset[str] | None = None) -> Expression | None:
    return None if text is None else _made(path, lambda: Expression(text, names))


def _made(path: tuple[str, ...], make: Any) -> Any:
    try:
        return make()
    except ValueError as error:
        raise ValueError(f"{_where(path)}: {error}.") from None


def _mistake(path: tuple[str, ...], expected: str, got: str = "none") -> ValueError:
    return ValueError(f"{_where(path)}: expected {expected}, got {got}.")


def _shown(value: object) -> str:
    return repr(value)[:200]


def _where(path: tuple[str, ...]) -> str:
    return "OPTIONS" + "".join(f'["{key}"]' for key in path)


def _translated(error: str) -> str:
    """Return msgspec's words for a mistake in ours: with the setting's name, and without its value."""
    says, _, at = error.partition(" - at ")
    path = tuple(re.findall(r"\.(\w+)", at))
    if unknown := re.search(r"unknown field `(.*)`", says):
        form = FORMS[path[0]] if path else Form
        known = ", ".join(sorted(form.__struct_fields__))
        return str(_mistake((*path, unknown[1]), f"one of {known}", _shown(unknown[1])))
    if missing := re.search(r"missing required field `(.*)`", says):
        return str(_mistake((*path, missing[1]), "a value"))
    return f"{_where(path)}: {says[:1].lower()}{says[1:]}."


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
