"""What can be wrong in the options of a declared service is found at start-up, and named."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.views.debug import ExceptionReporter

from progrock import registry
from progrock.services import HTTPService, declared
from progrock.services.api import Api

GOOD: dict[str, Any] = {
    "base_url": "https://render.example.com/v1",
    "start": {"call": "POST /jobs", "json": "{input: params, webhook: hook}"},
    "status": {"call": "GET /jobs/{remote}"},
    "batch": {"call": "POST /jobs/status", "json": "{ids: remotes}", "each": "jobs"},
    "cancel": {"call": "DELETE /jobs/{remote}"},
    "find": {"call": "GET /jobs?key={job}", "at": "jobs[0]"},
    "reading": {"remote": "id", "state": "status"},
    "states": {"done": "succeeded"},
}
GONE = object()
SECRET = "s3cret" * 2


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the good options with one key changed, or gone."""
    options = deepcopy(GOOD)
    *above, key = path.split(".")
    inside = options
    for each in above:
        inside = inside.setdefault(each, {})
    if value is GONE:
        del inside[key]
    else:
        inside[key] = value
    return options


def says(options: dict[str, Any]) -> str:
    with pytest.raises(ValueError, match=r"^OPTIONS") as raised:
        HTTPService(**options)
    text = str(raised.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert len(text) < 500
    return text


def test_the_good_one_is_good() -> None:
    assert HTTPService(**GOOD).batch == 250


@pytest.mark.parametrize(
    "url", ["http://localhost:8000", "HTTPS://Render.example.com/", "http://[::1]:80/a%20b", "http://10.0.0.1/a/b~c.d"]
)
def test_these_are_base_urls(url: str) -> None:
    assert HTTPService(**changed("base_url", url))


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("colour", 1, 'OPTIONS["colour"]: expected one of base_url, batch, cancel,'),
        ("start.colour", 1, 'OPTIONS["start"]["colour"]: expected one of at, call, expect, form,'),
        ("reading.colour", "x", 'OPTIONS["reading"]["colour"]: expected one of again, done, error,'),
        ("start", GONE, 'OPTIONS["start"]: expected the call that starts a job, got none.'),
        ("start", "POST /x", 'OPTIONS["start"]: expected `dict | None`, got `str`.'),
        ("start.call", GONE, 'OPTIONS["start"]["call"]: expected a value, got none.'),
        ("start.call", 7, 'OPTIONS["start"]["call"]: expected `str`, got `int`.'),
        ("start.call", "/jobs", 'OPTIONS["start"]["call"]: expected "METHOD /path", got \'/jobs\'.'),
        ("start.call", "P(ST /jobs", 'OPTIONS["start"]["call"]: expected "METHOD /path"'),
        ("start.call", "post /jobs", 'OPTIONS["start"]["call"]: expected "METHOD /path"'),
        ("start.call", "POST jobs", 'OPTIONS["start"]["call"]: expected a path that begins with a slash'),
        ("start.call", "POST https://x/jobs", 'OPTIONS["start"]["call"]: expected a path that begins with a slash'),
        ("start.call", "POST //x/jobs", 'OPTIONS["start"]["call"]: expected a path below base_url'),
        ("start.call", "POST /../jobs", 'OPTIONS["start"]["call"]: expected a path below base_url'),
        ("start.call", "POST /%2E%2e/jobs", 'OPTIONS["start"]["call"]: expected a path below base_url'),
        ("start.call", "POST /a b", 'OPTIONS["start"]["call"]: expected a path that begins with a slash and is quoted'),
        ("start.call", "POST /é", 'OPTIONS["start"]["call"]: expected a path that begins with a slash and is quoted'),
        ("start.call", "POST /a\r\nX: y", 'OPTIONS["start"]["call"]: expected a path that begins with a slash and is'),
        ("start.call", "POST /{job", 'OPTIONS["start"]["call"]: expected a URI template'),
        ("start.call", "POST /{}", 'OPTIONS["start"]["call"]: expected a URI template'),
        ("start.call", "POST /{job:x}", 'OPTIONS["start"]["call"]: expected a URI template'),
        ("start.call", "POST /{#job}", 'OPTIONS["start"]["call"]: expected a URI template'),
        ("start.call", "POST /{ job}", 'OPTIONS["start"]["call"]: expected a URI template'),
        ("start.call", "POST {job}", 'OPTIONS["start"]["call"]: expected a path that begins with a slash'),
        (
            "start.call",
            "POST /{remote}",
            'OPTIONS["start"]["call"]: expected variables of hook, job, params.<name>, got {remote} in \'/{remote}\'.',
        ),
        ("status.call", "GET /{id}", 'OPTIONS["status"]["call"]: expected variables of remote, got {id}'),
        ("status.call", "GET /{params.x}", 'OPTIONS["status"]["call"]: expected variables of remote, got {params.x}'),
        (
            "status.call",
            "GET /jobs",
            'OPTIONS["status"]["call"]: expected {remote} in the path, or remote in json or form, got \'GET /jobs\'.',
        ),
        ("cancel", {"call": "POST /stop", "form": "{job: remote}"}, ""),
        ("cancel", {"call": "POST /stop", "form": "{job: '1'}"}, 'OPTIONS["cancel"]["call"]: expected {remote} in'),
        ("find.call", "GET /jobs", 'OPTIONS["find"]["call"]: expected {job} in the path, or job in json or form, got'),
        ("start.json", "{a: params", 'OPTIONS["start"]["json"]: expected a JMESPath expression, got \'{a: params\''),
        ("start.json", "{a: parms}", 'OPTIONS["start"]["json"]: expected an expression over hook, job, params, got'),
        ("start.json", "{a: [job, merge(params, {b: remote})]}", "which asks for 'remote'."),
        ("start.json", "params | [?id]", ""),
        ("start.form", "params", 'OPTIONS["start"]["form"]: expected one of json and form, got both.'),
        ("status.json", "{id: remote}", 'OPTIONS["status"]["json"]: expected none with GET'),
        (
            "start.expect",
            [200, 99],
            'OPTIONS["start"]["expect"]: expected status codes from 200 to 299, or 303, got [200, 99].',
        ),
        ("start.expect", [], 'OPTIONS["start"]["expect"]: expected status codes from 200 to 299, or 303, got [].'),
        ("cancel.expect", [404], 'OPTIONS["cancel"]["expect"]: expected status codes'),
        ("start.key", "Idempotency Key", 'OPTIONS["start"]["key"]: expected the name of a header'),
        ("start.location", "Location:", 'OPTIONS["start"]["location"]: expected the name of a header'),
        ("start.location", "Location", 'OPTIONS["start"]["location"]: expected none beside batch'),
        ("batch.each", GONE, 'OPTIONS["batch"]["each"]: expected a value, got none.'),
        ("batch.each", "a[", 'OPTIONS["batch"]["each"]: expected a JMESPath expression, got \'a[\''),
        ("batch.size", 0, 'OPTIONS["batch"]["size"]: expected `int` >= 1.'),
        ("find.at", "jobs[0", 'OPTIONS["find"]["at"]: expected a JMESPath expression'),
        ("reading.remote", GONE, 'OPTIONS["reading"]["remote"]: expected where the service\'s name for the job is'),
        ("reading.state", None, 'OPTIONS["reading"]["state"]: expected how a job stands, for OPTIONS["batch"]'),
        ("reading.state", "", "expected a JMESPath expression, got '', which is empty."),
        ("reading.state", "a b", "got 'a b', which cannot be read at column 3 (Unexpected token)."),
        ("reading.state", "'a", "got \"'a\", which cannot be read at column 1 (Unclosed ' delimiter)."),
        ("reading.state", "nope(a)", "expected a function of JMESPath, got nope() in 'nope(a)'."),
        ("reading.state", "a[?b(c)]", "expected a function of JMESPath, got b() in 'a[?b(c)]'."),
        ("reading.state", "length(a, b)", "expected length() with 1 arguments, got 2 in 'length(a, b)'."),
        ("reading.state", "merge()", "expected merge() with 1 or more arguments, got 0"),
        ("reading.state", "(" * 100_000, "which is nested too deeply."),
        ("reading.done", "a", 'OPTIONS["reading"]["total"]: expected one, as there is done, got none.'),
        ("reading.total", "a", 'OPTIONS["reading"]["done"]: expected one, as there is total, got none.'),
        ("reading.file", "a", 'OPTIONS["file"]: expected a call'),
        ("file", {"call": "GET /x/{remote}"}, 'OPTIONS["reading"]["file"]: expected where the media type'),
        (
            "file",
            {"call": "POST /x/{remote}"},
            'OPTIONS["file"]["call"]: expected "GET /path", got \'POST /x/{remote}\'.',
        ),
        ("states.done", "finished", 'OPTIONS["states"]["done"]: expected one of pending, running, succeeded, failed,'),
        ("states.done", "cancelling", 'OPTIONS["states"]["done"]: expected one of pending,'),
        ("timeout", 0, 'OPTIONS["timeout"]: expected `int` >= 1.'),
        ("timeout", "1", 'OPTIONS["timeout"]: expected `int`, got `str`.'),
        ("connections", 0, 'OPTIONS["connections"]: expected `int` >= 1.'),
        ("preset", "nope", 'OPTIONS["preset"]: expected one of '),
        ("preset", "../http", 'OPTIONS["preset"]: expected one of '),
        ("preset", 7, 'OPTIONS["preset"]: expected one of '),
        ("base_url", GONE, 'OPTIONS["base_url"]: expected http(s)://host[:port][/path], got none.'),
        ("base_url", "ftp://x", "OPTIONS[\"base_url\"]: expected http(s)://host[:port][/path], got 'ftp://x'."),
        ("base_url", "http://", 'OPTIONS["base_url"]: expected http(s)://'),
        ("base_url", "http://x/?a", 'OPTIONS["base_url"]: expected http(s)://'),
        ("base_url", "http://x/#a", 'OPTIONS["base_url"]: expected http(s)://'),
        ("base_url", "http://é", 'OPTIONS["base_url"]: expected http(s)://'),
        ("base_url", "http://x:65536", 'OPTIONS["base_url"]: expected http(s)://'),
        ("base_url", "http://x:y", 'OPTIONS["base_url"]: expected http(s)://'),
        ("base_url", "http://[x", 'OPTIONS["base_url"]: expected http(s)://'),
        ("base_url", "http://x/a b", 'OPTIONS["base_url"]: expected http(s)://'),
        ("base_url", "http://x/\r\n", 'OPTIONS["base_url"]: expected http(s)://'),
        ("base_url", "http://x\\@y", 'OPTIONS["base_url"]: expected no user and password in it'),
        ("headers", {"X Y": "z"}, 'OPTIONS["headers"]["X Y"]: expected the name of a header'),
        ("headers", {"Content-length": "5"}, 'OPTIONS["headers"]["Content-length"]: expected none that the connection'),
        ("headers", ["a"], 'OPTIONS["headers"]: expected `dict`, got `list`.'),
        ("start.headers", {"Accept-Encoding": "gzip"}, 'OPTIONS["start"]["headers"]["Accept-Encoding"]: expected none'),
        (
            "headers",
            {"X": "${PROGROCK_NOT_SET}"},
            "expected ${PROGROCK_NOT_SET} to be set in the environment, got nothing.",
        ),
    ],
)
def test_a_mistake_is_named(path: str, value: object, expected: str) -> None:
    if not expected:
        HTTPService(**changed(path, value))
        return
    assert expected in says(changed(path, value))


def test_words_of_states_are_read_from_somewhere() -> None:
    """Else a status code would say that whatever is answered with 200 has succeeded."""
    options = changed("reading.state", GONE)
    del options["batch"]
    assert says(options) == 'OPTIONS["reading"]["state"]: expected where the words of OPTIONS["states"] are, got none.'


def test_one_of_status_and_batch_is_needed() -> None:
    options = changed("status", GONE)
    HTTPService(**options)
    del options["batch"]
    assert says(options) == 'OPTIONS["status"]: expected the call that looks at a job, or batch, got none.'


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("base_url", "http://user:s3cret@x"),
        ("base_url", "http://user:s3cret@x:port/?q#f"),
        ("base_url", "http://user:s3cret/s3cret@x"),
        ("base_url", "http://x/?key=s3cret"),
        ("headers", {"X": "s3cret\r\n"}),
        ("headers", {"X": "s3cret ${"}),
        ("headers", {"X": "s3cret ${A-B}"}),
        ("headers", {"X": "${PROGROCK_SECRET}\n"}),
        ("start.headers", {"X": "s3cret é"}),
        ("headers", "s3cret"),
        ("headers", {"X": b"s3cret"}),
    ],
)
def test_no_mistake_shows_a_credential(path: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROGROCK_SECRET", "s3cret")
    assert "s3cret" not in says(changed(path, value))


def test_a_check_names_the_service_too() -> None:
    conf = {"SERVICES": {"render": {"BACKEND": "progrock.services.HTTPService", "OPTIONS": changed("colour", 1)}}}
    with override_settings(PROGROCK=conf):
        (message,) = [each for each in run_checks() if (each.id or "").startswith("progrock.E")]
    assert message.id == "progrock.E001"
    assert message.msg.startswith("PROGROCK: SERVICES['render']: OPTIONS[\"colour\"]: expected one of ")


def test_a_page_for_debugging_shows_no_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it comes when a web server that runs no checks first builds the service."""
    monkeypatch.setenv("RENDER_TOKEN", SECRET)
    options = {**changed("start.expect", [404]), "headers": {"Authorization": "Bearer ${RENDER_TOKEN}"}}
    conf = {"SERVICES": {"render": {"BACKEND": "progrock.services.HTTPService", "OPTIONS": options}}}
    with override_settings(PROGROCK=conf), pytest.raises(ImproperlyConfigured) as raised:
        registry.build("render")
    page = ExceptionReporter(None, raised.type, raised.value, raised.tb).get_traceback_html()
    assert "status codes from 200" in page
    assert SECRET not in page


@pytest.fixture
def preset(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "press.toml").write_text("""
# Made for a test.
[start]
call = "POST /jobs"
json = "params"
headers = {Prefer = "respond-async"}
[status]
call = "GET /jobs/{remote}"
[cancel]
call = "DELETE /jobs/{remote}"
[reading]
remote = "id"
state = "status"
[states]
ready = "succeeded"
""")
    monkeypatch.setattr(declared, "PRESETS", tmp_path)


@pytest.mark.usefixtures("preset")
def test_a_preset_is_completed_key_by_key() -> None:
    form = declared.declared(
        {
            "preset": "press",
            "base_url": "https://x",
            "start": {"headers": {"X": "y"}},
            "cancel": None,
            "states": {"odd": "failed"},
        }
    )
    api = Api(form)
    assert api.start.method == "POST"
    assert api.start.headers == {"Accept": "application/json", "Prefer": "respond-async", "X": "y"}
    assert api.cancel is None
    assert [api.reader.state({"status": word}) for word in ("ready", "odd", "pending")] == [
        "succeeded",
        "failed",
        "pending",
    ]


@pytest.mark.usefixtures("preset")
def test_a_preset_that_is_not_there_is_named_with_those_that_are() -> None:
    assert says({"preset": "pres"}) == "OPTIONS[\"preset\"]: expected one of press, got 'pres'."
