"""Queues in place of those of pluto-rt: what is pushed, who may read it, and what nobody can choose."""

from __future__ import annotations

import asyncio
import gc
import re
import uuid
from collections.abc import Iterator
from contextlib import aclosing
from html import unescape
from typing import Any, cast

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from django.core.signing import Signer
from django.http import HttpResponse
from django.template import engines
from django.test import AsyncClient, override_settings
from django.urls import NoReverseMatch, include, path, reverse

from progrock import jobs, registry
from progrock.contrib.pluto_rt.ops import Queue, get_rt_queue_handle, job_of
from progrock.exceptions import Invalid, NotFound
from progrock.protocol import State
from progrock.push.reporter import reporter
from tests.conftest import until
from tests.documents import ROOT, code
from tests.fragments.conftest import EVENTS, EVIL, told
from tests.http.conftest import refused
from tests.http.conftest import uncounted as uncounted
from tests.push.conftest import engine as engine
from tests.push.conftest import services as services

pytestmark = pytest.mark.usefixtures("engine")

HOWTO = "howto/come-from-pluto-rt.md"
ROW = "<li>{{ item.msg }}</li>"
ROWS = {"pluto_rt/item.html": ROW, "imports/pluto_rt_item.html": ROW, "secret.html": "secret"}
urlpatterns = [path("rt/", include("progrock.contrib.pluto_rt.urls"))]


@pytest.fixture(autouse=True)
def site() -> Iterator[None]:
    templates: Any = {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "loaders": [
                ("django.template.loaders.locmem.Loader", ROWS),
                "django.template.loaders.app_directories.Loader",
            ]
        },
    }
    apps = [*settings.INSTALLED_APPS, "progrock.contrib.pluto_rt"]
    with override_settings(ROOT_URLCONF=__name__, TEMPLATES=[templates], INSTALLED_APPS=apps):
        yield


@pytest.fixture
def name() -> str:
    return f"listqueue_{uuid.uuid4()}"


@pytest.fixture
def visitor() -> AsyncClient:
    return AsyncClient()


def at(by: str, name: str, template: str = "pluto_rt/item.html") -> str:
    return reverse(f"pluto_rt:{by}", args=[name, template])


def pushed(name: str, first: int, last: int) -> Queue:
    queue = get_rt_queue_handle(name)
    for n in range(first, last + 1):
        queue.push({"msg": f"<{n}>", "n": n})
    return queue


def rows(first: int, last: int) -> str:
    return "".join(f"<li>&lt;{n}&gt;</li>" for n in range(first, last + 1))


async def got(visitor: AsyncClient, where: str, accept: str = "*/*") -> HttpResponse:
    return cast("HttpResponse", await visitor.get(where, headers={"accept": accept}))


async def asked(visitor: AsyncClient, where: str, body: str, status: int) -> None:
    """See that an answer comes to be this, soon."""
    answers: list[tuple[int, str]] = []

    async def so() -> bool:
        response = await got(visitor, where)
        answers.append((response.status_code, response.content.decode()))
        return answers[-1] == (status, body)

    try:
        await until(so)
    except AssertionError:
        raise AssertionError(f"expected {status} {body!r}, got {answers[-1]}") from None


async def test_no_name_of_a_queue_is_logged(name: str, visitor: AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    """Who comes first with one has the queue."""
    await sync_to_async(pushed)(name, 1, 1)
    await got(visitor, at("polling", name))
    other = AsyncClient(enforce_csrf_checks=True)
    for by in ("sse", "polling"):
        assert (await got(other, at(by, name))).status_code == 404
        assert (await other.post(at(by, name))).status_code == 405
    assert len([each for each in caplog.records if "<pluto_rt_queue:queue_name>" in each.getMessage()]) == 4
    assert at("sse", name).split("/")[-2] not in caplog.text


@pytest.mark.parametrize("sync", [True, False])
async def test_a_handle_pushes_and_reads_wherever_it_is(name: str, sync: bool) -> None:
    def work() -> None:
        queue = pushed(name, 1, 5)
        reader = get_rt_queue_handle(name)
        assert [item["n"] for item in reader.range(0, -1)] == [1, 2, 3, 4, 5]
        assert [item["n"] for item in reader.range(1, 2)] == [2, 3]
        assert [item["n"] for item in reader.range(-2, -1)] == [4, 5]
        assert [item["n"] for item in reader.range(4, 99)] == [5]
        assert reader.range(9, 12) == reader.range(-1, 0) == []
        # Each handle pops for itself.
        assert [reader.pop()["n"] for _ in range(5)] == [1, 2, 3, 4, 5]
        assert reader.pop() is None
        assert queue.pop()["n"] == 1
        queue.complete()
        assert len(queue.range(0, -1)) == 5

    await sync_to_async(work)() if sync else work()


def test_what_a_journal_does_not_keep_is_not_counted_anew(name: str) -> None:
    with override_settings(PROGROCK={"JOURNAL_MOST": 3}):
        registry.forget()
        queue = pushed(name, 1, 5)
        assert [item["n"] for item in queue.range(0, -1)] == [3, 4, 5]
        assert [item["n"] for item in queue.range(3, 3)] == [4]
        assert queue.range(0, 1) == []
        assert [queue.pop()["n"], queue.pop()["n"]] == [3, 4]


@pytest.mark.parametrize("item", [object(), {"msg": "x" * 5_000}, {1j: 2}])
def test_what_is_no_json_is_refused_where_it_is_pushed(name: str, item: Any) -> None:
    with pytest.raises(Invalid, match="data: expected"):
        get_rt_queue_handle(name).push(item)


async def test_complete_returns_at_once(name: str) -> None:
    queue = pushed(name, 1, 1)
    loop = asyncio.get_running_loop()
    began = loop.time()
    queue.complete(clear_delay=5)
    assert loop.time() - began < 2


async def test_polls_count_rows_as_pluto_rt_does(name: str, visitor: AsyncClient) -> None:
    where = at("polling", name)
    await asked(visitor, f"{where}?index=0&count=2", "", 204)
    pushed(name, 1, 7)
    await asked(visitor, f"{where}?index=5", rows(6, 7), 200)
    await asked(visitor, f"{where}?index=0&count=2&mode=", rows(1, 3), 200)
    await asked(visitor, f"{where}?index=3&count=1&mode=reverse", rows(5, 5) + rows(4, 4), 200)
    await asked(visitor, f"{where}?mode=replace&index=1", rows(7, 7), 200)
    await asked(visitor, f"{where}?index=7", "", 204)
    get_rt_queue_handle(name).complete()
    await asked(visitor, f"{where}?index=7", "", 286)
    await asked(visitor, f"{where}?index=0&count=2", rows(1, 3), 200)
    await asked(visitor, f"{where}?index=4&count=9", rows(5, 7), 286)
    await asked(visitor, f"{where}?mode=replace&index=1", rows(7, 7), 286)


async def test_a_stream_has_the_events_of_pluto_rt(
    name: str, visitor: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("progrock.fragments.view.HEARTBEAT", 0.1)
    response: Any = await visitor.get(at("sse", name), headers={"accept": EVENTS})
    kinds: list[str] = []
    data: list[str] = []
    async with asyncio.timeout(60):
        async for event in told(response):
            if event.kind == "keepalive" and "keepalive" not in kinds:
                queue = pushed(name, 1, 3)
                queue.push({"msg": EVIL})
                queue.push(queue.QUEUE_EXHAUSTED)
            kinds.append(event.kind)
            data += [event.data] if event.kind == "message" else []
    assert data[:3] == [rows(n, n) for n in (1, 2, 3)]
    assert "<script" not in data[3]
    assert "&lt;script&gt;" in data[3]
    assert (len(data), kinds[-1]) == (4, "close")
    # Whoever comes late has it all, from a template of ours at once.
    response = await visitor.get(at("sse", name) + "?reset=1&mode=reverse", headers={"accept": EVENTS})
    events = [event async for event in told(response)]
    assert [event.kind for event in events] == ["reset", "close"]
    assert events[0].data.endswith(rows(3, 3) + rows(2, 2) + rows(1, 1))


async def test_a_stream_that_breaks_off_goes_on_behind_its_last_row(name: str, visitor: AsyncClient) -> None:
    pushed(name, 1, 9).complete()
    await asked(visitor, at("polling", name) + "?index=8", rows(9, 9), 286)
    data, cursor = "", ""
    for _ in range(20):
        headers = {"accept": EVENTS} | ({"last-event-id": cursor} if cursor else {})
        response: Any = await visitor.get(at("sse", name), headers=headers)
        taken = []
        async with aclosing(told(response)) as events:
            async for event in events:
                taken.append(event.kind)
                data += event.data
                cursor = event.id or cursor
                if len(taken) == 2:
                    break
        if "close" in taken:
            break
    assert data == rows(1, 9)


async def test_a_queue_is_that_of_who_came_first(name: str, visitor: AsyncClient) -> None:
    pushed(name, 1, 1)
    await asked(visitor, at("polling", name) + "?index=0", rows(1, 1), 200)
    for by in ("polling", "sse"):
        stranger = AsyncClient()
        detail = refused(await got(stranger, at(by, name), EVENTS), 404, "not_found")
        assert detail == f"Expected the id of a job of yours, got {job_of(name)}."
    await asked(visitor, at("polling", name) + "?index=0", rows(1, 1), 200)


async def test_a_queue_may_be_somebodys_from_the_beginning(name: str, visitor: AsyncClient) -> None:
    ada, bob = [await User.objects.acreate(username=each) for each in ("ada", "bob")]
    get_rt_queue_handle(name, owner=ada)
    with pytest.raises(NotFound):
        get_rt_queue_handle(name, owner=bob)
    pushed(name, 1, 1).complete()
    await visitor.aforce_login(bob)
    refused(await got(visitor, at("polling", name)), 404, "not_found")
    await visitor.aforce_login(ada)
    await asked(visitor, at("polling", name), rows(1, 1), 286)
    (job,) = await jobs.alist_mine(owner=f"user:{ada.pk}")
    assert (job.job, job.title, job.state) == (job_of(name), name, State.SUCCEEDED)


async def test_nobody_names_a_queue_or_a_template(name: str, visitor: AsyncClient) -> None:
    pushed(name, 1, 1)
    queue, template = at("polling", name).split("/")[-2:]
    for nothing in ("", None):
        with pytest.raises(NoReverseMatch):
            reverse("pluto_rt:sse", args=[name, nothing])
    plain = Signer(salt="guessed").sign_object(name)
    for path_to in (
        f"{name}/{template}",
        f"{queue}/secret.html",
        f"{queue}/pluto_rt/item.html",
        f"{queue}/../secret.html",
        f"{plain}/{template}",
        f"{template}/{template}",
        f"{queue}/{queue}",
        f"{queue}/{template[:-1]}",
        f"{queue}/{'x' * 3_000}",
    ):
        for by in ("polling", "sse"):
            assert (await visitor.get(f"/rt/{by}/{path_to}")).status_code == 404
    for query in ("index=x", "index=-1", "count=x&index=0", f"index={10**12}", "count=100000"):
        refused(await got(visitor, f"{at('polling', name)}?{query}"), 400, "invalid")


async def test_a_handle_that_is_kept_says_that_its_code_is_alive(name: str) -> None:
    queue = pushed(name, 1, 1)
    pulse = queue._pulse
    assert pulse in reporter()._tellers

    assert pulse
    pulse._at = float("-inf")
    reporter().wake()
    await until(lambda: pulse._at > 0)
    queue.complete()
    assert pulse.over
    gone = pushed(name + "2", 1, 1)._pulse
    gc.collect()
    assert gone
    assert gone.over
    await until(lambda: not {pulse, gone} & set(reporter()._tellers))


async def test_what_the_how_to_says_works(name: str, visitor: AsyncClient) -> None:
    scope: dict[str, Any] = {}
    for each in ("settings", "urls", "work"):
        exec(code(HOWTO, each), scope)
    assert scope["INSTALLED_APPS"][1] in settings.INSTALLED_APPS
    assert [str(each.pattern) for each in scope["urlpatterns"]] == ["rt_messages/"]
    await sync_to_async(scope["import_rows"])(name)
    (source,) = re.findall(r"^```html page\n(.*?)^```", (ROOT / "docs" / HOWTO).read_text(), re.MULTILINE | re.DOTALL)
    context = {"queue_name": name, "mode": "reverse"}
    shown = engines["django"].from_string(source).render(context)
    (where,) = re.findall(r'sse-connect="([^"]+)"', shown)
    response: Any = await got(visitor, unescape(where), EVENTS)
    assert "".join([event.data for event in [each async for each in told(response)]]) == (
        "<li>It is done.</li><li>It begins.</li>"
    )
    assert set(re.findall(r'hx-target="([^"]+)"', shown)) == {"#results", "#pluto-rt-sse"}
    assert 'hx-swap="afterbegin"' in shown
    polling = (
        engines["django"].get_template("pluto_rt/polling.html").render({**context, "item_template": "secret.html"})
    )
    (where,) = re.findall(r'hx-get="([^"]+)"', polling)
    response = await visitor.get(unescape(where) + "&after=", headers={"hx-trigger": "pluto-rt-polling"})
    assert (response.status_code, response.content.count(b"secret")) == (286, 2)
    assert b'id="pluto-rt-polling-cursor"' in response.content
    assert 'id="pluto-rt-polling-cursor"' in polling
