"""What is counted: as Prometheus reads it, by labels that nobody outside can choose, and as the docs have it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings
from django.urls import resolve

from progrock import counts, group, jobs, registry, track
from progrock.consumers.calls import Calls
from progrock.delay import Again, Lease, MemoryStore, NewEntry, Outcome, SelfReschedulingConsumer, StoreAway
from progrock.delay import counts as delayed
from progrock.delay.counts import Counter, Histogram, registered
from progrock.exceptions import UnknownService
from progrock.feed import Feed
from progrock.metrics import page
from progrock.metrics.prometheus import ASKED
from progrock.protocol import State
from progrock.step import Miss, Reading
from progrock.testing import drain, rock
from progrock.updates import Update
from tests.conftest import until
from tests.consumers.conftest import engine as engine
from tests.consumers.conftest import policy as policy
from tests.consumers.conftest import remote as remote
from tests.consumers.conftest import service as service
from tests.consumers.conftest import tell as tell
from tests.metrics.exposition import Page, Series
from tests.scripted import Remote

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs/reference/metrics.md").read_text()
ALERTS = (ROOT / "docs/howto/what-to-alert-on.md").read_text()
DASHBOARD = json.loads((ROOT / "docs/reference/grafana.json").read_text())


@contextmanager
def counted(counter: Counter | Histogram, *labels: str, by: float = 1) -> Iterator[None]:
    """See that something is counted so many times, once or more if it is None."""
    count = counter.count if isinstance(counter, Histogram) else counter.value
    before = count(*labels)
    yield
    assert count(*labels) - before == by


async def test_a_job_is_counted_from_its_start_to_its_end(engine: object, remote: Remote) -> None:
    remote.default = [Reading(State.RUNNING, 20), Reading(State.SUCCEEDED, 100)]
    steps = counts.STEPS.count("scripted", "shown")
    done = counts.STEPS.count("scripted", "done")
    sent, calls = delayed.LATENESS.count(), counts.CALLS.count("scripted", "answered")
    with (
        counted(counts.STARTED, "scripted"),
        counted(counts.ENDED, "scripted", "succeeded"),
        counted(counts.STEPS, "scripted", "done"),
    ):
        started = await jobs.astart(owner="me")

        async def over() -> bool:
            # How long a step took is noted when its batch is over, a moment after the entry has gone.
            gone = await registry.store().peek([started.job]) == [None]
            return gone and counts.STEPS.count("scripted", "done") > done

        await until(over)
    assert counts.STEPS.count("scripted", "shown") - steps >= 2
    assert counts.CALLS.count("scripted", "answered") - calls >= 3  # the start, and two looks
    assert delayed.LATENESS.count() - sent >= 2
    said = Page(await page())
    assert said.samples[Series("progrock_store_up")] == 1
    assert said.samples[Series("progrock_entries", (("state", "dead"),))] == 0
    assert said.samples[Series("progrock_workers")] == 1
    assert said.samples[Series("progrock_breaker_open", (("service", "scripted"),))] == 0
    assert said.samples[Series("progrock_jobs_ended_total", (("service", "scripted"), ("state", "succeeded")))] >= 1
    assert started.job not in await page()


@pytest.mark.django_db(transaction=True)
def test_a_job_of_own_code_is_counted_too() -> None:
    with (
        override_settings(PROGROCK={}),
        rock(),
        counted(counts.STARTED, "track"),
        counted(counts.STARTED, "group"),
        counted(counts.ENDED, "track", "succeeded"),
        counted(counts.ENDED, "group", "succeeded"),
    ):
        with group("Both", owner="me") as both, track("One", owner=None, parent=both.id):
            pass
        drain()


async def test_a_refused_start_is_counted_by_its_code(service: None, transactional_db: None) -> None:
    with counted(counts.REFUSED, "unknown_service"), pytest.raises(UnknownService):
        await jobs.astart("nobody", owner="me")


async def test_no_label_comes_from_outside(service: None) -> None:
    calls = Calls()

    async def nonsense() -> Miss:
        counts.replied(99_999)
        return Miss("a code of somebody's own", "")

    with counted(counts.CALLS, "other", "other"), counted(counts.REPLIES, "other", "other"):
        await calls.ask("a service that is gone", nonsense())
    await calls.room("a service that is gone", 1, 0)
    said = Page(await page())
    assert Series("progrock_breaker_open", (("service", "other"),)) in said.samples
    # Services of other tests are there too: this process has counted theirs.
    values = {value for series in said.samples for _, value in series.labels}
    assert not {"a service that is gone", "a code of somebody's own", "99999"} & values


async def test_a_name_is_quoted() -> None:
    odd = Counter("odd", "Odd.", "service")
    try:
        odd.add('a"b\\c\nd} 1')
        said = Page(await page(schedule=False))
    finally:
        del registered["odd"]
    assert said.samples[Series("odd", (("service", 'a\\"b\\\\c\\nd} 1'),))] == 1


async def test_a_store_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(self: object) -> None:
        raise StoreAway("away")

    monkeypatch.setattr(MemoryStore, "status", away)
    said = Page(await page())
    assert said.samples[Series("progrock_store_up")] == 0
    assert "progrock_entries" not in said.kinds


class Slow(SelfReschedulingConsumer):
    """Loses its lease in its step."""

    async def step(self, lease: Lease) -> Outcome:
        await self._store.remove([lease.key])
        return Again(10)


async def test_leases_are_counted_that_come_twice_again_or_too_late() -> None:
    store = MemoryStore()
    consumer = Slow(store)
    consumer.channel_name = "reader"
    await store.announce("work", "reader", 10, 10_000)
    await store.schedule([NewEntry("a", "work", b"")])
    (lease,) = await store.lease(10, 5_000)
    refused, again = delayed.SETTLES_REFUSED, delayed.RENEWS_REFUSED
    before = refused.value()
    with counted(again, by=0):
        await consumer._take([lease])
    await until(lambda: refused.value() - before == 1)
    with counted(again), counted(refused, by=0):
        await consumer._take([lease])


async def test_what_is_held_and_lost_is_counted() -> None:
    store = MemoryStore()
    consumer = SelfReschedulingConsumer(store)
    consumer.channel_name = "reader"
    await store.announce("work", "reader", 10, 10_000)
    await store.schedule([NewEntry("a", "work", b"")])
    (lease,) = await store.lease(10, 5_000)
    (mine,) = await store.renew([lease], 5_000, "reader")
    assert mine
    await store.settle([(mine, Again(0, attempt=2))])
    (lease,) = await store.lease(10, 5_000)
    consumer._run = _never  # type: ignore[method-assign]
    with counted(delayed.REDELIVERIES):
        await consumer._take([lease])
    await store.remove(["a"])
    with counted(delayed.LEASES_LOST):
        await consumer._renew()


async def _never(leases: object) -> None:
    """A step that is not over."""


async def test_updates_are_counted_that_are_sent_and_overtaken() -> None:
    feed = Feed("me")
    with counted(counts.SENT), counted(counts.OVERTAKEN, by=2):
        for seq in (1, 2, 3):
            feed.deliver(Update("me", "job", seq, False, b"{}"))
        assert [each.update.seq for each in await feed.fetch()] == [3]


def test_every_metric_is_documented_with_its_kind_and_labels() -> None:
    rows = re.findall(r"^\| `(progrock_\w+)` \| (\w+) \|([^|]*)\|", REFERENCE, re.MULTILINE)
    listed = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    known = {name: (each.kind, set(each.labels)) for name, each in registered.items()}
    assert listed == known | {name: ("gauge", set(each.labels)) for name, each in ASKED.items()}
    assert len(rows) == len(listed)


@pytest.mark.parametrize("text", [ALERTS, json.dumps(DASHBOARD)], ids=["alerts", "dashboard"])
def test_what_is_asked_for_is_there(text: str) -> None:
    known = {*ASKED}
    for name, each in registered.items():
        known |= {f"{name}_{end}" for end in ("bucket", "count", "sum")} if each.kind == "histogram" else {name}
    asked = set(re.findall(r"\bprogrock_\w+", text))
    assert len(asked) > 5
    assert asked <= known


def test_the_routes_of_the_docs_are_the_projects() -> None:
    (code,) = re.findall(r"```python urls\n(.*?)```", REFERENCE, re.DOTALL)
    scope: dict[str, Any] = {}
    exec(code, scope)
    routes = {f"/{each.pattern}" for each in scope["urlpatterns"]}
    assert routes == set(re.findall(r"^\| `(/\w+)` \|", REFERENCE, re.MULTILINE))
    assert {resolve(each).func for each in routes} == {each.callback for each in scope["urlpatterns"]}
