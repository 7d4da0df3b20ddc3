"""Jobs that are children of others: whose they may be, where they are listed, and how long they are kept."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import AsyncClient, override_settings
from django.utils import timezone
from msgspec.structs import replace

from progrock import jobs, push, updates
from progrock.exceptions import Invalid, NotFound, TooMany
from progrock.feed import Feed
from progrock.models import Job
from progrock.protocol import State
from progrock.retention import aclear

pytestmark = pytest.mark.django_db(transaction=True)
SETTING = {"SERVICES": {"scripted": {"BACKEND": "tests.scripted.ScriptedService"}}, "MAX_UNFINISHED": 2}


@pytest.fixture(autouse=True)
def service() -> Iterator[None]:
    with override_settings(PROGROCK=SETTING):
        yield


async def ended(job: str | uuid.UUID, state: State = State.CANCELLED, days: float = 0) -> None:
    """End a job, as long ago."""
    then = timezone.now() - timedelta(days=days)
    error = "remote" if state is State.FAILED else ""
    await Job.objects.filter(pk=job).aupdate(state=state, finished=then, error=error)


async def test_a_child_has_a_parent_and_a_weight() -> None:
    parent = await jobs.astart(owner="me")
    child = await jobs.astart(owner="me", parent=parent.job, weight=2.5)
    assert (parent.parent, child.parent) == (None, parent.job)
    row = await Job.objects.aget(pk=child.job)
    assert (str(row.parent_id), row.weight) == (parent.job, 2.5)
    assert (await jobs.aget(child.job, owner="me")).parent == parent.job


async def test_a_parent_is_the_owners_and_not_over() -> None:
    mine, over = (await jobs.astart(owner="me")).job, (await jobs.astart(owner="me")).job
    await ended(over)
    for owner, parent in (("you", mine), ("me", str(uuid.uuid4())), ("me", "x")):
        with pytest.raises(NotFound):
            await jobs.astart(owner=owner, parent=parent)
    with pytest.raises(Invalid, match="parent: expected a job that is not over, got one that is cancelled"):
        await jobs.astart(owner="me", parent=over)
    assert await Job.objects.acount() == 2


async def test_a_child_without_an_owner_is_whose_its_parent_is_by_now() -> None:
    parent = (await jobs.astart(owner="session:1")).job
    await Job.objects.filter(pk=parent).aupdate(owner="user:7")
    child = await jobs.astart(owner=None, parent=parent, key="k")
    assert await jobs.aget(child.job, owner="user:7") == child
    assert (await jobs.astart(owner=None, parent=parent, key="k")).job == child.job
    made = [await push.acreate("Chapter", owner=None, parent=parent, job="I") for _ in range(2)]
    assert made[0].job == made[1].job
    assert (await Job.objects.aget(pk=made[0].job)).owner == "user:7"
    for orphan in (None, str(uuid.uuid4())):
        with pytest.raises((Invalid, NotFound)):
            await jobs.astart(owner=None, parent=orphan)
        with pytest.raises((Invalid, NotFound)):
            await push.acreate("Chapter", owner=None, parent=orphan)
    assert await Job.objects.acount() == 3


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), True, "1", None, 10**400])
async def test_a_weight_is_a_number(weight: Any) -> None:
    with pytest.raises(Invalid, match="weight: expected a number from 0 to 1000000000, got "):
        await jobs.astart(owner="me", weight=weight)


async def test_a_parent_counts_as_one_unfinished_job_with_all_its_children() -> None:
    parent = (await jobs.astart(owner="me")).job
    for _ in range(3):
        await jobs.astart(owner="me", parent=parent)
    await jobs.astart(owner="me")
    with pytest.raises(TooMany):
        await jobs.astart(owner="me")
    await jobs.astart(owner="me", parent=parent)


async def test_a_child_that_is_tried_again_is_still_a_child_while_that_counts() -> None:
    parent = await jobs.astart(owner="me")
    first = await jobs.astart(owner="me", parent=parent.job, weight=3)
    await ended(first.job)
    again = await jobs.aretry(first.job, owner="me")
    assert (again.parent, (await Job.objects.aget(pk=again.job)).weight) == (parent.job, 3)
    await ended(again.job)
    await ended(parent.job)
    assert (await jobs.aretry(again.job, owner="me")).parent is None


async def test_lists_have_parents_and_on_request_their_children() -> None:
    parent = await jobs.astart(owner="me")
    children = [await jobs.astart(owner="me", parent=parent.job) for _ in range(3)]
    assert await jobs.alist_mine(owner="me") == [parent]
    page, cursor = await jobs.apage(owner="me", parent=parent.job, limit=2)
    rest, end = await jobs.apage(owner="me", parent=parent.job, limit=2, before=cursor)
    assert (page + rest, end) == (children[::-1], "")
    assert await jobs.apage(owner="you", parent=parent.job) == ([], "")


async def test_children_are_listed_over_http_to_their_owner_only() -> None:
    client = AsyncClient()
    job = (await client.post("/prog/jobs/", content_type="application/json", data={})).json()["job"]
    owner = (await Job.objects.aget(pk=job)).owner
    children = {(await jobs.astart(owner=owner, parent=job)).job for _ in range(2)}
    assert [each["job"] for each in (await client.get("/prog/jobs/")).json()["jobs"]] == [job]
    first = (await client.get(f"/prog/jobs/?parent={job}&limit=1")).json()
    second = (await client.get(first["next"])).json()
    assert {each["job"] for page in (first, second) for each in page["jobs"]} == children
    assert second["next"] is None
    assert (await AsyncClient().get(f"/prog/jobs/?parent={job}")).json()["jobs"] == []
    assert (await client.get("/prog/jobs/?parent=x")).status_code == 404


async def test_who_watches_all_is_told_of_children_only_by_name() -> None:
    parent = await jobs.astart(owner="me")
    named, other = [await jobs.astart(owner="me", parent=parent.job) for _ in range(2)]
    feed = Feed("me")
    try:
        await feed.watch_all()
        await feed.watch(named.job)
        await updates.publish([("me", replace(each, seq=each.seq + 1)) for each in (other, named, parent)])
        assert {fresh.update.job for fresh in await feed.next(5)} == {named.job, parent.job}
    finally:
        await feed.aclose()


async def test_what_a_parent_still_counts_is_kept() -> None:
    going, over = [(await jobs.astart(owner="me")).job for _ in range(2)]
    counted = (await jobs.astart(owner="me", parent=going)).job
    young, old = [(await jobs.astart(owner="me", parent=over)).job for _ in range(2)]
    await ended(counted, days=50)
    await ended(old, days=50)
    await ended(over, days=40)
    assert await aclear(timedelta(days=30)) == 1  # its young child is unfinished
    assert await Job.objects.filter(pk=old).acount() == 0
    await ended(young, days=1)
    assert await aclear(timedelta(days=30)) == 0
    await ended(young, days=31)
    await ended(going, days=31)
    assert await aclear(timedelta(days=30)) == 4
    assert await Job.objects.acount() == 0
