"""What is served as OpenAPI: valid, and of all routes that there are."""

from __future__ import annotations

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from progrock import urls
from progrock.testing import Reading, Remote, State
from tests.http.conftest import Caller, said

pytestmark = pytest.mark.usefixtures("engine")


async def served(caller: Caller) -> dict[str, Any]:
    response = await caller.get("openapi.json")
    assert response["Content-Type"] == "application/json"
    return said(response)


async def test_every_route_for_people_is_described_with_its_methods(caller: Caller) -> None:
    described = await served(caller)
    assert described["servers"] == [{"url": "/prog"}]
    routes = {re.sub(r"<\w+:(\w+)>", r"{\1}", str(each.pattern)) for each in urls.urlpatterns}
    assert {path.removeprefix("/") for path in described["paths"]} == {
        route for route in routes if not route.startswith("hooks/")
    }
    for path, operations in described["paths"].items():
        options: Any = await caller.http.options(f"/prog{path.replace('{job}', 'x')}")
        if not path.endswith("/file"):
            allowed = set(options["Allow"].lower().split(", ")) - {"head", "options"}
            assert allowed == operations.keys(), path


async def test_its_schemas_are_schemas_and_its_references_lead_somewhere(caller: Caller) -> None:
    described = await served(caller)
    schemas = described["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    text = str(described)
    named = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert named <= schemas.keys()
    assert {"Snapshot", "Line", "Problem", "StartBody", "JobsPage", "Frames"} <= schemas.keys()
    assert schemas["StartBody"]["properties"].keys() == {"service", "params", "key", "deadline"}


async def test_answers_are_what_it_says(caller: Caller, remote: Remote) -> None:
    remote.say(Reading(State.RUNNING, 5, lines=["a"]), Reading(State.FAILED, message="no", lines=["a", "b"]))
    described = await served(caller)

    def check(name: str, answer: object) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": described["components"]}
        Draft202012Validator(schema).validate(answer)

    job = await caller.start()
    await caller.complete(job)
    check("SnapshotFrame", said(await caller.get(f"jobs/{job}/?after=1")))
    check("AcceptedFrame", said(await caller.post(f"jobs/{job}/retry"), 202))
    page = said(await caller.get("jobs/?limit=1"))
    assert page["next"]
    check("JobsPage", page)
    check("Problem", said(await caller.get("jobs/x/"), 404))
    nobodys = "6f1f64f0-6c0e-4c39-9d0c-6a2f6a4f0b51"
    frames = said(await caller.get(f"updates?list=1&job={job}&job={nobodys}"))
    assert len(frames["frames"]) == 3
    check("Frames", frames)
