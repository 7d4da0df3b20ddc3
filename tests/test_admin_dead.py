"""Dead entries in the admin: who may see them, and what may be done with them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from progrock import registry
from progrock.delay import Dead, NewEntry, StoreAway
from tests.test_admin import JOBS, client
from tests.test_admin import service as service

pytestmark = pytest.mark.django_db(transaction=True)

DEAD = f"{JOBS}dead/"


def die(*keys: str) -> None:
    """Have entries of another consumer given up."""

    async def given_up() -> None:
        store = registry.store()
        await store.announce("mail", "mail.1", 100, 60_000)
        await store.schedule([NewEntry(key, "mail", b"token=sesame") for key in keys])
        leases = await store.lease(100, 5_000)
        held = await store.renew(leases, 5_000, "mail.1")
        await store.settle([(each, Dead(f"<i>gave up {each.key}</i>")) for each in held if each])

    async_to_sync(given_up)()


def dead_keys() -> list[str]:
    return [each.key for each in async_to_sync(registry.store().dead)(10)]


def test_dead_entries_are_revived_and_dropped_by_who_may_change_jobs() -> None:
    operator = client("view_job", "change_job")
    die("one", "two", "three")
    alive = NewEntry("alive", "mail", b"", 60_000)
    async_to_sync(registry.store().schedule)([alive])
    page = operator.get(DEAD).content.decode()
    assert "&lt;i&gt;gave up two&lt;/i&gt;" in page
    assert "sesame" not in page
    names = {key: key.encode().hex() for key in ("one", "two", "alive")}
    done = operator.post(DEAD, {"action": "revive", "key": [names["one"], names["alive"]]}, follow=True)
    assert "1 of 2 entries are due now." in done.content.decode()
    done = operator.post(DEAD, {"action": "drop", "key": [names["two"], names["alive"]]}, follow=True)
    assert "1 of 2 entries are forgotten." in done.content.decode()
    assert dead_keys() == ["three"]
    one, two, still = async_to_sync(registry.store().peek)(["one", "two", "alive"])
    assert (one is not None, two, still is not None) == (True, None, True)


def test_who_may_only_look_revives_and_drops_nothing() -> None:
    viewer = client("view_job")
    die("one")
    page = viewer.get(DEAD).content.decode()
    assert "gave up one" in page
    assert "<button" not in page.partition('id="content-main"')[2].partition("</form>")[0].replace("logout", "")
    for action in ("revive", "drop"):
        assert viewer.post(DEAD, {"action": action, "key": [b"one".hex()]}).status_code == 403
    assert dead_keys() == ["one"]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"action": "explode", "key": ["00"]}, "expected one of revive, drop"),
        ({"action": "drop"}, "expected 1 to 200 of them, got 0."),
        ({"action": "drop", "key": ["zz"]}, "expected those that the page has"),
    ],
)
def test_a_form_that_makes_no_sense_is_refused(form: dict[str, Any], expected: str) -> None:
    die("one")
    page = client("view_job", "change_job").post(DEAD, form, follow=True).content.decode()
    assert expected in page
    assert dead_keys() == ["one"]


def test_a_store_that_is_away_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*args: object) -> None:
        raise StoreAway("gone")

    operator = client("view_job", "change_job")
    monkeypatch.setattr(registry.store(), "dead", away)
    monkeypatch.setattr(registry.store(), "revive", away)
    for answer in (operator.get(DEAD), operator.post(DEAD, {"action": "revive", "key": ["00"]}, follow=True)):
        assert answer.status_code == 200
        assert "Expected a delay store that answers; it does not." in answer.content.decode()


def test_a_key_that_is_no_text_is_shown_and_dropped() -> None:
    operator = client("view_job", "change_job")
    key = b"\xff<i>".decode(errors="surrogateescape")
    die(key)
    page = operator.get(DEAD).content.decode()
    assert "\\udcff&lt;i&gt;" in page
    assert "<i>" not in page
    (name,) = re.findall(r'name="key" value="(\w+)"', page)
    operator.post(DEAD, {"action": "drop", "key": [name]})
    assert dead_keys() == []
