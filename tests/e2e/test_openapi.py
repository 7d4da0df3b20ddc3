"""What is served as OpenAPI, against a real server: calls made up from it, and every answer held to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from schemathesis import Case
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from progrock.http.openapi import ROUTES
from tests.e2e.server import ServerProcess

CALLS = [
    (method, path, mode)
    for path, methods in ROUTES.items()
    for method in methods
    for mode in GenerationMode
    # There is nothing to be done wrong with these: any text may be the token of a link.
    if path not in ("/openapi.json", "/shared/{token}/", "/tickets/") or mode is not GenerationMode.NEGATIVE
]
# Without shrinking, which would take minutes: the call that failed is short enough to be read.
_bounded = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
WAIT_MOST = 0.1
_REFUSED = (("post", "/jobs/"), ("get", "/updates"), ("get", "/jobs/{job}/fragments"))
_generation = GenerationConfig(
    modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE], deterministic=True, with_security_parameters=False
)


class Browser:
    """Somebody with a session, who has jobs in all states."""

    def __init__(self, server: ServerProcess) -> None:
        self.url = f"{server.url}/prog"
        self.session = requests.Session()
        self.session.get(server.url).raise_for_status()
        self.session.get(f"{self.url}/jobs/").raise_for_status()
        self.headers = {"X-CSRFToken": str(self.session.cookies["csrftoken"])}
        self.jobs = [self.start({"mode": "clock", "length": length}) for length in (0.5, 0.5, 500)]
        self.post(f"jobs/{self.jobs[1]}/cancel")
        for job in self.jobs[:2]:
            assert self.session.get(f"{self.url}/jobs/{job}/result?wait=20").status_code in (200, 303, 409)

    def start(self, params: dict[str, Any]) -> str:
        return str(self.post("jobs/", json={"params": params}).json()["job"])

    def post(self, path: str, **options: Any) -> requests.Response:
        response = self.session.post(f"{self.url}/{path}", headers=self.headers, allow_redirects=False, **options)
        response.raise_for_status()
        return response


@pytest.fixture(scope="module")
def visitor(embedded: ServerProcess) -> Iterator[Browser]:
    browser = Browser(embedded)
    yield browser
    browser.post(f"jobs/{browser.jobs[2]}/cancel")
    browser.session.close()


@pytest.fixture(scope="module")
def described(visitor: Browser) -> Any:
    config = SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(generation=_generation)))
    return schemathesis.openapi.from_url(f"{visitor.url}/openapi.json", config=config)


@pytest.mark.parametrize(("method", "path", "mode"), CALLS)
def test_every_answer_is_what_is_described(
    method: str, path: str, mode: GenerationMode, described: Any, visitor: Browser
) -> None:
    # Whose it is makes a difference, and not whether it is anybody's. What a service takes, only it knows; news of
    # nothing are refused, which a description cannot say; and neither tokens nor what is signed can be made up.
    unsaid = (method, path) in _REFUSED or ROUTES[path][method].body
    excluded = [ignored_auth, *([positive_data_acceptance] if unsaid else [])]
    answered: set[int] = set()

    @_bounded
    @given(case=described[path][method].as_strategy(generation_mode=mode))
    def call(case: Case[Any]) -> None:
        # An id that exists, for every other call; a made-up one finds nothing.
        chosen = sum(map(ord, repr(case.query) + repr(case.body))) % 6
        if chosen < len(visitor.jobs) and _is_id(case.path_parameters.get("job")):
            endless = path.endswith("/stream") and chosen == 2
            case.path_parameters["job"] = visitor.jobs[0 if endless else chosen]
        if _waits(case.query.get("wait")):
            case.query["wait"] = WAIT_MOST
        case.headers.pop("Prefer", None)
        options: Any = {"session": visitor.session, "headers": visitor.headers, "allow_redirects": False}
        assume(len(repr(case.query)) < 4_000)  # servers break off a longer first line
        answered.add(case.call_and_validate(timeout=20, excluded_checks=excluded, **options).status_code)

    call()
    assert answered


def _is_id(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[0-9a-f-]{36}", value))


def _waits(value: object) -> bool:
    try:
        return float(str(value)) > WAIT_MOST
    except ValueError:
        return False
