"""The outbox: who is told of an end, how often it is tried, and whom that holds up."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.auth.models import User
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.db import OperationalError
from django.db.models import Count
from django.test import override_settings
from django.utils import timezone

from progrock import jobs, outbox, post, registry, sending
from progrock.delay import Again, Done, Lease, NewEntry
from progrock.exceptions import Invalid
from progrock.models import Delivery, Job
from progrock.outbox import Outbox, back_off
from progrock.protocol import Snapshot, State
from progrock.sending import secrets_of
from progrock.signing import key, verify
from progrock.step import Reading, Run
from progrock.writes import Writes
from tests.conftest import until
from tests.consumers.conftest import POLICY
from tests.letterbox import Letter, Letterbox
from tests.scripted import Remote

pytestmark = pytest.mark.usefixtures("quick", "engine")
SECRET = "whsec_" + "A" * 40
RUNNING = Reading(State.RUNNING, 30)
FAR = timedelta(days=1)

called: list[tuple[Snapshot, str]] = []
troubles: list[Exception] = []
gate = threading.Event()


def ended(snapshot: Snapshot, delivery: str) -> None:
    """A function of the user's."""
    if troubles:
        raise troubles.pop(0)
    called.append((snapshot, delivery))


async def aended(snapshot: Snapshot, delivery: str) -> None:
    """An async one."""
    ended(snapshot, delivery)


def hanging(snapshot: Snapshot, delivery: str) -> None:
    """One that does not come back."""
    gate.wait(20)


class Hanging(BaseEmailBackend):
    """A mail server that does not answer."""

    def send_messages(self, messages: object) -> int:
        gate.wait(20)
        return 0


def by(name: str) -> dict[str, Any]:
    return {"call": f"tests.consumers.test_outbox.{name}"}


@pytest.fixture
async def box() -> AsyncIterator[Letterbox]:
    async with Letterbox() as box:
        yield box


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits, and nothing left of the test before."""
    monkeypatch.setattr(outbox, "RETRY", 10)
    monkeypatch.setattr(outbox, "RETRY_MOST", 100)
    monkeypatch.setattr(outbox, "WAIT", (5, 10))
    monkeypatch.setattr(outbox, "WAIT_MOST", 10)
    monkeypatch.setenv("TELL_SECRET", SECRET)
    monkeypatch.setenv("TELL_TOKEN", "sesame")
    called.clear()
    troubles.clear()
    gate.clear()


@pytest.fixture
def tell(request: pytest.FixtureRequest, box: Letterbox) -> list[dict[str, Any]]:
    """The setting `TELL`: a webhook, unless the test says otherwise."""
    hook = {"webhook": f"{box.url}/hook?token=${{TELL_TOKEN}}", "secrets": ["${TELL_SECRET}"]}
    return [hook if each == "hook" else each for each in getattr(request, "param", ["hook"])]


def telling(*addressees: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("tell", [list(addressees)], indirect=True)


async def rows(job: str) -> list[Delivery]:
    return [row async for row in Delivery.objects.filter(job__pk=job).order_by("kind", "target")]


async def over(job: str, count: int = 1) -> list[Delivery]:
    """Wait until a job's deliveries are sent or given up, and their entries gone."""

    async def settled() -> bool:
        there = await rows(job)
        keys = [str(row.pk) for row in there]
        return (
            len(there) == count
            and all(row.state != Delivery.State.PENDING for row in there)
            and not any(await registry.store().peek(keys))
        )

    await until(settled)
    return await rows(job)


def good(letter: Letter, secret: str) -> bool:
    return verify([key(secret)], letter.headers, letter.body, now=int(time.time()), tolerance=60) == "good"


async def test_a_webhook_says_what_the_snapshot_says_and_is_signed(remote: Remote, box: Letterbox) -> None:
    remote.say(Reading(State.SUCCEEDED, 100, "Fine", result={"n": 1}))
    job = (await jobs.astart(params={"title": "A song"}, owner="me")).job
    (row,) = await over(job)
    (letter,) = box.letters
    snapshot = await jobs.aget(job, owner="me")
    ending = (await Job.objects.aget(pk=job)).finished
    assert ending is not None
    expected = {"type": "job.succeeded", "timestamp": ending.isoformat(), "job": job, "seq": snapshot.seq}
    assert letter.says.items() >= {**expected, "title": "A song", "result": {"n": 1}, "complete": True}.items()
    assert good(letter, SECRET)
    assert letter.name == str(row.pk)
    assert (letter.path, letter.headers["Content-Type"]) == ("/hook?token=sesame", "application/json")
    assert (row.state, row.tries, row.error, row.kind) == ("sent", 1, "", "webhook")
    assert row.sent is not None
    assert row.target == f"{box.url}/hook?token=${{TELL_TOKEN}}"  # the row does not know the token


async def test_who_does_not_take_it_gets_it_again_under_the_same_id(remote: Remote, box: Letterbox) -> None:
    box.answers = [500, 302, 404, 429]
    box.headers = {"Location": f"{box.url}/elsewhere"}
    job = (await jobs.astart(owner="me")).job
    (row,) = await over(job)
    assert (row.state, row.tries, row.error) == ("sent", 5, "")
    assert box.names == [str(row.pk)] * 5
    assert {letter.path for letter in box.letters} == {"/hook?token=sesame"}
    assert len({letter.body for letter in box.letters}) == 1
    assert all(good(letter, SECRET) for letter in box.letters)


async def test_gone_is_gone(remote: Remote, box: Letterbox, caplog: pytest.LogCaptureFixture) -> None:
    box.answers = [410]
    job = (await jobs.astart(owner="me")).job
    (row,) = await over(job)
    assert (row.state, row.tries, row.error) == ("failed", 1, "It answered 410: it is gone.")
    assert len(box.letters) == 1
    assert f"127.0.0.1:{box.port} failed for good" in caplog.text
    assert "sesame" not in caplog.text
    assert "token" not in caplog.text


async def test_what_it_asks_us_to_wait_is_a_floor(
    remote: Remote, box: Letterbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "RETRY_MOST", 3_600_000)
    box.answers, box.headers = [503], {"Retry-After": "100"}
    job = (await jobs.astart(owner="me")).job

    async def tried() -> bool:
        return [row.tries for row in await rows(job)] == [1]

    await until(tried)
    (row,) = await rows(job)
    assert (row.state, row.error) == ("pending", "It answered 503.")

    async def waits() -> bool:
        (entry,) = await registry.store().peek([str(row.pk)])
        now = (await registry.store().status()).now
        return entry is not None and not entry.held and entry.due is not None and entry.due > now + 90_000_000

    await until(waits)


async def test_who_hangs_is_given_up_and_tried_again(
    remote: Remote, box: Letterbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post, "TIMEOUT", 0.1)
    box.gate.clear()
    job = (await jobs.astart(owner="me")).job

    async def tried() -> bool:
        return any(row.tries >= 2 and row.error == "It did not answer in time." for row in await rows(job))

    await until(tried)
    box.gate.set()
    assert [row.state for row in await over(job)] == ["sent"]
    assert len(set(box.names)) == 1


async def test_nobody_there_is_tried_again(remote: Remote, box: Letterbox, tell: list[dict[str, Any]]) -> None:
    async with Letterbox() as other:
        url = other.url
    job = (await jobs.astart(owner="me", tell=[{"webhook": f"{url}/"}])).job

    async def tried() -> bool:
        return any(row.tries >= 2 and row.error == "It cannot be reached." for row in await rows(job))

    await until(tried)

    async def told() -> bool:
        return {row.state for row in await rows(job)} == {"sent", "pending"}

    await until(told)


async def test_after_a_day_it_is_given_up_and_may_be_sent_again(remote: Remote, box: Letterbox) -> None:
    box.answers = [500] * 1000
    job = (await jobs.astart(owner="me")).job
    await until(lambda: len(box.letters) >= 2)
    await Delivery.objects.filter(job__pk=job).aupdate(until=timezone.now() - timedelta(seconds=1))
    (row,) = await over(job)
    assert (row.state, row.error) == ("failed", "It answered 500.")
    box.answers = []
    assert await outbox.asend_again([row.pk]) == 1
    (row,) = await over(job)
    assert (row.state, row.tries, row.error) == ("sent", 1, "")
    assert set(box.names) == {str(row.pk)}


@telling(
    {"webhook": "https://hooks.invalid/", "secrets": [SECRET], "on": ["cancelled"]}, {**by("ended"), "on": ["failed"]}
)
async def test_only_the_ends_that_were_asked_for_are_told(remote: Remote) -> None:
    remote.say(RUNNING)
    good_end, bad_end = [(await jobs.astart(owner="me")).job for _ in range(2)]
    remote.say(Reading(State.SUCCEEDED), job=good_end)
    remote.say(Reading(State.FAILED), job=bad_end)
    (row,) = await over(bad_end)
    assert row.kind == "call"

    async def complete() -> bool:
        return (await jobs.aget(good_end, owner="me")).complete

    await until(complete)
    assert await rows(good_end) == []
    assert [(snapshot.job, snapshot.state) for snapshot, _ in called] == [(bad_end, State.FAILED)]


@telling(by("ended"), by("aended"))
async def test_functions_are_called_with_the_end_and_the_id(remote: Remote) -> None:
    job = (await jobs.astart(owner="me")).job
    there = await over(job, 2)
    assert sorted(delivery for _, delivery in called) == sorted(str(row.pk) for row in there)
    assert {(snapshot.job, snapshot.complete) for snapshot, _ in called} == {(job, True)}


@telling(by("ended"))
async def test_a_function_that_raises_is_called_again_and_what_it_says_stays_in_the_log(
    remote: Remote, caplog: pytest.LogCaptureFixture
) -> None:
    troubles.extend([RuntimeError("postgres://me:pw@h"), StopIteration(), ValueError()])
    job = (await jobs.astart(owner="me")).job
    errors: set[str] = set()

    async def done() -> bool:
        there = await rows(job)
        errors.update(row.error for row in there)
        return [row.state for row in there] == ["sent"]

    await until(done)
    (row,) = await over(job)
    assert row.tries == 4
    assert len(called) == 1
    assert errors <= {"", "It raised RuntimeError.", "It raised ValueError."}
    assert "tests.consumers.test_outbox.ended failed for job" in caplog.text


@telling(by("hanging"), by("ended"))
async def test_a_function_that_hangs_holds_up_nothing(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "TIMEOUT", 0.1)
    monkeypatch.setattr(sending._threads, "most", 3)
    first = (await jobs.astart(owner="me")).job
    errors: set[str] = set()

    async def full() -> bool:
        errors.update([row.error async for row in Delivery.objects.filter(job__pk=first)])
        return {"It took too long.", "3 others have not come back yet."} <= errors

    await until(full)
    assert [snapshot.job for snapshot, _ in called] == [first]
    # Those that have come back leave their places to others.
    gate.set()
    second = (await jobs.astart(owner="me")).job
    assert [row.state for row in await over(second, 2)] == ["sent", "sent"]
    assert [row.state for row in await over(first, 2)] == ["sent", "sent"]


@telling({"email": "owner"}, {"email": "ops@example.com", "template": "tests/ended.txt"})
async def test_an_email_goes_to_the_owner_and_to_an_address(remote: Remote) -> None:
    user = await User.objects.acreate(username="u", email="u@example.com")
    remote.say(Reading(State.FAILED, message="Out of <strings> & air"))
    template = (
        "{% autoescape off %}{{ snapshot.title }} is {{ snapshot.state }}\nSee {{ job.owner }}{% endautoescape %}"
    )
    with override_settings(TEMPLATES=_templates({"tests/ended.txt": template})):
        job = (await jobs.astart(params={"title": "A & B"}, owner=f"user:{user.pk}")).job
        there = await over(job, 2)
    assert [row.state for row in there] == ["sent", "sent"]
    sent = {letter.to[0]: letter for letter in mail.outbox}
    assert sent["u@example.com"].subject == "A & B: failed"
    assert "Out of <strings> & air" in sent["u@example.com"].body
    assert sent["ops@example.com"].subject == "A & B is failed"
    assert sent["ops@example.com"].body == f"See user:{user.pk}\n"
    names = {row.target: row.pk for row in there}
    assert sent["ops@example.com"].extra_headers == {"Message-ID": f"<{names['ops@example.com']}@localhost>"}


def _templates(texts: dict[str, str]) -> list[dict[str, Any]]:
    loaders = [
        ("django.template.loaders.locmem.Loader", texts),
        "django.template.loaders.app_directories.Loader",
    ]
    return [{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": loaders}}]


@telling({"email": "owner"})
async def test_an_owner_without_an_address_is_not_written_to(remote: Remote) -> None:
    user = await User.objects.acreate(username="u")
    mine = (await jobs.astart(owner=f"user:{user.pk}")).job
    (row,) = await over(mine)
    assert (row.state, row.error) == ("failed", "The owner has no e-mail address.")
    odd = (await jobs.astart(owner="user:not-a-number")).job
    assert [row.error for row in await over(odd)] == ["The owner has no e-mail address."]
    session = (await jobs.astart(owner="session:abc")).job

    async def complete() -> bool:
        return (await jobs.aget(session, owner="session:abc")).complete

    await until(complete)
    assert await rows(session) == []
    assert mail.outbox == []


@telling({"email": "ops@example.com"})
async def test_a_mail_server_that_hangs_is_given_up(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "TIMEOUT", 0.1)
    with override_settings(EMAIL_BACKEND="tests.consumers.test_outbox.Hanging"):
        job = (await jobs.astart(owner="me")).job

        async def tried() -> bool:
            return any(row.error == "It took too long." for row in await rows(job))

        await until(tried)
        gate.set()
        assert [row.state for row in await over(job)] == ["sent"]


@telling()
async def test_a_start_names_its_own_and_each_owner_has_a_secret(remote: Remote, box: Letterbox) -> None:
    hook = {"webhook": f"{box.url}/mine?token=mine"}
    job = (await jobs.astart(owner="user:1", tell=[hook, hook])).job
    (row,) = await over(job)
    (letter,) = box.letters
    (secret,) = secrets_of("user:1")
    assert good(letter, secret)
    assert secret not in secrets_of("user:2")
    assert not good(letter, secrets_of("user:2")[0])
    assert letter.path == "/mine?token=mine"
    assert row.state == "sent"
    # Tried again, it is told to the same.
    again = await jobs.aretry(job, owner="user:1")
    await over(again.job)
    assert len(box.letters) == 2


@telling()
async def test_a_new_secret_key_signs_beside_the_old(remote: Remote, box: Letterbox) -> None:
    (before,) = secrets_of("me")
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["for the tests"]):
        job = (await jobs.astart(owner="me", tell=[{"webhook": box.url}])).job
        await over(job)
        now, *_ = secrets_of("me")
    assert now != before
    assert good(box.letters[0], before)
    assert good(box.letters[0], now)


async def test_a_start_that_names_what_cannot_be_is_refused() -> None:
    for tell, says in (
        ([{"webhook": "http://example.com/"}], "tell: webhook: expected an https:// URL, got another."),
        ([{"call": "os.abort"}], "tell: expected call in the settings only, got it in a start."),
    ):
        with pytest.raises(Invalid) as refusal:
            await jobs.astart(owner="me", tell=tell)
        assert str(refusal.value) == says
    assert await Job.objects.acount() == 0


@telling("hook")
async def test_what_the_settings_name_no_more_is_not_told(remote: Remote, box: Letterbox) -> None:
    box.answers = [500] * 1000
    job = (await jobs.astart(owner="me")).job
    await until(lambda: len(box.letters) >= 1)
    await Delivery.objects.filter(job__pk=job).aupdate(target="https://gone.example/")
    (row,) = await over(job)
    assert (row.state, row.error) == ("failed", "It is not in the settings any more.")


@telling("hook", by("ended"))
async def test_one_that_is_slow_holds_up_neither_jobs_nor_others(
    remote: Remote, box: Letterbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LANE", 3)
    box.gate.clear()
    ending = [(await jobs.astart(owner=f"o{n}")).job for n in range(20)]
    await until(lambda: len(called) == 20)
    assert {snapshot.job for snapshot, _ in called} == set(ending)
    await until(lambda: box.waiting == 3)
    # Jobs go on meanwhile.
    remote.say(RUNNING)
    running = (await jobs.astart(owner="me")).job
    seen = len(remote.polls)
    await until(lambda: sum([f"r-{running}"] == batch for batch in remote.polls[seen:]) >= 5)
    assert box.waiting_most == 3
    box.gate.set()
    for job in ending:
        assert [row.state for row in await over(job, 2)] == ["sent", "sent"]
    assert box.waiting_most == 3


@telling()
async def test_of_one_owner_only_so_many_are_sent_at_once(
    remote: Remote, box: Letterbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LANE", 1)
    async with Letterbox() as second, Letterbox() as third:
        boxes = (box, second, third)
        tell = [{"webhook": each.url} for each in boxes]
        for each in boxes:
            each.gate.clear()
        ending = [(await jobs.astart(owner="greedy", tell=tell)).job for _ in range(5)]
        await until(lambda: sum(each.waiting for each in boxes) == 2)
        modest = (await jobs.astart(owner="modest", tell=tell)).job
        await until(lambda: any(letter.says["job"] == modest for each in boxes for letter in each.letters))
        assert [each.waiting for each in boxes] == [1, 1, 1]
        for each in boxes:
            each.gate.set()
        for job in [*ending, modest]:
            await over(job, 3)


@telling("hook", by("ended"))
async def test_of_one_owner_one_that_is_slow_holds_up_no_other(
    remote: Remote, box: Letterbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LANE", 2)
    box.gate.clear()
    async with Letterbox() as other:
        ending = [(await jobs.astart(owner="me", tell=[{"webhook": other.url}])).job for _ in range(10)]
        await until(lambda: len(other.letters) == len(called) == 10)
        assert box.waiting == 2
        box.gate.set()
        for job in ending:
            await over(job, 3)


async def test_no_end_without_its_deliveries(remote: Remote, box: Letterbox, monkeypatch: pytest.MonkeyPatch) -> None:
    make, made = outbox.make, []

    def torn(key: str, state: State) -> list[Delivery]:
        made.append(key)
        there = make(key, state)
        if len(made) < 3:
            raise OperationalError("torn")
        return there

    monkeypatch.setattr(outbox, "make", torn)
    job = (await jobs.astart(owner="me")).job

    async def whole() -> bool:
        ending = Job.objects.filter(pk=job, finished__isnull=False).annotate(count=Count("deliveries"))
        counts = [row.count async for row in ending]
        assert counts in ([], [1])
        return bool(counts)

    await until(whole)
    await over(job)
    assert made == [job] * 3
    assert len(box.letters) == 1


@telling()
async def test_a_job_that_nobody_is_told_of_costs_no_more(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object) -> None:
        raise AssertionError("asked for")

    for name in ("make", "deliveries"):
        monkeypatch.setattr(outbox, name, never)
    job = (await jobs.astart(owner="me")).job

    async def complete() -> bool:
        return (await jobs.aget(job, owner="me")).complete and await registry.store().peek([job]) == [None]

    await until(complete)
    assert (await jobs.aget(job, owner="me")).state is State.SUCCEEDED


async def a_delivery(url: str, **fields: Any) -> Delivery:
    """Make one that only the test sends: it has an entry, far away, so that the reconciler does not make one."""
    now, name = timezone.now(), uuid.uuid4()
    await registry.store().schedule([NewEntry(str(name), registry.CHANNEL, b"", 3_600_000)])
    over: dict[str, Any] = {"state": "succeeded", "started": now, "finished": now, "tell": [{"webhook": url}]}
    job = await Job.objects.acreate(service="scripted", owner="me", created=now, changed=now, **over)
    return await Delivery.objects.acreate(
        pk=name, job=job, kind="webhook", target=url, **{"created": now, "until": now + FAR, **fields}
    )


def lease_of(row: Delivery, attempt: int = 1) -> Lease:
    now = time.time_ns() // 1000
    return Lease(str(row.pk), registry.CHANNEL, b"", now, now, now, attempt=attempt)


@telling()
async def test_a_step_of_what_is_over_or_lost_sends_nothing(box: Letterbox) -> None:
    mine = Outbox(Writes(), lambda lease: True)
    sent = await a_delivery(box.url, state="sent", sent=timezone.now())
    assert await mine.step(lease_of(sent), sent) == Done()
    assert await mine.step(lease_of(sent), None) == Done()
    waiting = await a_delivery(box.url)
    assert await Outbox(Writes(), lambda lease: False).step(lease_of(waiting), waiting) == Again(0)
    assert box.letters == []
    assert await mine.step(lease_of(waiting, attempt=6), waiting) == Done()
    await waiting.arefresh_from_db()
    assert (waiting.state, waiting.error) == ("failed", "Gave up: it went wrong 5 times in a row on our side.")
    assert box.letters == []


@telling()
async def test_a_crowd_that_waits_for_one_that_hangs_seldom_looks_for_room(
    box: Letterbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LANE", 1)
    monkeypatch.setattr(outbox, "WAIT", (500, 5_000))
    monkeypatch.setattr(outbox, "WAIT_MOST", 60_000)
    box.gate.clear()
    row, mine = await a_delivery(box.url), Outbox(Writes(), lambda lease: True)
    sending_now = asyncio.create_task(mine.step(lease_of(row), row))
    await until(lambda: box.waiting == 1)
    outcomes = [await mine.step(lease_of(row, attempt=2), row) for _ in range(2_000)]
    waits = [each.delay for each in outcomes if isinstance(each, Again) and each.attempt == 2]
    assert len(waits) == 2_000
    assert all(500 <= wait <= 5_000 for wait in waits[:4])  # a few do not wait for long
    assert 25_000 < sum(waits[200:]) / 1_800 < 35_000
    assert max(waits) <= 60_000
    box.gate.set()
    await sending_now
    assert box.waiting_most == 1


@telling()
async def test_what_was_allowed_at_the_start_is_asked_again_at_the_send(box: Letterbox) -> None:
    far = f"https://localhost:{box.port}/"
    for url, says in ((box.url, "It may not be called: webhook: expected an https:// URL"), (far, "not public")):
        row = await a_delivery(url)
        declared = {"BACKEND": "tests.scripted.ScriptedService", "POLICY": POLICY}
        with override_settings(PROGROCK={"SERVICES": {"scripted": declared}}):
            assert await Outbox(Writes(), lambda lease: True).step(lease_of(row), row) == Done()
        await row.arefresh_from_db()
        assert row.state == "failed"
        assert says in row.error
    assert box.letters == []


@telling()
async def test_asked_for_again_while_it_is_sent_it_is_sent_again(box: Letterbox) -> None:
    box.gate.clear()
    row = await a_delivery(box.url)
    sending_now = asyncio.create_task(Outbox(Writes(), lambda lease: True).step(lease_of(row), row))
    await until(lambda: box.waiting == 1)
    await Delivery.objects.filter(pk=row.pk).aupdate(until=timezone.now() + 2 * FAR)
    box.gate.set()
    await sending_now
    await row.arefresh_from_db()
    assert row.state == "pending"


def test_it_waits_twice_as_long_each_time_and_an_hour_at_most() -> None:
    assert [back_off(tries, 1) for tries in (1, 2, 3)] == [10, 20, 40]  # as `quick` has it
    assert [back_off(tries, 0) for tries in (1, 2, 3)] == [5, 10, 20]
    assert back_off(1_000, 1) == 100


@telling({"email": "owner", "on": ["succeeded"]}, {**by("ended"), "on": ["succeeded"]})
async def test_whom_both_name_is_told_once_and_of_all_that_either_asks_for(remote: Remote) -> None:
    user = await User.objects.acreate(username="u", email="u@example.com")
    tell = [{"email": "owner"}]
    remote.say(RUNNING)
    fine, broken = [(await jobs.astart(owner=f"user:{user.pk}", tell=tell)).job for _ in range(2)]
    remote.say(Reading(State.SUCCEEDED), job=fine)
    remote.say(Reading(State.FAILED), job=broken)
    assert [row.kind for row in await over(fine, 2)] == ["call", "email"]
    assert [row.kind for row in await over(broken)] == ["email"]
    assert len(mail.outbox) == 2


@telling()
async def test_what_was_sent_and_cannot_be_written_down_is_sent_again_but_not_soon(
    box: Letterbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    row, writes = await a_delivery(box.url), Writes()

    async def full(*args: object, **changes: object) -> int:
        raise OperationalError("disk full")

    monkeypatch.setattr(writes, "update", full)
    outcome = await Outbox(writes, lambda lease: True).step(lease_of(row), row)
    assert isinstance(outcome, Again)
    assert outcome.delay >= 30_000
    assert outcome.attempt == 1
    assert len(box.letters) == 1
    assert "cannot be written: disk full" in caplog.text


@telling(by("ended"))
async def test_whom_nobody_can_make_out_does_not_keep_a_job_from_ending(
    remote: Remote, caplog: pytest.LogCaptureFixture
) -> None:
    remote.say(RUNNING)
    job = (await jobs.astart(owner="me", tell=[{"email": "ops@example.com"}])).job
    await Job.objects.filter(pk=job).aupdate(tell=[{"pigeon": "grey"}])
    remote.say(Reading(State.SUCCEEDED), job=job)
    assert [(row.kind, row.state) for row in await over(job)] == [("call", "sent")]
    assert "cannot be told" in caplog.text


@telling(by("ended"))
async def test_nor_does_whom_nobody_can_read(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    remote.say(RUNNING)
    job = (await jobs.astart(owner="me", tell=[{"email": "ops@example.com"}])).job
    await until(lambda: len(remote.polls) >= 1)

    def unreadable(*args: object) -> None:
        raise RecursionError("nested too deep")

    monkeypatch.setattr(Job._meta.get_field("tell"), "from_db_value", unreadable)
    remote.say(Reading(State.SUCCEEDED), job=job)

    async def succeeded() -> bool:
        return (await Job.objects.only("state").aget(pk=job)).state == State.SUCCEEDED

    await until(succeeded)
    assert [row.kind for row in await rows(job)] == ["call"]
    assert "cannot be read" in caplog.text


def test_of_an_entry_that_an_older_worker_wrote_only_the_row_knows_who_is_told() -> None:
    run = Run("me", Snapshot("j", "unknown", "", State.RUNNING, 0), tell=False)
    assert not outbox.is_owed(run)
    older = msgspec.to_builtins(run)
    del older["tell"]
    assert outbox.is_owed(msgspec.convert(older, Run))


@telling()
@pytest.mark.parametrize("tls", [True, False], ids=["self-signed", "none"])
async def test_who_has_no_good_tls_is_told_nothing(box: Letterbox, tls: bool, tmp_path: Path) -> None:
    async with Letterbox(_self_signed(tmp_path) if tls else None) as other:
        row = await a_delivery(f"https://127.0.0.1:{other.port}/")
        assert isinstance(await Outbox(Writes(), lambda lease: True).step(lease_of(row), row), Again)
        await row.arefresh_from_db()
        assert (row.state, row.error) == ("pending", "Its TLS is not good.")
        assert other.letters == []


def _self_signed(folder: Path) -> ssl.SSLContext:
    """Return what a server is that has signed its certificate itself."""
    private, now = ec.generate_private_key(ec.SECP256R1()), timezone.now()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    made = x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number(), now, now + FAR)
    certificate = made.sign(private, hashes.SHA256())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = folder / "server.pem"
    file.write_bytes(
        private.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + certificate.public_bytes(pem)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context
