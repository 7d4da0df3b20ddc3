"""The pages for whom has no JavaScript: forms, words, and a page that asks again by itself."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import AsyncClient
from django.utils import translation

from progrock import push
from progrock.http.page import duration
from progrock.models import Job
from progrock.protocol import Line
from progrock.testing import Reading, Remote, State
from progrock.words import REASONS, WORDS
from tests.conftest import until
from tests.http.conftest import PAGE, Caller, said

pytestmark = pytest.mark.usefixtures("engine")
EVIL = '<script>alert(1)</script><b onclick="x">\''


class Page(HTMLParser):
    """What a browser makes of a page: its elements, and the text of each."""

    def __init__(self, response: HttpResponse, status: int = 200) -> None:
        super().__init__()
        assert response.status_code == status, response.content
        assert response["Content-Type"] == "text/html; charset=utf-8"
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(response.content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def posts(self) -> list[str | None]:
        return [form["action"] for form in self.all("form") if form["method"] == "post"]


async def shown(caller: Caller, path: str, status: int = 200) -> Page:
    return Page(await caller.get(path, accept=PAGE["Accept"]), status)


async def test_a_form_starts_a_job_and_leads_to_its_page(caller: Caller, going: Remote) -> None:
    response = await caller.form(
        "jobs/", {"service": "scripted", "title": "From+a+form", "tempo": "", "csrfmiddlewaretoken": "x"}
    )
    assert response.status_code == 303
    job = response["Location"].split("/")[-2]
    page = await shown(caller, f"jobs/{job}/")
    assert "From a form" in page.text
    # Its parameters are what was filled in, and nothing else.
    from progrock.models import Job

    assert (await Job.objects.aget(pk=job)).params == {"title": "From a form"}


async def test_a_form_from_a_program_is_answered_with_json(caller: Caller) -> None:
    response = await caller.form("jobs/", {"title": "x"}, accept="application/json")
    assert said(response, 202)["title"] == "x"


async def test_a_page_of_a_job_that_goes_on_comes_again(caller: Caller, remote: Remote) -> None:
    remote.say(Reading(State.RUNNING, 42, "Cutting the groove", lines=[Line("first"), Line("second", "warning")]))
    job = await caller.start(params={"title": "T"})
    await until(lambda: len(remote.polls) > 2)
    response = await caller.get(f"jobs/{job}/", accept=PAGE["Accept"])
    assert response["Refresh"] == "5"
    page = Page(response)
    (bar,) = page.all("progress")
    assert (bar["max"], bar["value"]) == ("100", "42")
    assert bar["aria-label"]
    for words in ("Running", "42 %", "Cutting the groove", "first", "second"):
        assert words in page.text
    assert [each["data-level"] for each in page.all("li")] == ["info", "warning"]
    assert page.posts() == [f"/prog/jobs/{job}/cancel"]
    assert "/prog/jobs/" in [link["href"] for link in page.all("a")]


async def test_an_unknown_share_is_not_shown_as_none(caller: Caller, remote: Remote) -> None:
    remote.gate.clear()
    job = await caller.start()
    for path in (f"jobs/{job}/", "jobs/"):
        page = await shown(caller, path)
        assert "value" not in page.all("progress")[0]
        assert "%" not in page.text.partition("Waiting")[2]
    remote.gate.set()


async def test_a_page_of_a_job_that_is_over_stays(caller: Caller, remote: Remote) -> None:
    remote.say(Reading(State.SUCCEEDED, file="audio/wav"))
    job = await caller.start()
    await caller.complete(job)
    response = await caller.get(f"jobs/{job}/", accept=PAGE["Accept"])
    assert "Refresh" not in response
    page = Page(response)
    assert f"/prog/jobs/{job}/file" in [link["href"] for link in page.all("a")]
    assert page.posts() == []
    assert page.all("progress")[0]["value"] == "100"


async def test_a_line_has_its_number_as_html_takes_it(caller: Caller, remote: Remote, settings: Any) -> None:
    settings.USE_THOUSAND_SEPARATOR = True
    remote.say(Reading(State.SUCCEEDED, lines=["said"], first=12_345))
    job = await caller.start()
    await caller.complete(job)
    page = await shown(caller, f"jobs/{job}/")
    assert [item["value"] for item in page.all("li")] == ["12345"]


async def test_a_failure_has_its_reason_in_peoples_words_and_a_way_to_try_again(caller: Caller, remote: Remote) -> None:
    remote.say(Reading(State.FAILED, message="Out of vinyl."))
    job = await caller.start()
    await caller.complete(job)
    page = await shown(caller, f"jobs/{job}/")
    for words in ("Failed", "The service reports a failure.", "Out of vinyl."):
        assert words in page.text
    assert page.posts() == [f"/prog/jobs/{job}/retry"]
    response = await caller.form(f"jobs/{job}/retry")
    assert response.status_code == 303
    assert response["Location"] != f"/prog/jobs/{job}/"
    assert (await shown(caller, response["Location"].removeprefix("/prog/"))).all("progress")


def test_every_reason_is_one_of_the_words() -> None:
    assert set(REASONS.values()) <= set(WORDS)


async def test_a_cancel_leads_back_to_the_page(caller: Caller, going: Remote) -> None:
    job = await caller.start()
    response = await caller.form(f"jobs/{job}/cancel")
    assert (response.status_code, response["Location"]) == (303, f"/prog/jobs/{job}/")
    await caller.complete(job)
    assert "Cancelled" in (await shown(caller, f"jobs/{job}/")).text


async def test_what_code_of_our_own_did_is_not_tried_again_from_a_page(caller: Caller) -> None:
    owner = (await Job.objects.aget(pk=await caller.start())).owner
    job = (await push.acreate("Import", owner=owner)).job
    await push.afail(job, "no")
    ended = await caller.complete(job)
    assert (ended["state"], ended["can_retry"]) == ("failed", False)
    assert "Retry" not in (await shown(caller, f"jobs/{job}/")).text
    refused = await caller.post(f"jobs/{job}/retry")
    assert said(refused, 422)["code"] == "invalid_params"


async def test_the_list_leads_to_each_job_and_to_older_ones(caller: Caller, going: Remote) -> None:
    assert "There are none yet." in (await shown(caller, "jobs/")).text
    jobs = [await caller.start(params={"title": f"T{n}"}) for n in range(3)]
    page = await shown(caller, "jobs/?limit=2")
    links = [str(link["href"]) for link in page.all("a")]
    assert links[:2] == [f"/prog/jobs/{job}/" for job in jobs[:0:-1]]
    (older,) = [link["href"] for link in page.all("a") if link.get("rel") == "next"]
    page = await shown(caller, str(older).removeprefix("/prog/"))
    assert [link["href"] for link in page.all("a")] == [f"/prog/jobs/{jobs[0]}/"]


async def test_what_was_refused_is_told_on_a_page(caller: Caller) -> None:
    response = await caller.form("jobs/", {"bad": "1"})
    page = Page(response, 422)
    assert "expected no 'bad', got one" in page.text
    assert response["Cache-Control"] == "no-store"


async def test_nothing_in_a_page_is_taken_for_html(caller: Caller, remote: Remote) -> None:
    remote.say(Reading(State.FAILED, 10, EVIL, title=EVIL, lines=[Line(EVIL)]))
    job = await caller.start(params={"title": EVIL})
    await caller.complete(job)
    for path in (f"jobs/{job}/", "jobs/", f"jobs/{EVIL.replace('/', '')}/"):
        page = await shown(caller, path, 404 if "<" in path else 200)
        assert not page.all("script")
        assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
        assert "alert(1)" in page.text


@pytest.mark.parametrize("name", ["job", "jobs", "problem", "base"])
def test_nothing_in_the_templates_is_inline(name: str) -> None:
    from django.template.loader import get_template

    source = get_template(f"progrock/{name}.html").template.source  # type: ignore[attr-defined]
    assert not re.search(r"<style|<script|style=|\son\w+=", source)


async def test_every_post_has_a_token(caller: Caller, going: Remote) -> None:
    guarded = AsyncClient(enforce_csrf_checks=True)
    caller.http = guarded
    await guarded.get("/prog/jobs/")
    headers = {"X-CSRFToken": guarded.cookies["csrftoken"].value}
    started = await guarded.post("/prog/jobs/", "{}", content_type="application/json", headers=headers)
    job = said(started, 202)["job"]  # type: ignore[arg-type]
    (token,) = [each["value"] for each in (await shown(caller, f"jobs/{job}/")).all("input")]
    assert (await caller.form(f"jobs/{job}/cancel")).status_code == 403
    response = await caller.form(f"jobs/{job}/cancel", {"csrfmiddlewaretoken": str(token)})
    assert response.status_code == 303


@pytest.mark.parametrize(("language", "words", "direction"), [("de", "Läuft", None), ("ar", "", "rtl")])
async def test_a_page_speaks_the_readers_language(
    caller: Caller, going: Remote, language: str, words: str, direction: str | None
) -> None:
    job = await caller.start()
    await until(lambda: len(going.polls) > 2)
    with translation.override(language):
        page = await shown(caller, f"jobs/{job}/")
    (html,) = page.all("html")
    assert (html["lang"], html.get("dir")) == (language, direction)
    assert words in page.text


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0 s"),
        (59_400, "59 s"),
        (60_000, "1 min"),
        (61_000, "1 min 1 s"),
        (3_600_000, "1 h"),
        (3_661_000, "1 h 1 min"),
    ],
)
def test_a_duration_is_said_as_people_say_it(ms: int, words: str) -> None:
    assert duration(ms).replace("\u00a0", " ") == words
