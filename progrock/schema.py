"""The JSON Schema of the wire protocol, made of the types that read and write it.

`python -m progrock.schema` prints it.
"""

from __future__ import annotations

import sys
from typing import Any, get_args

import msgspec

from .protocol import VERSION, Action, Line, Resume, Snapshot

_TIME = {"type": "integer", "description": "The server's time, in milliseconds since 1970."}
_REF = {"type": "string", "maxLength": 64, "description": "The `ref` of the frame that this answers."}
_TEXT = {"type": "string"}


def definitions(template: str = "#/$defs/{name}") -> dict[str, Any]:
    """Return the schemas of all frames, and of what is in them, by name.

    :param template: a reference to one of them, with `{name}` in it.
    """

    def of(name: str) -> dict[str, str]:
        return {"$ref": template.format(name=name)}

    def frame(kind: str, around: str = "", *, may: tuple[str, ...] = (), **keys: Any) -> dict[str, Any]:
        required = ["type", *(key for key in keys if key not in may)]
        own = {"type": "object", "properties": {"type": {"const": kind}, **keys}, "required": required}
        return {"allOf": [own, of(around)]} if around else own

    _, made = msgspec.json.schema_components((Snapshot, Line, *get_args(Action)), ref_template=template)
    for name in ("Snapshot", "Line", "Failure"):
        # We leave nothing out, whatever may be left out where it is read.
        made[name]["required"] = list(made[name]["properties"])
    journal = {"type": "array", "items": of("Line")}
    resume = {"enum": [each.value for each in Resume]}
    answer = {"ref": _REF, "now": _TIME, "resume": resume, "journal": journal}
    listed = {"allOf": [of("Snapshot"), {"type": "object", "properties": {"cut": {"type": "boolean"}}}]}
    fresh = {"allOf": [of("Snapshot"), {"type": "object", "properties": {"journal": journal}}]}
    ack = {"type": "integer", "description": "A number for the client to repeat."}
    channel = {"type": "string", "minLength": 1, "maxLength": 100}
    frames = {
        "Hello": frame(
            "hello", accept={"const": True}, version={"const": VERSION}, quiet={"type": "integer", "minimum": 1_000}
        ),
        "AcceptedFrame": frame("accepted", "Snapshot", **answer, may=("ref", "resume", "journal")),
        "SnapshotFrame": frame("snapshot", "Snapshot", **answer, may=("ref", "resume", "journal")),
        "UpdateFrame": frame("update", "Snapshot", journal=journal, ack=ack, may=("journal", "ack")),
        "UpdatesFrame": frame(
            "updates", updates={"type": "array", "items": fresh, "minItems": 2}, ack=ack, may=("ack",)
        ),
        "JobsFrame": frame("jobs", ref=_REF, now=_TIME, jobs={"type": "array", "items": listed}, may=("ref",)),
        "ErrorFrame": frame(
            "error", ref=_REF, code=_TEXT, message=_TEXT, job=_TEXT, channel=channel, may=("ref", "job", "channel")
        ),
        "SubscribedFrame": frame("subscribed", channel=channel, ref=_REF, may=("ref",)),
        "EventFrame": frame("event", channel=channel, event=_TEXT, data={}, ack=ack, may=("ack",)),
        "PongFrame": frame("pong", ref=_REF, may=("ref",)),
    }
    return {
        **made,
        **frames,
        "Server": {"description": "A frame from the server.", "oneOf": [of(name) for name in frames]},
        "Client": {
            "description": "A frame from the client.",
            "oneOf": [of(each.__name__) for each in get_args(Action)],
        },
    }


def protocol() -> dict[str, Any]:
    """Return the whole schema (JSON Schema 2020-12): of any frame, from either side."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"ProgRock wire protocol, version {VERSION}",
        "anyOf": [{"$ref": "#/$defs/Server"}, {"$ref": "#/$defs/Client"}],
        "$defs": definitions(),
    }


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(protocol())) + b"\n")
