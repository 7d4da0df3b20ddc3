"""The description of what is served here (OpenAPI 3.1): the types are those of the protocol, the routes a table."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any, NamedTuple

import msgspec
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from ..protocol import SEQ_MOST, VERSION, Start, Text64
from ..schema import definitions
from ..subscriptions import CHANNELS_MOST
from . import asked, problem
from .jobs import PAGE, PAGE_MOST
from .problem import Problem
from .report import HeardBody, ReportBody, TrackBody, TrackedBody
from .route import route
from .shared import ShareBody, SharedBody
from .stream import MEDIA_TYPE as EVENTS
from .updates import JOBS_MOST

_JSON, _HTML, _TEXT, _FORM = "application/json", "text/html", "text/plain", "application/x-www-form-urlencoded"
_TEXT_SCHEMA = {"type": "string"}
_ID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_EVENTS: dict[str, Any] = {}
"""Nothing that OpenAPI 3.1 could describe: the frames are those of the protocol's own schema."""


class Operation(NamedTuple):
    """One method of one URL.

    :param says: what it does.
    :param answers: by status, what it means and the schema of its JSON, or its media types if it is none.
    :param refuses: the statuses of problems.
    :param query: its parameters beside those of the path.
    :param body: the schema of the JSON that it takes, if it is that of a program which has a token, and no session.
    """

    says: str
    answers: dict[int, tuple[str, Any]]
    refuses: tuple[int, ...]
    query: tuple[dict[str, Any], ...] = ()
    body: str = ""


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _in(place: str, name: str, says: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"in": place, "name": name, "description": says, "schema": schema, **more}


_CURSOR = {"type": "integer", "minimum": 0, "maximum": SEQ_MOST}
_FLAG = {"type": "integer", "enum": [0, 1]}
_AFTER = _in("query", "after", "The cursor: the seq of the newest snapshot of the job that you have.", _CURSOR)
_WAIT = _in(
    "query",
    "wait",
    "Seconds that the answer may wait for news.",
    {"type": "number", "minimum": 0, "maximum": asked.WAIT_MOST},
)
_PREFER = _in("header", "Prefer", "wait=<seconds>, the same.", {"type": "string"})
_KNOWN = _in("header", "If-None-Match", "The ETag that you have.", {"type": "string"})
_LAST = _in("header", "Last-Event-ID", "The cursor, before `after`.", {"type": "string"})
_PRINTABLE = {"type": "string", "minLength": 1, "maxLength": 64, "description": "Printable characters."}
_KEY = _in("header", "Idempotency-Key", "Your own name for this start: the same name is the same job.", _PRINTABLE)
_BEFORE = _in(
    "query",
    "before",
    "The cursor of a page, as `next` has it.",
    {"type": "string", "pattern": rf"^[0-9]{{1,16}}\.{_ID}$"},
)
_LIMIT = _in(
    "query",
    "limit",
    "Jobs on a page.",
    {"type": "integer", "minimum": 1, "maximum": PAGE_MOST, "default": PAGE},
)
_PARENT = _in("query", "parent", "A job whose children are listed instead.", {"type": "string", "format": "uuid"})
_OWNER = _in(
    "query",
    "owner",
    "Whose jobs, of others than mine, if I may list them; * is everybody's.",
    {"type": "string", "pattern": r"^[ -~]{1,120}$"},
)
_SHARED = _in("query", "share", "The token of a share link: who has one may watch that job.", {"type": "string"})
_WHO = _in("query", "who", "For whom the page was made, as it says itself: 401 to somebody else.", _TEXT_SCHEMA)
_REDIRECT = _in("query", "redirect", "1: go on to the result once it has succeeded.", _FLAG)
_LIST = _in("query", "list", "1: all of my jobs.", _FLAG)
_SINCE = _in("query", "since", "The list is news if it is newer than this: `now` of the last answer.", _CURSOR)
_JOBS = _in(
    "query",
    "job",
    "Ids of jobs, each with its cursor after a colon, if there is one.",
    {
        "type": "array",
        "maxItems": JOBS_MOST,
        "items": {"type": "string", "pattern": rf"^{_ID}(:[0-9]{{1,15}})?$"},
    },
    explode=True,
    style="form",
)
_CHANNELS = _in(
    "query",
    "channel",
    "Channels whose events the stream is to bring.",
    {"type": "array", "maxItems": CHANNELS_MOST, "items": {"type": "string", "minLength": 1, "maxLength": 100}},
    explode=True,
    style="form",
)
_ROWS_AFTER = _in(
    "query",
    "after",
    "The cursor, as the last answer or event had it.",
    {"type": "string", "pattern": r"^[0-9]{1,15}(\.[0-9]{1,10})?$"},
)
_SHOW = _in("query", "show", "The template and the mode, as a page of the site has signed them.", _TEXT_SCHEMA)
_TICKET = {
    "type": "object",
    "properties": {"ticket": _TEXT_SCHEMA, "expires": {"type": "integer"}},
    "required": ["ticket", "expires"],
}
_PAGE_OR = {_HTML: _TEXT_SCHEMA}

ROUTES: dict[str, dict[str, Operation]] = {
    "/jobs/": {
        "get": Operation(
            "List my jobs, newest first: those that have no parent, or the children of one.",
            {200: ("A page of them.", {_JSON: _ref("JobsPage"), **_PAGE_OR})},
            (400, 401, 404, 503),
            (_LIMIT, _BEFORE, _PARENT, _OWNER, _WHO),
        ),
        "post": Operation(
            "Start a job.",
            {202: ("It is on its way.", _ref("AcceptedFrame")), 303: ("Go there, if you are a browser's form.", None)},
            (400, 413, 415, 422, 429, 503),
            (_KEY,),
        ),
    },
    "/jobs/{job}/": {
        "get": Operation(
            "Say how a job stands; if asked to wait, once there is something new.",
            {
                200: ("How it stands.", {_JSON: _ref("SnapshotFrame"), **_PAGE_OR}),
                303: ("It has succeeded: the result is there.", None),
                304: ("It stands as you know it.", None),
            },
            (400, 404, 429, 503),
            (_AFTER, _WAIT, _REDIRECT, _PREFER, _KNOWN),
        )
    },
    "/jobs/{job}/cancel": {
        "post": Operation(
            "Ask for a job's end.",
            {
                200: ("It was over.", _ref("SnapshotFrame")),
                202: ("It is asked for.", _ref("SnapshotFrame")),
                303: ("Go there, if you are a browser's form.", None),
            },
            (404, 503),
        )
    },
    "/jobs/{job}/retry": {
        "post": Operation(
            "Try a job that is over once more, as a new one.",
            {202: ("The new job.", _ref("AcceptedFrame")), 303: ("Go there, if you are a browser's form.", None)},
            (404, 409, 422, 429, 503),
        )
    },
    "/jobs/{job}/result": {
        "get": Operation(
            "Give what came of a job.",
            {
                200: ("The service's result.", {}),
                202: ("It is not over.", _ref("SnapshotFrame")),
                303: ("It is a file, which is there.", None),
            },
            (400, 404, 409, 429, 503),
            (_WAIT, _PREFER),
        )
    },
    "/jobs/{job}/file": {
        "get": Operation(
            "Give a job's finished file, ranges kept.",
            {
                200: ("The file.", {"*/*": {}}),
                206: ("A part of it.", {"*/*": {}}),
                302: ("It is elsewhere.", None),
                304: ("You have it.", None),
                404: ("There is none, or it is not yours.", {_TEXT: _TEXT_SCHEMA, _HTML: _TEXT_SCHEMA}),
                410: ("It is gone.", {_TEXT: _TEXT_SCHEMA}),
                416: ("It has no such part.", {"*/*": {}}),
                502: ("Its service does not give it.", {_TEXT: _TEXT_SCHEMA}),
            },
            (),
        )
    },
    "/jobs/{job}/stream": {
        "get": Operation(
            "Stream how a job stands, and its updates, until it is over.",
            {
                200: ("Frames, as server-sent events.", {EVENTS: _EVENTS}),
                204: ("You have it all: do not come back.", None),
            },
            (400, 404, 429, 503),
            (_AFTER, _LAST),
        )
    },
    "/jobs/{job}/share": {
        "post": Operation(
            "Make a link by which anybody may watch the job, and do nothing else.",
            {201: ("The link.", _ref("SharedBody")), 303: ("Go there, if you are a browser's form.", None)},
            (400, 404, 413, 415, 503),
        )
    },
    "/shared/{token}/": {
        "get": Operation(
            "Show the job that a share link is to.",
            {200: ("How it stands.", {_JSON: _ref("SnapshotFrame"), **_PAGE_OR})},
            (404, 429, 503),
        )
    },
    "/jobs/{job}/fragments": {
        "get": Operation(
            "Give the lines of a job's journal as HTML: those behind the cursor, or a stream of them.",
            {
                200: ("Rows.", {_HTML: _TEXT_SCHEMA, EVENTS: _EVENTS}),
                204: ("There is nothing new; of a stream: you have it all.", None),
                286: ("The last rows: do not come back.", {_HTML: _TEXT_SCHEMA}),
            },
            (400, 404, 429, 503),
            (_ROWS_AFTER, _SHOW, _WAIT, _PREFER, _LAST),
        )
    },
    "/jobs/{job}/report": {
        "post": Operation(
            "Say how a job stands that your program does.",
            {200: ("It is taken.", _ref("HeardBody"))},
            (400, 401, 404, 413, 415, 503),
            body="ReportBody",
        )
    },
    "/tickets/": {
        "post": Operation(
            "Make a ticket for a websocket, good once and for half a minute.",
            {200: ("It, and until when it is good, in milliseconds since 1970.", _TICKET)},
            (429, 503),
        )
    },
    "/tracked/": {
        "post": Operation(
            "Create a job that your program will do.",
            {201: ("It waits for its program.", _ref("TrackedBody"))},
            (400, 401, 413, 415, 429, 503),
            body="TrackBody",
        )
    },
    "/updates": {
        "get": Operation(
            "Tell of many jobs: a stream of events, or an answer that waits for news.",
            {200: ("What is new.", {_JSON: _ref("Frames"), EVENTS: _EVENTS})},
            (400, 429, 503),
            (_LIST, _JOBS, _CHANNELS, _SINCE, _WAIT, _PREFER),
        )
    },
    "/openapi.json": {"get": Operation("This description.", {200: ("It.", {_JSON: {"type": "object"}})}, ())},
}


@cache
def schemas() -> dict[str, Any]:
    """Return the schemas of what goes over the wire, by name."""
    template = "#/components/schemas/{name}"
    _, made = msgspec.json.schema_components(
        (Problem, Start, ReportBody, TrackBody, HeardBody, TrackedBody, ShareBody, SharedBody), ref_template=template
    )
    made["Problem"]["required"] = list(made["Problem"]["properties"])
    wish = made.pop("Start")
    wish = {**wish, "properties": {name: each for name, each in wish["properties"].items() if name in _WISHES}}
    del wish["required"]
    wish["properties"]["key"] = {"anyOf": [_PRINTABLE, {"type": "null"}], "default": None}
    frames = {name: each for name, each in definitions(template).items() if name in _SHOWN}
    return {
        **made,
        **frames,
        "StartBody": wish,
        "JobsPage": _and("JobsFrame", next={"type": ["string", "null"]}),
        "Frames": {
            "type": "object",
            "properties": {
                "now": {"type": "integer", "description": "The server's time, in milliseconds since 1970."},
                "frames": {
                    "type": "array",
                    "items": {"oneOf": [_ref("SnapshotFrame"), _ref("JobsFrame"), _ref("ErrorFrame")]},
                },
            },
            "required": ["now", "frames"],
        },
    }


_WISHES = ("service", "params", "key", "deadline")
_SHOWN = ("State", "Failure", "Line", "Snapshot", "AcceptedFrame", "SnapshotFrame", "JobsFrame", "ErrorFrame")


def _and(name: str, **keys: Any) -> dict[str, Any]:
    return {"allOf": [_ref(name), {"type": "object", "properties": keys, "required": list(keys)}]}


def described(prefix: str) -> dict[str, Any]:
    """Return the whole description.

    :param prefix: the path below which it all is, without the slash at its end.
    """
    paths: dict[str, Any] = {}
    for path, operations in ROUTES.items():
        paths[path] = {method: _operation(path, method, each) for method, each in operations.items()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ProgRock",
            "version": str(VERSION),
            "description": "Long jobs on remote services: started, watched to their end, cancelled, tried again.",
        },
        "servers": [{"url": prefix or "/"}],
        "paths": paths,
        "components": {
            "schemas": deepcopy(schemas()),
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME},
                "token": {"type": "http", "scheme": "bearer"},
                "csrf": {"type": "apiKey", "in": "header", "name": _csrf_header()},
            },
        },
        # Who has none is not refused; nothing is theirs.
        "security": [{"session": []}, {}],
    }


def _csrf_header() -> str:
    """Return the header's name on the wire, of which the setting is Django's spelling."""
    return settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-").title()


def _operation(path: str, method: str, operation: Operation) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, (says, content) in operation.answers.items():
        responses[str(status)] = {"description": says, **({} if content is None else {"content": _content(content)})}
    for status in operation.refuses:
        told = {problem.MEDIA_TYPE: {"schema": _ref("Problem")}, _HTML: {"schema": _TEXT_SCHEMA}}
        responses[str(status)] = {"description": "Refused.", "content": told}
    described: dict[str, Any] = {"summary": operation.says, "responses": responses, "parameters": list(operation.query)}
    if "{job}" in path:
        job = {"type": "string", "format": "uuid"}
        described["parameters"].append(_in("path", "job", "The job's id.", job, required=True))
        if method == "get":
            described["parameters"].append(_SHARED)
    if "{token}" in path:
        described["parameters"].append(_in("path", "token", "The link's.", _TEXT_SCHEMA, required=True))
    if operation.body:
        described["security"] = [{"token": []}]
        described["requestBody"] = {"content": {_JSON: {"schema": _ref(operation.body)}}}
    elif method == "post":
        described["security"] = [{"session": [], "csrf": []}]
        told = {_HTML: {"schema": _TEXT_SCHEMA}, problem.MEDIA_TYPE: {"schema": _ref("Problem")}}
        responses["403"] = {"description": "Without a CSRF token, or without the right to.", "content": told}
    if path.endswith("/share"):
        described["requestBody"] = {"content": {_JSON: {"schema": _ref("ShareBody")}}}
    if path == "/jobs/" and method == "post":
        # A field that is left empty asks for nothing.
        service = {name: each for name, each in msgspec.json.schema(Text64).items() if name != "minLength"}
        form = {"type": "object", "properties": {"service": service}}
        described["requestBody"] = {"content": {_JSON: {"schema": _ref("StartBody")}, _FORM: {"schema": form}}}
    return described


def _content(content: Any) -> dict[str, Any]:
    by_type = content if any("/" in key and not key.startswith("$") for key in content) else {_JSON: content}
    return {media: {"schema": schema} for media, schema in by_type.items()}


async def read(request: HttpRequest) -> HttpResponseBase:
    """Give the description."""
    prefix = asked.url(request, "openapi").removesuffix("/openapi.json")
    return HttpResponse(msgspec.json.encode(described(prefix)), content_type=_JSON)


description = route(GET=read)
