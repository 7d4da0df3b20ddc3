"""Who is told of an end only when nobody was watching: never if a page was told, always if that is not sure."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from progrock import jobs, outbox, reconcile, registry
from progrock.exceptions import Invalid
from progrock.feed import Feed
from progrock.models import Delivery
from progrock.politeness import MemoryAudience
from progrock.protocol import Snapshot, State
from progrock.step import Reading
from progrock.updates import was_told
from tests.conftest import until
from tests.scripted import Remote

pytestmark = pytest.mark.usefixtures("quick", "engine")
called: list[str] = []
always: list[str] = []


def ended(snapshot: Snapshot, delivery: str) -> None:
    called.append(snapshot.job)


def also(snapshot: Snapshot, delivery: str) -> None:
    always.append(snapshot.job)


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    unless, also = {"call": f"{__name__}.ended", "when": "unwatched"}, {"call": f"{__name__}.also"}
    return getattr(request, "param", [unless, also])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "GRACE", 300)
    monkeypatch.setattr(outbox, "RETRY", 10)
    called.clear()
    always.clear()


@pytest.fixture
async def page() -> AsyncIterator[Callable[..., Any]]:
    """Opens a page of an owner's that watches a job, or all of theirs."""
    feeds: list[Feed] = []

    async def make(owner: str, job: str = "") -> Feed:
        feeds.append(Feed(owner))
        await (feeds[-1].watch(job) if job else feeds[-1].watch_all())
        return feeds[-1]

    yield make
    for feed in feeds:
        await feed.aclose()


async def begun(remote: Remote, **options: Any) -> str:
    """Start a job that goes on until it is told to end."""
    remote.default = [Reading(State.RUNNING, 10)]
    return (await jobs.astart(owner="me", **options)).job


async def end(remote: Remote, job: str) -> None:
    remote.looks[f"r-{job}"] = [Reading(State.SUCCEEDED)]

    async def complete() -> bool:
        return (await jobs.aget(job, owner="me")).complete

    await until(complete)


async def waiting(count: int) -> list[str]:
    """Return the keys of the deliveries that are still to be sent, once there are so many."""

    async def found() -> bool:
        return await Delivery.objects.filter(state="pending").acount() == count

    await until(found)
    return [str(row.pk) async for row in Delivery.objects.filter(state="pending")]


async def settled(job: str) -> list[str]:
    """Return what has become of a job's deliveries, once nothing is to be done about them."""

    async def none() -> bool:
        return not await Delivery.objects.filter(job__pk=job, state="pending").aexists()

    await until(none)
    return [row.target.rpartition(".")[2] async for row in Delivery.objects.filter(job__pk=job).order_by("target")]


@pytest.mark.parametrize("named", [True, False])
async def test_a_page_that_was_told_is_enough(remote: Remote, page: Callable[..., Any], named: bool) -> None:
    job = await begun(remote)
    await page("me", job if named else "")
    await end(remote, job)
    assert await settled(job) == ["also"]
    assert (called, always) == ([], [job])


async def test_nobody_else_counts(remote: Remote, page: Callable[..., Any]) -> None:
    job, other = await begun(remote), await begun(remote)
    await page("you")
    await page("me", other)
    # Who has left shortly before the end was not told of it.
    for feed in (await page("me"), await page("me", job)):
        await feed.aclose()
    await end(remote, job)
    assert await settled(job) == ["also", "ended"]
    assert (called, always) == ([job], [job])


async def test_a_page_that_comes_right_after_the_end_is_early_enough(
    remote: Remote, page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "GRACE", 3_000)
    by_name, by_list = await begun(remote), await begun(remote)
    for job in (by_list, by_name):
        await end(remote, job)
    await page("me", by_name)
    assert await settled(by_name) == ["also"]
    await page("me")
    await until(lambda: was_told("me", by_list))
    assert not await was_told("you", by_list)


async def test_an_audience_that_fails_is_none(
    remote: Remote, page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*given: object) -> Any:
        raise ConnectionError("away")

    job = await begun(remote)
    await page("me")
    for asked in ("mark", "watched"):
        monkeypatch.setattr(MemoryAudience, asked, away)
    await end(remote, job)
    assert await settled(job) == ["also", "ended"]
    assert "told of ends" in caplog.text


async def test_what_somebody_asks_for_again_is_sent(
    remote: Remote, page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "GRACE", 60_000)
    job = await begun(remote)
    await page("me")
    await end(remote, job)
    await until(lambda: was_told("me", job))
    (pending,) = await waiting(1)
    await outbox.asend_again([uuid.UUID(pending)])
    assert await settled(job) == ["also", "ended"]


async def test_an_entry_that_is_lost_is_asked_for_anew(
    remote: Remote, page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "GRACE", 3_000)
    watched, alone = await begun(remote), await begun(remote)
    await page("me", watched)
    for job in (watched, alone):
        await end(remote, job)
    await registry.store().remove(await waiting(2))
    assert any(await reconcile.areconcile())
    assert [await settled(job) for job in (watched, alone)] == [["also"], ["also", "ended"]]
    assert called == [alone]


@pytest.mark.parametrize("tell", [[]], indirect=True)
async def test_a_start_may_ask_for_that_too(remote: Remote, page: Callable[..., Any]) -> None:
    with pytest.raises(Invalid, match="when"):
        await jobs.astart(owner="me", tell=[{"email": "a@example.com", "when": "sometimes"}])
    tell = [{"email": "a@example.com", "when": "unwatched"}]
    watched, alone = await begun(remote, tell=tell), await begun(remote, tell=tell)
    await page("me", watched)
    for job in (watched, alone):
        await end(remote, job)
    assert [len(await settled(job)) for job in (watched, alone)] == [0, 1]


@pytest.mark.parametrize("tell", [[{"call": f"{__name__}.also"}]], indirect=True)
async def test_where_nobody_asks_nothing_is_noted(remote: Remote, page: Callable[..., Any]) -> None:
    job = await begun(remote)
    feed = await page("me", job)
    await end(remote, job)
    await until(lambda: feed._ended or feed._waiting)
    assert await settled(job) == ["also"]
    assert not await was_told("me", job)
