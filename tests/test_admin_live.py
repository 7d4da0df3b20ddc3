"""Jobs in the admin as they stand: bars, timelines, journals, and how they are found."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from progrock import jobs, registry, standing
from progrock.delay import NewEntry, StoreAway
from progrock.models import Delivery, Job
from progrock.protocol import Line, State
from progrock.step import Run
from tests.documents import code
from tests.test_admin import JOBS, act, client
from tests.test_admin import service as service

pytestmark = pytest.mark.django_db(transaction=True)

LIVE = f"{JOBS}live/"


def a_row(state: State = State.RUNNING, **fields: Any) -> Job:
    """Return a job that is on its way or over, without an entry in the schedule."""
    now = timezone.now()
    started = None if state is State.PENDING else now
    over = {"finished": now} if state.complete else {}
    if state is State.FAILED:
        over["error"] = fields.pop("error", "remote")
    row = {"service": "scripted", "owner": "somebody", "created": now, "changed": now, "started": started}
    return Job.objects.create(state=state, **{**row, **over, **fields})


def step(job: Job, percent: float, seq: int) -> None:
    """Have the schedule say that a step was taken."""
    snapshot = msgspec.structs.replace(standing.snapshot_of(job), percent=percent, message="Mixing", seq=seq)
    run = Run(owner=job.owner, snapshot=snapshot, answered=1)
    new = NewEntry(str(job.pk), registry.CHANNEL, msgspec.msgpack.encode(run), 60_000)
    async_to_sync(registry.store().schedule)([new], replace=True)


def live(client: Client, *jobs: object, **more: object) -> dict[str, Any]:
    query: dict[str, Any] = {"job": [str(job) for job in jobs], **more}
    answer: dict[str, Any] = client.get(LIVE, query).json()
    return answer


def shown(page: str) -> list[dict[str, Any]]:
    """Return the frames of the jobs that are not over, as a page has them."""
    return [json.loads(each.replace("&quot;", '"')) for each in re.findall(r'data-rock="([^"]*)"', page)]


def test_bars_are_those_of_the_schedule_whoever_owns_the_job() -> None:
    viewer = client("view_job")
    first, other, over = a_row(), a_row(owner="user:77"), a_row(State.SUCCEEDED, result={"secret": "sesame"})
    step(first, 41.5, 10)
    step(other, 12, 10)
    page = viewer.get(JOBS).content.decode()
    assert {each["job"]: each["percent"] for each in shown(page)} == {str(first.pk): 41.5, str(other.pk): 12}
    assert "Mixing" in page
    step(first, 60, 20)
    answer = live(viewer, first.pk, over.pk)
    stands = {each["job"]: (each["progress"], each["state"], each["result"]) for each in answer["jobs"]}
    assert stands == {str(first.pk): (60, "running", None), str(over.pk): (100, "succeeded", None)}
    Job.objects.filter(pk=first.pk).update(state=State.FAILED, error="vanished", finished=timezone.now())
    assert [each["state"] for each in live(viewer, first.pk)["jobs"]] == ["failed"]


def test_permissions_are_given_as_the_howto_says() -> None:
    user = User.objects.create_user("looker", is_staff=True)
    exec(code("howto/look-at-jobs-in-the-admin.md", "give"), {"user": user})
    client = Client()
    client.force_login(User.objects.get(pk=user.pk))
    page = client.get(JOBS)
    assert page.status_code == 200
    assert "Cancel selected jobs" not in page.content.decode()


def test_permissions_are_looked_at_each_time() -> None:
    viewer = client("view_job")
    job = a_row()
    step(job, 5, 10)
    assert len(live(viewer, job.pk)["jobs"]) == 1
    user = User.objects.get(username="op")
    user.user_permissions.clear()
    for url in (f"{LIVE}?job={job.pk}", f"{JOBS}dead/"):
        assert viewer.get(url).status_code == 403
    User.objects.filter(pk=user.pk).update(is_staff=False)
    for url in (f"{LIVE}?job={job.pk}", f"{JOBS}dead/"):
        assert "/login/" in viewer.get(url)["Location"]
        assert "/login/" in Client().get(url)["Location"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "job: expected 1 to 100 of them, got 0."),
        ("?" + "job=7f0f5a34-0a26-4c5c-9f63-5d0a6f3c7a11&" * 101, "job: expected 1 to 100 of them, got 101."),
        ("?job=<script>", "job: expected ids of jobs, got something else."),
        (
            "?job=7f0f5a34-0a26-4c5c-9f63-5d0a6f3c7a11&after=-1",
            "after: expected a whole number from 0 to 9007199254740991",
        ),
        (
            "?after=1" + "&job=7f0f5a34-0a26-4c5c-9f63-5d0a6f3c7a11" * 2,
            "after: expected it with one job, got 2 of them.",
        ),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(query: str, expected: str) -> None:
    answer = client("view_job").get(f"{LIVE}{query}")
    assert (answer.status_code, answer["Content-Type"]) == (400, "text/plain; charset=utf-8")
    assert answer.content.decode().startswith(expected)


def test_results_are_not_read_where_they_are_not_shown() -> None:
    job = a_row(State.SUCCEEDED)
    viewer = client("view_job")
    for url in (JOBS, f"{LIVE}?job={job.pk}"):
        with CaptureQueriesContext(connection) as captured:
            assert viewer.get(url).status_code == 200
        assert not [each["sql"] for each in captured if '"result"' in each["sql"]]


def test_more_jobs_cost_no_more_queries() -> None:
    viewer = client("view_job", "view_delivery")

    def queries() -> dict[str, int]:
        counts = {}
        newest = Job.objects.latest("attempt")
        keys = [str(key) for key in Job.objects.values_list("pk", flat=True)]
        pages: list[tuple[str, str, dict[str, list[str]]]] = [
            ("list", JOBS, {}),
            ("live", LIVE, {"job": keys}),
            ("one", f"{JOBS}{newest.pk}/change/", {}),
            ("dead", f"{JOBS}dead/", {}),
        ]
        for name, url, query in pages:
            with CaptureQueriesContext(connection) as captured:
                assert viewer.get(url, query).status_code == 200
            counts[name] = len(captured)
        return counts

    def family(count: int) -> None:
        parent = a_row()
        each = a_row(State.FAILED, parent=parent)
        for number in range(2, count + 3):
            each = a_row(State.FAILED, parent=parent, retry_of=each, attempt=number)
            step(a_row(parent=parent), 7, 10)
            Delivery.objects.create(job=each, kind="call", target="x", created=each.created, until=each.created)

    family(1)
    queries()
    few = queries()
    family(6)
    assert queries() == few
    assert few["live"] <= 5
    assert few["one"] <= 14


def test_the_timeline_tells_of_every_attempt_and_who_steered_it() -> None:
    owner = User.objects.create_user("ada")
    operator = client("view_job", "change_job", "view_delivery")
    now = timezone.now()
    first = a_row(State.FAILED, error="vanished", message="Gone.", owner=f"user:{owner.pk}")
    second = a_row(State.FAILED, retry_of=first, attempt=2, owner=first.owner)
    third = jobs.retry(second.pk, owner=first.owner).job
    Delivery.objects.create(
        job=second, kind="webhook", target="https://hooks.example/x?token=sesame", created=now, until=now, tries=2
    )
    act(operator, "cancel", third)
    page = operator.get(f"{JOBS}{second.pk}/change/").content.decode()
    for words in (
        f"{first.owner} (ada)",
        "Attempt 1 asked for",
        "Attempt 1 failed",
        "vanished: Gone.",
        "Attempt 2 started",
        "Attempt 3 asked for",
        "hooks.example: pending, tries: 2",
    ):
        assert words in page
    assert "sesame" not in page
    assert "Cancelled</th><td>" in re.sub(r"\s*\n\s*", "", operator.get(f"{JOBS}{third}/change/").content.decode())
    assert "by op in the admin" in operator.get(f"{JOBS}{third}/change/").content.decode()
    operator.logout()
    User.objects.get(username="op").user_permissions.set(Permission.objects.filter(codename="view_job"))
    operator.force_login(User.objects.get(username="op"))
    assert "hooks.example" not in operator.get(f"{JOBS}{second.pk}/change/").content.decode()


def test_an_attempt_is_told_with_the_three_around_it() -> None:
    rows: list[Job] = []
    for number in range(1, 10):
        rows.append(a_row(State.FAILED, retry_of=rows[-1] if rows else None, attempt=number))
    page = client("view_job").get(f"{JOBS}{rows[4].pk}/change/").content.decode()
    assert re.findall(r"Attempt (\d) asked for", page) == list("2345678")


def test_the_journal_comes_line_by_line() -> None:
    viewer = client("view_job")
    job = a_row()
    lines = [Line(f"<b>line {n}</b>", n=n, seq=n * 10, at=n) for n in (1, 2, 3)]
    async_to_sync(registry.journal().append)(str(job.pk), lines[:2])
    page = viewer.get(f"{JOBS}{job.pk}/change/").content.decode()
    assert "&lt;b&gt;line 2&lt;/b&gt;" in page
    assert "<b>line" not in page
    assert 'data-after="20"' in page
    async_to_sync(registry.journal().append)(str(job.pk), lines[2:])
    assert [each["n"] for each in live(viewer, job.pk, after=20)["journal"]] == [3]
    assert "journal" not in live(viewer, job.pk)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("age=hour", "failed parent child"),
        ("age=older", "old"),
        ("family=parents", "parent"),
        ("family=children", "child"),
        ("family=alone", "failed old"),
        ("error=vanished", "failed"),
        ("q=fail", "failed"),
        ("state__exact=running&q=somebody", "parent child old"),
    ],
)
def test_jobs_are_found(query: str, found: str) -> None:
    parent = a_row(title="parent")
    a_row(title="child", parent=parent)
    a_row(State.FAILED, error="vanished", title="failed")
    a_row(title="old", created=timezone.now() - timedelta(days=8))
    page = client("view_job").get(f"{JOBS}?{query}").content.decode()
    assert set(re.findall(r'progress max="100" aria-label="(\w+)"', page)) == set(found.split())


def test_an_id_finds_the_job_and_its_children() -> None:
    parent = a_row(title="parent")
    a_row(title="child", parent=parent)
    a_row(title="other")
    page = client("view_job").get(JOBS, {"q": str(parent.pk)}).content.decode()
    assert set(re.findall(r'progress max="100" aria-label="(\w+)"', page)) == {"parent", "child"}


def test_a_group_counts_its_children_and_leads_to_them() -> None:
    viewer = client("view_job")
    parent = a_row(title="parent")
    a_row(title="one", parent=parent)
    a_row(State.SUCCEEDED, title="two", parent=parent)
    page = viewer.get(f"{JOBS}{parent.pk}/change/").content.decode()
    links = [link.replace("&amp;", "&") for link in re.findall(rf'href="({JOBS}\?parent[^"]*)"', page)]
    found = [set(re.findall(r'max="100" aria-label="(\w+)"', viewer.get(link).content.decode())) for link in links]
    assert found == [{"one", "two"}, {"one"}, {"two"}]


def test_a_journal_that_is_away_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*args: object) -> None:
        raise StoreAway("gone")

    job = a_row()
    viewer = client("view_job")
    monkeypatch.setattr(registry.journal(), "read", away)
    assert "It cannot be read now." in viewer.get(f"{JOBS}{job.pk}/change/").content.decode()
    assert live(viewer, job.pk, after=5)["journal"] == []


def test_nothing_in_the_pages_is_inline() -> None:
    operator = client("view_job", "change_job")
    job = a_row(title="</script><script>alert(1)</script>")
    for url in (JOBS, f"{JOBS}{job.pk}/change/"):
        page = operator.get(url).content.decode()
        assert "<script>" not in page
        assert not re.search(r"<style|\sstyle=|\son\w+=", page)
