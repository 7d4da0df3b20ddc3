"""Log records: what they say they are about, and that nobody writes a line but us."""

from __future__ import annotations

import json
import logging
import logging.config
import re
import runpy
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.test import AsyncClient, RequestFactory, override_settings
from django.urls import ResolverMatch

from progrock import jobs
from progrock.aside import Aside, anywhere
from progrock.exceptions import Unavailable
from progrock.http.route import route
from progrock.logs import About, Json, Line, about, know, named, safe
from progrock.sharing import ashare
from progrock.step import Reading
from progrock.testing import State, adrain, rock
from progrock.updates import hub
from tests.conftest import until
from tests.documents import ROOT, code

HOSTILE = [
    "one\n2026-11-21 18:00:00,000 ERROR progrock: forged",
    "one\r\ntwo",
    "\x1b[2J\x1b[31mred",
    "\x9b31m",
    "a\u202egnp.exe",
    "a\u2028b\u2029c\x85d",
    "\u2066\u2069\u200f",
    "\ud800",
    "\x00\x07\x08\x7f",
]
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\u200e\u200f\ud800-\udfff]")


class Heard(logging.Handler):
    """Keeps what it is given, as both formats have it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.addFilter(About())
        self.records: list[logging.LogRecord] = []
        self.lines: list[str] = []
        self.objects: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.records.append(record)
        self.lines.append(Line().format(record))
        text = Json().format(record)
        assert "\n" not in text
        self.objects.append(json.loads(text))


@pytest.fixture
def heard() -> Iterator[Heard]:
    handler, logger = Heard(), logging.getLogger("progrock")
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.setLevel(before)
    logger.removeHandler(handler)


logger = logging.getLogger("progrock.tests")


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_no_text_is_more_than_a_part_of_its_line(heard: Heard, text: str) -> None:
    with about(owner=text, service=text, tenant=text):
        logger.error("%s", text, extra={"entry": text})
    (line,), (said,) = heard.lines, heard.objects
    assert not UNSAFE.search(line)
    assert not any(UNSAFE.search(str(value)) for value in said.values())
    assert said["message"] == said["tenant"] == safe(text)
    line.encode()


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_what_is_raised_stays_below_its_line(heard: Heard, text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError:
        logger.exception("It failed.")
    first, *below = heard.lines[0].split("\n")
    assert first.endswith("progrock.tests: It failed.")
    assert below[-1].startswith("    ")
    assert all(line.startswith("    ") and not UNSAFE.search(line) for line in below)
    assert heard.objects[0]["exception"].split("\n") == below


def test_a_line_with_a_mistake_is_said_nevertheless() -> None:
    heard = Heard()
    extra = {"many": 10**400, "nan": float("nan"), "object": object()}
    heard.handle(logging.makeLogRecord({"name": "progrock", "msg": "%d of %s\n", "args": ("two",), **extra}))
    assert "%d of %s\\n (its arguments do not fit: TypeError)" in heard.lines[0]
    assert not {"many", "nan", "object"} & heard.objects[0].keys()


def test_what_is_long_is_cut(heard: Heard) -> None:
    logger.error("x" * 20_000, extra={"entry": "y" * 2_000})
    assert (len(heard.objects[0]["message"]), len(heard.objects[0]["entry"])) == (10_001, 501)


def test_a_line_says_nothing_twice(heard: Heard) -> None:
    job = uuid.uuid4()
    with about(job=job, service="synth"):
        logger.warning("Job %s starts late.", job)
    logger.warning("Job %s starts late.", job)
    with about(attempt=1, service="art"):
        logger.warning("1 step starts late.")
    assert heard.lines[2].endswith("1 step starts late. [service=art attempt=1]")
    assert heard.lines[0].endswith(f"progrock.tests: Job {job} starts late. [service=synth]")
    assert heard.lines[1].endswith(f"progrock.tests: Job {job} starts late.")
    assert [said.get("job") for said in heard.objects] == [str(job), None, None]


def test_inside_is_laid_over_outside_and_a_line_over_both(heard: Heard) -> None:
    with about(job="a", owner="user:7"):
        with about(job="b"):
            logger.error("In.", extra={"service": "c"})
        logger.error("Out.", extra={"job": "d", "message_": 1})
    logger.error("After.")
    picked = [{name: said.get(name) for name in ("job", "owner", "service")} for said in heard.objects]
    assert picked == [
        {"job": "b", "owner": "user:7", "service": "c"},
        {"job": "d", "owner": "user:7", "service": None},
        {"job": None, "owner": None, "service": None},
    ]


def test_no_word_takes_the_place_of_a_records_own(heard: Heard) -> None:
    with about(level="FORGED", msg="forged", time="forged", levelname="FORGED"):
        logger.error("Ours.")
    said = heard.objects[0]
    assert (said["message"], said["level"]) == ("Ours.", "ERROR")
    assert said["time"] != "forged"
    assert "FORGED" not in heard.lines[0]


def test_a_session_is_known_again_and_not_shown() -> None:
    session = "session:8d1fd0c5a4b6"
    assert named(session) == named(session) != named("session:8d1fd0c5a4b7")
    assert re.fullmatch("session:#[0-9a-f]{12}", named(session))
    assert (named("user:7"), named("")) == ("user:7", "")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("step", ["start", "poll"])
async def test_what_an_adapter_logs_says_whose_step_it_is(heard: Heard, step: str) -> None:
    declared = {"press": {"BACKEND": "progrock.testing.ScriptedService"}}
    with override_settings(PROGROCK={"SERVICES": declared}), rock() as remote:
        job = (await jobs.astart("press", owner="session:secret")).job
        if step == "start":
            remote.start_look.append(RuntimeError("broken"))
        else:
            remote.say(RuntimeError("broken"), Reading(State.SUCCEEDED))
        await adrain()
    said = next(each for each in heard.objects if each["message"] == "An adapter failed.")
    assert (said["job"], said["service"], said["owner"]) == (job, "press", named("session:secret"))
    assert said["attempt"] >= 1
    assert said["receipt"] > 1e15
    assert "RuntimeError: broken" in said["exception"]
    assert "secret" not in "".join(heard.lines)


@pytest.mark.django_db(transaction=True)
async def test_a_question_for_many_is_about_none_of_them(heard: Heard) -> None:
    declared = {"press": {"BACKEND": "progrock.testing.ScriptedService"}}
    with override_settings(PROGROCK={"SERVICES": declared}), rock() as remote:
        for _ in range(3):
            await jobs.astart("press", owner="user:7")
        remote.say(RuntimeError("broken"), Reading(State.SUCCEEDED))
        await adrain()
    said = [each for each in heard.objects if each["message"] == "An adapter failed."]
    assert ("press", 3, None) in [(each["service"], each.get("leases"), each.get("job")) for each in said]
    # The jobs are then asked for one by one, and each by itself is about one again.
    assert len({each["job"] for each in said if "job" in each}) >= 2
    assert all("leases" not in each for each in said if "job" in each)


async def test_a_process_ear_is_about_nobody(heard: Heard) -> None:
    class Deaf:
        def deliver(self, update: object) -> bool:
            raise RuntimeError

    sink = Deaf()
    with about(job="first", owner="user:7"):
        await hub().watch("user:7", "first", sink)
    await hub()._layer.group_send(next(iter(hub()._joined)), {"type": "prog.updates"})
    await until(lambda: any("dropped a message" in line for line in heard.lines))
    assert not {"job", "owner"} & heard.objects[-1].keys()
    await hub().unwatch("user:7", "first", sink)


async def test_what_another_thread_logs_is_about_the_same(heard: Heard) -> None:
    with about(job="j"):
        await Aside(1).run(lambda: logger.error("There."))
        await SyncToAsync(lambda: anywhere(lambda: logger.error("And there.")))()
        anywhere(lambda: logger.error("Anywhere."))
    assert [each["job"] for each in heard.objects] == ["j"] * 3


AWAY: list[Exception] = [Unavailable("It is away."), OperationalError("away"), RuntimeError("broken")]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", AWAY, ids=lambda error: type(error).__name__)
async def test_no_token_of_a_url_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Django writes the path of each answer that refuses something; a line without it takes its place."""
    declared = {"press": {"BACKEND": "progrock.testing.ScriptedService"}}
    with override_settings(PROGROCK={"SERVICES": declared}):
        token = await ashare((await jobs.astart("press", owner="me")).job, owner="me")
        path, browser = f"/prog/shared/{token}/", AsyncClient(enforce_csrf_checks=True)
        assert (await browser.get(path)).status_code == 200
        assert (await browser.get(f"/prog/shared/{token[:-1]}/")).status_code == 404
        assert (await browser.put(path)).status_code == (await browser.post(path)).status_code == 405

        async def away(*_: object) -> None:
            raise error

        monkeypatch.setattr(jobs, "alook", away)
        assert (await browser.get(path)).status_code == 503
    assert token[:-1] not in caplog.text
    *refused, last = [each.getMessage() for each in caplog.records if each.name == "progrock.http.route"]
    where = "prog/shared/<str:token>/"
    assert refused == [
        f"Not Found: 'GET' {where}",
        *(f"Method Not Allowed: {how!r} {where}" for how in ("PUT", "POST")),
    ]
    assert last in (
        f"Service Unavailable: 'GET' {where}",
        "A request is refused: OperationalError('away')",
        f"A request could not be answered: 'GET' {where}",
    )


@pytest.mark.django_db(transaction=True)
async def test_other_paths_are_logged_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    assert (await AsyncClient().get("/prog/jobs/x/")).status_code == 404
    assert [(each.name, each.getMessage()) for each in caplog.records] == [
        ("django.request", "Not Found: /prog/jobs/x/")
    ]


async def test_a_request_that_fails_is_named_by_its_route(heard: Heard) -> None:
    async def fails(request: HttpRequest, job: str, token: str) -> HttpResponseBase:
        raise RuntimeError

    request = RequestFactory().get("/shared/sesame/")
    request.resolver_match = ResolverMatch(fails, (), {}, route="shared/<token>/")
    answer = await route(GET=fails)(request, job="j\x1b", token="sesame")
    assert answer.status_code == 503
    (said,), (line,) = heard.objects, heard.lines
    assert (said["message"], said["job"]) == ("A request could not be answered: 'GET' shared/<token>/", "j\\x1b")
    assert "sesame" not in line + str(said)


async def test_a_task_says_what_it_is_about_from_now_on(heard: Heard) -> None:
    with about(job="outer"):
        know(entry="inner")
        logger.error("Now.")
    assert (heard.objects[0].get("job"), heard.objects[0]["entry"]) == (None, "inner")


def test_nothing_is_installed_by_importing_it() -> None:
    says = (
        "import logging, sys; before = logging.getLogRecordFactory(); import progrock.logs;"
        "root = logging.getLogger();"
        "print(logging.getLogRecordFactory() is before, root.filters, root.handlers,"
        "[name for name in sys.modules if name.startswith('django')])"
    )
    told = subprocess.run(
        [sys.executable, "-c", says], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout.split("\n")[0] == "True [] [] []"


def _settings(monkeypatch: pytest.MonkeyPatch, text: str) -> dict[str, Any]:
    monkeypatch.setenv("DEBUG", "1")
    monkeypatch.setenv("LOG_FORMAT", text)
    return runpy.run_path(str(ROOT / "config/settings.py"))


@pytest.mark.parametrize(("text", "form"), [("", "line"), ("line", "line"), ("json", "json")])
def test_the_environment_says_which_format(monkeypatch: pytest.MonkeyPatch, text: str, form: str) -> None:
    assert _settings(monkeypatch, text)["LOGGING"]["handlers"]["console"]["formatter"] == form


def test_a_format_that_nobody_knows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImproperlyConfigured, match="Expected LOG_FORMAT in the environment as line or json, got 'xml'"):
        _settings(monkeypatch, "xml")


def _documented(label: str) -> str:
    text = (ROOT / "docs/howto/read-the-logs.md").read_text()
    (line,) = re.findall(rf"^```{label}\n(.*)\n```$", text, re.MULTILINE)
    return str(line)


def test_the_lines_of_the_docs_are_what_comes_out() -> None:
    scope: dict[str, Any] = {}
    exec(code("howto/read-the-logs.md", "settings"), scope)
    made = logging.config.DictConfigurator(scope["LOGGING"])

    def make(name: str) -> logging.Formatter:
        formatter = made.configure_formatter(made.config["formatters"][name])
        assert isinstance(formatter, logging.Formatter)
        return formatter

    said = json.loads(_documented("json line"))
    record = logging.makeLogRecord(
        {"name": said["logger"], "levelno": 40, "levelname": said["level"], "msg": said["message"], "process": 42}
    )
    record.created, record.msecs = 1795284000.25, 250.0
    with about(**{name: said[name] for name in ("job", "service", "owner", "attempt", "receipt")}):
        assert made.configure_filter(made.config["filters"]["about"]).filter(record)
    assert make("json").format(record) == _documented("json line")
    line = make("line")
    line.converter = time.gmtime
    assert line.format(record) == _documented("text line")


def test_the_hash_of_the_docs_is_right() -> None:
    call, result = re.findall(r"^(named\(.*\))  # (\".*\")$", code("howto/read-the-logs.md", "named"), re.MULTILINE)[0]
    assert eval(call, {"named": named}) == eval(result)


def test_the_example_of_the_docs_says_more(heard: Heard) -> None:
    exec(code("howto/read-the-logs.md", "more"), {"job": "j", "logger": logger})
    assert (heard.objects[0]["tenant"], heard.objects[0]["job"]) == ("acme", "j")
