"""The template tags: what stands in the page before any script runs, and that nothing in it ever runs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.http import HttpRequest
from django.template import Context, RequestContext, Template
from django.test import RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from progrock import jobs
from progrock.access import ensure_owner, owner_of
from progrock.exceptions import Unavailable
from progrock.models import Job
from progrock.protocol import Failure, Snapshot, State
from progrock.words import STATES, WORDS

pytestmark = pytest.mark.django_db(transaction=True)

EVIL = """</script><!--<script>"'><img src=x onerror=alert(1)>&amp;"""


@pytest.fixture(autouse=True)
def service() -> Iterator[None]:
    with override_settings(PROGROCK={"SERVICES": {"scripted": {"BACKEND": "tests.scripted.ScriptedService"}}}):
        yield


class Page(HTMLParser):
    """What a browser makes of it: tags with their attributes, and the text of each kind of tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.blocks: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("br", "meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.blocks.append(data)
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def one(self, tag: str) -> dict[str, str | None]:
        (found,) = self.all(tag)
        return found

    def snapshot(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.one("prog-rock")["snapshot"] or "")
        return found


def a_request() -> HttpRequest:
    request = RequestFactory().get("/")
    request.session = SessionStore()
    request.user = AnonymousUser()
    ensure_owner(request)
    return request


def render(source: str, request: HttpRequest | None = None, **context: Any) -> Page:
    template = Template("{% load progrock %}" + source)
    return Page(template.render(RequestContext(request, context) if request else Context(context)))


def a_snapshot(**changes: Any) -> Snapshot:
    known: dict[str, Any] = {
        "job": str(uuid.uuid4()),
        "service": "scripted",
        "title": "Ænima",
        "state": State.RUNNING,
        "created": 1,
        "percent": 41.8,
        "message": "Drums",
        "seq": 7,
        "at": 2,
    }
    return Snapshot(**{**known, **changes})


def a_row(owner: str | None, **changes: Any) -> Job:
    now = timezone.now()
    known = {"service": "scripted", "title": "Lateralus", "owner": owner, "created": now, "changed": now}
    return Job.objects.create(**{**known, **changes})


def test_a_snapshot_is_there_before_any_script_runs() -> None:
    snapshot = a_snapshot()
    page = render("{% progrock job journal=True %}", job=snapshot)
    assert page.one("progress") == {"max": "100", "value": "41"}
    assert page.one("a")["href"] == f"/prog/jobs/{snapshot.job}/"
    assert " ".join(page.text.split()) == "Ænima Running Drums See how it goes"
    assert page.one("prog-rock").items() >= {"job": snapshot.job, "src": "/prog/", "journal": ""}.items()
    frame = page.snapshot()
    assert (frame["type"], frame["seq"], frame["progress"]) == ("snapshot", 7, 41)
    assert frame["now"] > frame["at"]


def test_a_bar_whose_end_nobody_knows_has_no_value() -> None:
    assert render("{% progrock job %}", job=a_snapshot(percent=None)).one("progress") == {"max": "100"}


@pytest.mark.parametrize("state", [state for state in State if state.complete])
def test_what_is_over_has_no_bar(state: State) -> None:
    failed = Failure("vanished", "It is gone.") if state is State.FAILED else None
    file = "audio/wav" if state is State.SUCCEEDED else None
    page = render("{% progrock job %}", job=a_snapshot(state=state, error=failed, file=file))
    assert page.all("progress") == []
    assert STATES[state] in page.text
    assert ("It is gone." in page.text) is (state is State.FAILED)
    assert str(page.one("a")["href"]).endswith("/file") is (state is State.SUCCEEDED)


@pytest.mark.parametrize("field", ["title", "message", "service", "result", "file", "job", "error"])
def test_nothing_that_a_service_says_runs(field: str) -> None:
    error = Failure(EVIL, EVIL)
    snapshot = a_snapshot(
        **{"title": "", **({"error": error, "state": State.FAILED} if field == "error" else {field: EVIL})}
    )
    page = render(
        "{% progrock_head %}{% progrock job title=evil %}{% progrock_jobs of %}", job=snapshot, of=[snapshot], evil=EVIL
    )
    assert {tag for tag, _ in page.tags} <= {
        "br",
        "strong",
        "prog-rock",
        "prog-rock-jobs",
        "p",
        "label",
        "bdi",
        "progress",
        "a",
        "script",
    }
    assert len(page.all("script")) == 2
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.all("prog-rock")[0]["title"] == EVIL


def test_nothing_in_the_words_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("progrock.words.gettext", lambda words: EVIL)
    page = render("{% progrock_words %}")
    assert [tag for tag, _ in page.tags] == ["script"]
    assert page.one("script") == {"type": "application/json", "id": "progrock-words", "lang": "en-us"}
    assert json.loads(page.blocks[0])["Done"] == EVIL


@pytest.mark.parametrize("language", ["de", "es", "ar"])
def test_the_words_are_those_of_the_language(language: str) -> None:
    with translation.override(language):
        page = render("{% progrock_head %}{% progrock job %}", job=a_snapshot())
    words = json.loads(page.blocks[0])
    assert page.all("script")[0]["lang"] == language
    assert set(words) >= {"Running", "Retry"}
    assert set(words) <= set(WORDS)
    assert words["Running"] in page.text


def test_english_needs_no_words() -> None:
    assert render("{% progrock_words %}").blocks == ["{}"]


def test_the_head_has_the_module_and_the_token() -> None:
    page = render("{% progrock_head %}", a_request())
    assert page.all("meta")[0]["name"] == "csrf-token"
    assert len(page.all("meta")[0]["content"] or "") == 64
    assert page.all("script")[1] == {"type": "module", "src": "/static/progrock/elements.js"}


def test_the_head_names_whom_the_page_is_made_for_and_tells_nothing_of_them() -> None:
    one, other = a_request(), a_request()
    names = [render("{% progrock_head %}", request).all("meta")[1]["content"] for request in (one, one, other)]
    assert names[0] == names[1] != names[2]
    assert str(names[0]) not in str(owner_of(one))
    assert render("{% progrock_head %}").all("meta") == []


def test_an_id_is_asked_for_once() -> None:
    request = a_request()
    row = a_row(owner_of(request))
    assert request.session.session_key is None
    with CaptureQueriesContext(
        connection,
    ) as queries:
        page = render("{% progrock job %}", request, job=str(row.pk))
    assert page.snapshot()["title"] == "Lateralus"
    assert len(queries) == 1


def test_somebody_elses_job_tells_nothing() -> None:
    row = a_row("user:1")
    page = render("{% progrock job %}", a_request(), job=row.pk)
    assert page.one("prog-rock") == {"job": str(row.pk), "src": "/prog/"}


@pytest.mark.parametrize("job", ["", "not a job", EVIL])
def test_what_is_no_id_is_still_an_element(job: str) -> None:
    assert render("{% progrock job %}", a_request(), job=job).one("prog-rock")["job"] == job


def test_a_row_is_shown_as_it_stands() -> None:
    now = timezone.now()
    row = a_row("user:1", state=State.SUCCEEDED, started=now, finished=now, file="audio/wav")
    assert render("{% progrock job %}", job=row).snapshot()["state"] == "succeeded"
    assert render("{% progrock job %}", job=a_row("user:1")).snapshot()["state"] == "pending"


def test_my_running_jobs_are_restored_on_any_page() -> None:
    request = a_request()
    request.user = User.objects.create(username="me")
    owner, now = owner_of(request), timezone.now()
    a_row("user:0", title="not mine")
    a_row(owner, title="over", state=State.CANCELLED, finished=now)
    failed = a_row(owner, title="first", state=State.FAILED, error="remote", finished=now)
    for title in ("second", "third"):
        a_row(owner, title=title, retry_of=failed if title == "second" else None)
    with CaptureQueriesContext(connection) as queries:
        page = render("{% progrock_jobs unfinished=True limit=5 %}", request)
    assert len(queries) == 1
    assert [json.loads(each["snapshot"] or "")["title"] for each in page.all("prog-rock")] == ["third", "second"]
    assert {each["role"] for each in page.all("prog-rock")} == {"listitem"}
    assert page.one("prog-rock-jobs") == {"src": "/prog/", "role": "list", "unfinished": "", "limit": "5"}
    all_of_mine = render("{% progrock_jobs %}", request)
    assert [json.loads(each["snapshot"] or "")["title"] for each in all_of_mine.all("prog-rock")] == [
        "third",
        "second",
        "over",
    ]


def test_a_site_without_sessions_has_elements_too() -> None:
    page = render(
        "{% progrock_head %}{% progrock job %}{% progrock_jobs %}", RequestFactory().get("/"), job=uuid.uuid4()
    )
    assert len(page.all("prog-rock")) == len(page.all("prog-rock-jobs")) == 1


def test_whoever_has_no_jobs_has_an_empty_list() -> None:
    assert render("{% progrock_jobs %}", a_request()).one("prog-rock-jobs") == {"src": "/prog/"}
    assert render("{% progrock_jobs %}").all("prog-rock") == []


async def test_where_an_event_loop_runs_it_takes_what_it_is_given() -> None:
    request = await sync_to_async(a_request)()
    row = await sync_to_async(a_row)(await sync_to_async(owner_of)(request))
    page = render("{% progrock_head %}{% progrock job %}{% progrock_jobs %}", request, job=row.pk)
    assert [each["name"] for each in page.all("meta")] == ["csrf-token"]
    assert page.one("prog-rock") == {"job": str(row.pk), "src": "/prog/"}
    known = await jobs.aget(row.pk, owner=row.owner)
    assert render("{% progrock job %}", request, job=known).snapshot()["title"] == "Lateralus"
    in_a_thread = await sync_to_async(render)("{% progrock job %}", request, job=row.pk)
    assert in_a_thread.snapshot()["title"] == "Lateralus"


def test_without_the_database_the_element_asks_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: object, **kwargs: object) -> None:
        raise Unavailable("Not now.")

    monkeypatch.setattr(jobs, "get", away)
    row = a_row("user:1")
    request = a_request()
    assert render("{% progrock job %}", request, job=row.pk).one("prog-rock")["job"] == str(row.pk)


def test_toasts_take_attributes() -> None:
    page = render("{% progrock_toasts notify=True keep_title=off %}", off=False)
    assert page.one("prog-rock-toasts") == {"src": "/prog/", "notify": ""}
