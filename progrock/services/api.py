"""A declared API, compiled: its calls, and where in their replies everything is."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from ..protocol import State
from .call import Call, expression
from .declared import Form, mistake, shown
from .headers import filled, header_name, over, secrets
from .reading import Reader

STATES = {state.value: state for state in State if state is not State.CANCELLING}
_BASE_URL = re.compile(
    r"https?://(?:[\w.-]+|\[[\da-f:.]+\])(?::(?P<port>\d{1,5}))?(?:/[\w~!$&'()*+,;=:%./-]*)?", re.ASCII | re.IGNORECASE
)


class Api:
    """A declared API, compiled.

    :raises ValueError: naming the option that cannot be, what was expected there, and what came.
    """

    def __init__(self, form: Form) -> None:
        base_url = _base_url(form.base_url)
        given = filled(("headers",), form.headers)
        common = over({"Accept": "application/json"}, given)
        if form.start is None:
            raise mistake(("start",), "the call that starts a job")
        if form.status is None and form.batch is None:
            raise mistake(("status",), "the call that looks at a job, or batch")
        self.start = Call(form.start, "start", common)
        self.status = Call(form.status, "status", common) if form.status else None
        self.batch = Call(form.batch, "batch", common) if form.batch else None
        self.cancel = Call(form.cancel, "cancel", common) if form.cancel else None
        self.find = Call(form.find, "find", common) if form.find else None
        self.result = Call(form.result, "result", common) if form.result else None
        self.file = Call(form.file, "file", over({"Accept": "*/*"}, given)) if form.file else None
        if self.file and self.file.method != "GET":
            raise mistake(("file", "call"), '"GET /path"', shown(form.file and form.file.call))
        parts = (form.start, form.status, form.batch, form.cancel, form.find, form.result, form.file)
        self.client: dict[str, Any] = {
            "base_url": base_url,
            "timeout": form.timeout,
            "connect_timeout": form.connect_timeout,
            "connections": form.connections,
            "hidden": secrets([form.headers, *(part.headers for part in parts if part)]),
            "traceparent": form.traceparent,
        }
        self.each = expression(("batch", "each"), form.batch.each) if form.batch else None
        self.size = form.batch.size if form.batch else 1
        self.started = _codes(("start", "expect"), form.start.expect)
        self.cancelled = _codes(("cancel", "expect"), form.cancel.expect) if form.cancel else ()
        self.key = header_name(("start", "key"), form.start.key)
        self.location = header_name(("start", "location"), form.start.location)
        self.named = form.start.named
        redirect = form.file.redirect if form.file else False
        self.redirect = bool(redirect)
        self.elsewhere = expression(("file", "redirect"), redirect) if isinstance(redirect, str) else None
        fields = {
            name: compiled
            for name, text in msgspec.structs.asdict(form.reading).items()
            if (compiled := expression(("reading", name), text))
        }
        _check_fields(form, fields.keys())
        self.reader = Reader(fields, {**STATES, **_states(form.states)})


def _check_fields(form: Form, fields: Collection[str]) -> None:
    location = form.start is not None and form.start.location is not None
    named = form.start is not None and form.start.named
    if location and named:
        raise mistake(("start", "location"), "one of location and named", "both")
    if "remote" not in fields:
        if not location and not named:
            expected = 'where the service\'s name for the job is, or OPTIONS["start"]["location"], or ["named"]'
            raise mistake(("reading", "remote"), expected)
        for name, part in (("batch", form.batch), ("find", None if named else form.find)):
            if part:
                raise mistake(("reading", "remote"), f'the name of a job, for OPTIONS["{name}"]')
    if location and form.batch:
        raise mistake(("start", "location"), "none beside batch, which knows jobs by their names", "both")
    if form.batch and "state" not in fields:
        raise mistake(("reading", "state"), 'how a job stands, for OPTIONS["batch"]: there a status code is no job\'s')
    if form.states and "state" not in fields:
        raise mistake(("reading", "state"), 'where the words of OPTIONS["states"] are')
    for one, other in (("done", "total"), ("total", "done")):
        if one in fields and other not in fields:
            raise mistake(("reading", other), f"one, as there is {one}")
    if "percent" in fields and "done" in fields:
        raise mistake(("reading", "percent"), "one of percent and done with total", "both")
    if "result" in fields and form.result:
        raise mistake(("reading", "result"), 'one of it and OPTIONS["result"]', "both")
    if "file" in fields and not form.file:
        raise mistake(("file",), 'a call, as there is OPTIONS["reading"]["file"]')
    if form.file and "file" not in fields:
        expected = 'where the media type of the file is, as there is OPTIONS["file"]; "\'audio/wav\'" is one for all'
        raise mistake(("reading", "file"), expected)


def _base_url(url: str | None) -> str:
    expected = "http(s)://host[:port][/path]"
    if url is None:
        raise mistake(("base_url",), expected)
    if "@" in url:
        # Not shown: this is where a password would be.
        raise mistake(("base_url",), "no user and password in it (use headers)", "some")
    found = _BASE_URL.fullmatch(url)
    if found is None or int(found["port"] or 0) > 65_535:
        raise mistake(("base_url",), expected, shown(url.partition("?")[0]))
    return url


def _codes(path: tuple[str, ...], codes: tuple[int, ...]) -> tuple[int, ...]:
    if not codes or not all(200 <= code < 300 or code == 303 for code in codes):
        raise mistake(path, "status codes from 200 to 299, or 303", shown(list(codes)))
    return codes


def _states(states: Mapping[str, str]) -> dict[str, State]:
    for word, meaning in states.items():
        if meaning not in STATES:
            raise mistake(("states", word), f"one of {', '.join(STATES)}", shown(meaning))
    return {word: STATES[meaning] for word, meaning in states.items()}
