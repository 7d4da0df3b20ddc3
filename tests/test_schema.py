"""The protocol's JSON Schema: that in the docs is that of the code, and what goes over the wire is as it says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from msgspec import json as wire

from progrock.exceptions import Refused
from progrock.protocol import parse
from progrock.schema import definitions, protocol
from tests.documents import ROOT, examples

FORMATS = Draft202012Validator.FORMAT_CHECKER
PAGE = "reference/protocol.md"
EXAMPLES = [("Client", *each) for each in examples(PAGE, "client")] + [
    ("Server", *each) for each in examples(PAGE, "server")
]


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({**protocol(), "anyOf": [{"$ref": f"#/$defs/{name}"}]}, format_checker=FORMATS)


def test_the_file_in_the_docs_is_made_of_the_code() -> None:
    file = ROOT / "docs/reference/protocol.schema.json"
    assert file.read_bytes() == wire.format(wire.encode(protocol())) + b"\n", "python -m progrock.schema > " + str(file)
    Draft202012Validator.check_schema(protocol())


@pytest.mark.parametrize(("side", "name", "text"), EXAMPLES)
def test_every_example_is_as_the_schema_has_it(side: str, name: str, text: str) -> None:
    validator(side).validate(json.loads(text))


def _broken(frame: dict[str, Any]) -> list[dict[str, Any]]:
    keys = [key for key in frame if key not in ("ref", "title")]
    values: list[Any] = [[], {"x": 1}, "\U0001f3b8" * 70]
    return [{**frame, key: value} for key in keys for value in values]


@pytest.mark.parametrize("text", [text for side, _, text in EXAMPLES if side == "Client"])
def test_the_schema_refuses_of_a_client_what_we_refuse(text: str) -> None:
    frame, checked = json.loads(text), 0
    for broken in _broken(frame):
        try:
            parse(json.dumps(broken))
        except Refused:
            checked += 1
            with pytest.raises(ValidationError):
                validator("Client").validate(broken)
        else:
            validator("Client").validate(broken)
    assert checked


def test_no_key_of_a_snapshot_is_left_undescribed() -> None:
    schema = definitions()["Snapshot"]
    assert set(schema["required"]) == set(schema["properties"])
    example = next(json.loads(text) for _, name, text in EXAMPLES if name == "update")
    assert set(schema["properties"]) <= set(example)
