"""Spans: one trace from a click to a job's end, over a real socket's receiver, schedule, worker and HTTP."""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from django.test import AsyncClient, override_settings
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from progrock import jobs, registry, tracing
from progrock.aside import Aside
from progrock.logs import About
from progrock.services import Client
from progrock.step import Miss
from progrock.testing import Reading, State, adrain, rock
from tests.conftest import until
from tests.consumers.test_receiver import Socket
from tests.documents import ROOT, code

PAGE = "howto/trace-with-opentelemetry.md"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What was exported. The provider is this test's alone: that of a process can be set once."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield exporter
    provider.shutdown()


class Press:
    """A service over HTTP; its first job fails if told so, and others succeed at the second look."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str | None]] = []
        self.looks: dict[str, int] = {}
        self.status = 200

    async def start(self, request: web.Request) -> web.Response:
        """Take a job."""
        self._note(request)
        name = str((await request.json())["job"])
        self.looks[name] = 0
        return web.json_response({"id": name, "state": "running"})

    async def look(self, request: web.Request) -> web.Response:
        """Say how it stands."""
        self._note(request)
        name = request.match_info["name"]
        self.looks[name] += 1
        return web.json_response(
            {"id": name, "state": "succeeded" if self.looks[name] > 1 else "running"}, status=self.status
        )

    def _note(self, request: web.Request) -> None:
        self.headers.append((request.method, request.headers.get("traceparent")))


@pytest.fixture
def options() -> dict[str, Any]:
    return {}


@pytest.fixture
async def press(options: dict[str, Any]) -> AsyncIterator[Press]:
    made = Press()
    application = web.Application()
    application.router.add_post("/prints", made.start)
    application.router.add_get("/prints/{name}", made.look)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    options |= {
        "base_url": f"http://127.0.0.1:{runner.addresses[0][1]}",
        "start": {"call": "POST /prints", "json": "{job: job}"},
        "status": {"call": "GET /prints/{remote}?key=sesame-sesame"},
        "reading": {"remote": "id", "state": "state"},
    }
    yield made
    await runner.cleanup()


@pytest.fixture
async def service(press: Press, options: dict[str, Any]) -> AsyncIterator[None]:
    policy = {"interval": 5, "retry": 2, "retry_most": 20, "nonsense": 1, "patience": 2_000, "deadline": 60_000}
    declared = {"BACKEND": "progrock.services.HTTPService", "OPTIONS": options, "POLICY": policy}
    with override_settings(PROGROCK={"SERVICES": {"press": declared}}):
        yield


def _one_trace(found: list[ReadableSpan]) -> dict[str, list[ReadableSpan]]:
    """Return spans by name, in their order, after a look whether they are one trace with one root."""
    assert len({span.context.trace_id for span in found}) == 1, [span.name for span in found]
    ids = {span.context.span_id for span in found}
    assert [span.name for span in found if span.parent is None or span.parent.span_id not in ids] == [found[0].name]
    named: dict[str, list[ReadableSpan]] = {}
    for span in found:
        named.setdefault(span.name, []).append(span)
    return named


def _sorted(spans: InMemorySpanExporter) -> list[ReadableSpan]:
    return sorted(spans.get_finished_spans(), key=lambda span: span.start_time or 0)


def _job(span: ReadableSpan) -> object:
    return (span.attributes or {})["messaging.message.id"]


@pytest.mark.parametrize("click", ["websocket", "http"])
@pytest.mark.parametrize("options", [{}, {"traceparent": True}], ids=["silent", "told"])
async def test_one_trace_from_a_click_to_the_end(
    engine: object,
    spans: InMemorySpanExporter,
    press: Press,
    options: dict[str, Any],
    tasks: Callable[[Awaitable[None]], asyncio.Task[None]],
    click: str,
) -> None:
    if click == "websocket":
        socket = Socket(tasks)
        socket.say({"action": "start", "service": "press"})
        job, asked = (await socket.hear("accepted"))["job"], "frame start"
    else:
        answer = await AsyncClient().post("/prog/jobs/", {}, content_type="application/json")
        job, asked = answer.json()["job"], "POST prog/jobs/"
    await until(lambda: any("progrock.state" in (span.attributes or {}) for span in spans.get_finished_spans()))
    found = _sorted(spans)
    named = _one_trace(found)
    assert set(named) == {asked, "start press", "step press", "POST", "GET"}
    (root,), (start,), steps = named[asked], named["start press"], named["step press"]
    assert (root.kind, start.kind) == (SpanKind.SERVER, SpanKind.PRODUCER)
    assert start.parent is not None
    assert start.parent.span_id == root.context.span_id
    assert {step.parent and step.parent.span_id for step in steps} == {start.context.span_id}
    assert {step.kind for step in steps} == {SpanKind.CONSUMER}
    calls = [*named["POST"], *named["GET"]]
    assert len(calls) == len(press.headers) == 3
    # Each in a step of its own.
    assert {call.parent and call.parent.span_id for call in calls} == {step.context.span_id for step in steps}
    last = dict(steps[-1].attributes or {})
    late = last.pop("progrock.lateness")
    assert isinstance(late, float)
    assert 0 <= late < 10
    assert last == {
        "messaging.system": "progrock",
        "messaging.destination.name": "prog-rocker",
        "messaging.operation.name": "step",
        "messaging.operation.type": "process",
        "messaging.message.id": job,
        "progrock.service": "press",
        "progrock.attempt": 1,
        "progrock.state": "succeeded",
        "progrock.outcome": "done",
    }
    assert {(call.kind, (call.attributes or {})["http.response.status_code"]) for call in calls} == {
        (SpanKind.CLIENT, 200)
    }
    # Credentials may be in a query.
    assert (named["GET"][0].attributes or {})["url.full"] == f"{options['base_url']}/prints/{job}"
    assert "sesame" not in "".join(span.to_json() for span in found)
    sent = [traceparent for _, traceparent in press.headers]
    if options.get("traceparent"):
        ids = [f"00-{call.context.trace_id:032x}-{call.context.span_id:016x}-01" for call in calls]
        assert sorted(map(str, sent)) == sorted(ids)
    else:
        assert sent == [None] * 3
    assert _documented() >= {name for span in found for name in span.attributes or {}}


async def test_each_of_many_jobs_that_are_asked_for_one_by_one_has_its_own_trace(
    service: None, press: Press, options: dict[str, Any], spans: InMemorySpanExporter, transactional_db: None
) -> None:
    adapter = registry.service("press")
    steps = tracing.Steps()
    press.looks = {"r-0": 0, "r-1": 0, "r-2": 0}
    for name in press.looks:
        steps.begin("press", f"job {name}", "", 1, 0)
    with tracing.looking("press", [(name, f"job {name}") for name in press.looks]):
        await adapter.poll(list(press.looks))
    for name in press.looks:
        steps.end(f"job {name}", "shown")
    found = _sorted(spans)
    of = {span.context.span_id: span for span in found if span.name == "step press"}
    calls = [span for span in found if span.name == "GET"]
    assert len(calls) == len(of) == 3
    assert {_job(of[call.parent.span_id]) for call in calls if call.parent} == {f"job {name}" for name in press.looks}
    (look,) = [span for span in found if span.name == "look press"]
    assert {link.context.span_id for link in look.links} == of.keys()
    assert _documented() >= set(look.attributes or {})
    await registry.aclose()


@pytest.mark.django_db(transaction=True)
async def test_steps_of_many_jobs_link_to_what_asked_for_all(spans: InMemorySpanExporter) -> None:
    declared = {"press": {"BACKEND": "progrock.testing.ScriptedService"}}
    with override_settings(PROGROCK={"SERVICES": declared}), rock() as remote:
        started = [(await jobs.astart("press", owner="user:7")).job for _ in range(2)]
        remote.say(Reading(State.FAILED, message="No ink."))
        await adrain()
    found = _sorted(spans)
    looks = [span for span in found if span.name == "look press"]
    ends = [span for span in found if "progrock.state" in (span.attributes or {})]
    assert {_job(span) for span in ends} == set(started)
    assert [(span.status.status_code, (span.attributes or {})["progrock.state"]) for span in ends] == [
        (StatusCode.ERROR, "failed")
    ] * 2
    assert {link.context.span_id for look in looks for link in look.links} == {span.context.span_id for span in ends}
    # Two clicks, two traces; the look is in neither.
    assert len({span.context.trace_id for span in found if span not in looks}) == 2


@pytest.mark.django_db(transaction=True)
async def test_a_job_without_a_trace_begins_one_with_a_step(request: pytest.FixtureRequest) -> None:
    declared = {"press": {"BACKEND": "progrock.testing.ScriptedService"}}
    with override_settings(PROGROCK={"SERVICES": declared}), rock():
        await jobs.astart("press", owner="user:7")
        spans: InMemorySpanExporter = request.getfixturevalue("spans")
        await adrain()
    named = _one_trace(_sorted(spans))
    assert set(named) == {"step press"}
    assert len(named["step press"]) >= 3


async def test_a_call_that_went_wrong_says_how(
    service: None, press: Press, options: dict[str, Any], spans: InMemorySpanExporter
) -> None:
    press.looks, press.status = {"r": 0}, 503
    client = Client(options["base_url"])
    assert isinstance(await client.call("GET", "/prints/r"), Miss)
    await client.aclose()
    nobody = Client("http://127.0.0.1:9", connect_timeout=500)
    assert isinstance(await nobody.call("GET", "/"), Miss)
    await nobody.aclose()
    told = [((span.attributes or {})["error.type"], span.status.status_code) for span in spans.get_finished_spans()]
    assert told == [("503", StatusCode.ERROR), ("unreachable", StatusCode.ERROR)]


@pytest.mark.parametrize("text", ["", "00-0-0-01", "x" * 100_000, f"00-{'0' * 32}-{'0' * 16}-01", "\x00", "00-é"])
def test_what_is_no_traceparent_begins_a_trace(spans: InMemorySpanExporter, text: str) -> None:
    steps = tracing.Steps()
    following = steps.begin("press", "j", text, 1, 0)
    steps.begin("press", "k", following, 1, 0)
    steps.close()
    first, second = spans.get_finished_spans()
    assert first.parent is None
    if not re.fullmatch("00-0{32}.*", text):
        assert second.context.trace_id == first.context.trace_id
    assert (first.attributes or {})["error.type"] == "broken_off"


def test_what_was_not_sampled_at_its_start_is_not_later(spans: InMemorySpanExporter) -> None:
    steps = tracing.Steps()
    steps.begin("press", "j", f"00-{'1' * 32}-{'2' * 16}-00", 1, 0)
    steps.close()
    assert spans.get_finished_spans() == ()


async def test_a_log_line_has_its_trace(spans: InMemorySpanExporter) -> None:
    def said() -> tuple[object, ...]:
        record = logging.makeLogRecord({})
        About().filter(record)
        return tuple(vars(record).get(name) for name in ("trace_id", "span_id"))

    assert said() == (None, None)
    with tracing.starting("press", "j"):
        here, there = said(), await Aside(1).run(said)
    (span,) = spans.get_finished_spans()
    assert here == there == (f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}")


def test_where_nobody_takes_spans_none_are_made() -> None:
    assert not tracing.Steps()
    with tracing.starting("press", "j"), tracing.serving("frame start"), tracing.calling("GET", "u", "h", 1) as called:
        assert called is None
        assert tracing.traceparent() == ""


def test_without_opentelemetry_there_is_none() -> None:
    says = """if True:
        import sys
        sys.modules["opentelemetry"] = None
        from progrock import logs, tracing
        called = tracing.calling("GET", "u", "h", 1)
        with tracing.starting("s", "j"), tracing.serving("f"), tracing.looking("s", []), called as span:
            print(bool(tracing.Steps()), span, repr(tracing.traceparent()), tracing.ids(), tracing.each(print) is print)
        print(tracing.enter("j"), tracing.ended("j", "s", ""), [name for name in sys.modules if "opentel" in name])
    """
    ran = [sys.executable, "-c", says]
    told = subprocess.run(ran, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout == "False None '' None True\nNone None ['opentelemetry']\n"


def test_the_provider_of_the_docs_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[TracerProvider] = []
    monkeypatch.setattr(trace, "set_tracer_provider", given.append)
    exporter = InMemorySpanExporter()
    exec(code(PAGE, "provider"), {"exporter": exporter})
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: given[0])
    for _ in range(200):
        with tracing.starting("press", "j"):
            pass
    given[0].shutdown()
    assert 0 < len(exporter.get_finished_spans()) < 100


def test_the_setting_of_the_docs_is_taken() -> None:
    scope: dict[str, Any] = {}
    exec(code(PAGE, "settings"), scope)
    with override_settings(PROGROCK=scope["PROGROCK"]):
        assert registry.build("press")._http._traceparent is True  # type: ignore[attr-defined]


def _documented() -> set[str]:
    text = (ROOT / "docs" / PAGE).read_text()
    rows = re.findall(r"^\| (`[^|]+`) \|", text, re.MULTILINE)
    return set(re.findall(r"`([\w.]+)`", "".join(rows)))
