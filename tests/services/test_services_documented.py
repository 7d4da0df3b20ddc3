"""What the documentation says of declared services is what they take."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from progrock.services import HTTPService, declared
from progrock.services.call import NAMES
from progrock.services.declared import FORMS, Fields, Form, Part
from tests.documents import ROOT, code

REFERENCE = (ROOT / "docs/reference/services.md").read_text()
HOWTO = (ROOT / "docs/howto/front-an-http-service.md").read_text()


def options() -> dict[str, Any]:
    """Return the options of the example."""
    scope: dict[str, Any] = {"INSTALLED_APPS": []}
    exec(code("howto/front-an-http-service.md", "settings"), scope)
    found: dict[str, Any] = scope["PROGROCK"]["SERVICES"]["press"]["OPTIONS"]
    return found


def named() -> Iterator[tuple[str, object]]:
    """Return all options with their defaults, those of calls that not all of them have with the call's name."""
    calls = [(f"{name}.", form) for name, form in FORMS.items() if form is not Fields]
    forms: list[tuple[str, type[msgspec.Struct]]] = [("", Form), ("", Part), ("reading.", Fields), *calls]
    for prefix, form in forms:
        for field in msgspec.structs.fields(form):
            if not (prefix in dict(calls) and field.name in Part.__struct_fields__):
                made = field.default_factory is not msgspec.NODEFAULT
                yield prefix + field.name, field.default_factory() if made else field.default


def test_every_option_is_listed_with_its_default() -> None:
    listed = dict(re.findall(r"^\| `([\w.]+)` \| ([^|]+) \| [^|]+ \|$", REFERENCE, re.MULTILINE))
    fields = set(re.findall(r"^\| `(reading\.\w+)` \|", REFERENCE, re.MULTILINE))
    expected = {name: _shown(name, default) for name, default in named()}
    assert {name: default.strip("`") for name, default in listed.items()} | dict.fromkeys(fields, "none") == expected


def _shown(name: str, default: object) -> str:
    if default is msgspec.NODEFAULT or name in ("base_url", "start"):
        return "required"
    if isinstance(default, dict | Fields):
        return "{}"
    return "none" if default is None else str(default).strip("()")


def test_every_name_that_an_expression_knows_is_listed() -> None:
    table = REFERENCE.partition("What paths and expressions know:")[2].partition("## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", table, re.MULTILINE))
    assert {name: set(re.findall(r"`(\w+)`", says)) for name, says in rows.items()} == {
        name: set(known) for name, known in NAMES.items()
    }


FRAGMENTS = [
    row for row in HOWTO.partition("## When your service")[2].splitlines() if row.startswith("| ") and '`"' in row
]


@pytest.mark.parametrize("row", FRAGMENTS)
def test_what_is_to_be_written_for_another_service_can_be(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESS_TOKEN", "x")
    given = options()
    fragments = re.findall(r'`("\w+": .+?)`', row.replace(r"\|", "|"))
    assert fragments
    for fragment in fragments:
        written = eval("{" + fragment.replace("…, ", "") + "}")
        (name,) = written
        placed: dict[str, dict[str, Any]] = {
            "form": {"start": {**written, "json": None}},
            "redirect": {"file": written},
            "result": {**written, "reading": {"result": None}},
            "state": {"reading": written},
        }
        given = declared._merged(given, placed.get(name, written))
    assert HTTPService(**given)


def test_the_mistake_that_is_shown_is_made_so() -> None:
    (says,) = re.findall(r"`PROGROCK: SERVICES\['press'\]: (.+?\.)`", HOWTO)
    with pytest.raises(ValueError, match=r"^OPTIONS") as raised:
        HTTPService(**{**options(), "status": {"call": "GET /books/{id}"}})
    assert str(raised.value) == says
