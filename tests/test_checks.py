"""The system checks: each wrong combination is found, and what its hint says mends it."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import pytest
import redis
from channels.layers import InMemoryChannelLayer
from django.conf import settings
from django.core.checks import CheckMessage, run_checks
from django.core.management import get_commands
from django.test import override_settings

from progrock.checks import CORE, IN_MEMORY, PUB_SUB, check_deploy

pytestmark = pytest.mark.django_db  # Django 6.1's own checks ask the database

SERVICE = {"BACKEND": "tests.scripted.ScriptedService"}
HOST = {"address": "redis://127.0.0.1:6379/0", "socket_timeout": 15}
WAIT = 5
MEMORY_LAYER = {"BACKEND": IN_MEMORY}
CLIENTS = {"BACKEND": PUB_SUB, "CONFIG": {"hosts": [HOST]}}
WORK = {"BACKEND": CORE, "CONFIG": {"hosts": [HOST], "expiry": 4}}


def found() -> dict[str, CheckMessage]:
    """Return what our checks find, by id."""
    messages = [message for message in run_checks() if (message.id or "").startswith("progrock")]
    assert len({message.id for message in messages}) == len(messages)
    return {str(message.id): message for message in messages}


def work(**config: Any) -> dict[str, Any]:
    return {"BACKEND": CORE, "CONFIG": {**WORK["CONFIG"], **config}}  # type: ignore[dict-item]


def telling(*addressees: dict[str, Any]) -> dict[str, Any]:
    return {"PROGROCK": {"SERVICES": {"a": SERVICE | {"TELL": list(addressees)}}}}


def test_the_projects_own_settings_are_fine() -> None:
    assert found() == {}


@pytest.mark.parametrize(
    ("wrong", "code", "says"),
    [
        ({"PROGROCK": {"NO": 1}}, "progrock.E001", "unknown key 'NO'"),
        ({"PROGROCK": {"SERVICES": {"a": {"BACKEND": "no.such.Thing"}}}}, "progrock.E001", "No module named"),
        ({"PROGROCK": {"SERVICES": {"a": {"BACKEND": "datetime.date"}}}}, "progrock.E001", "SERVICES['a']"),
        ({"PROGROCK": {"SERVICES": {"a": {"BACKEND": "fractions.Fraction"}}}}, "progrock.E001", "is no Service"),
        (
            {"PROGROCK": {"SERVICES": {"a": SERVICE | {"OPTIONS": {"colour": 1}}}}},
            "progrock.E001",
            "SERVICES['a']",
        ),
        (
            {"PROGROCK": {"SERVICES": {"a": SERVICE | {"HOOK": {"form": "standard", "secrets": ["${NO_SUCH}"]}}}}},
            "progrock.E001",
            "SERVICES['a']: HOOK[\"secrets\"]: expected ${NO_SUCH} to be set in the environment",
        ),
        (telling({"call": "no.such.thing"}), "progrock.E001", "SERVICES['a']: TELL[0]: call: No module named 'no'"),
        (telling({"call": "tests.test_checks.WAIT"}), "progrock.E001", "TELL[0]: call: expected a function"),
        (telling({"email": "owner", "template": "no.txt"}), "progrock.E001", "TELL[0]: template: expected one that is"),
        (
            telling({"webhook": "https://h/", "secrets": ["${NO_SUCH}"]}),
            "progrock.E001",
            "expected ${NO_SUCH} to be set",
        ),
        (telling({"email": "owner"}, {"email": "nobody"}), "progrock.E001", "email: expected an address or 'owner'"),
    ],
)
def test_a_check_says_what_is_wrong(wrong: dict[str, Any], code: str, says: str) -> None:
    with override_settings(**wrong):
        assert says in found()[code].msg


@pytest.mark.parametrize(
    ("store", "default", "for_work", "code", "says"),
    [
        ("memory", {}, MEMORY_LAYER, "E003", "no channel layer 'default'"),
        ("memory", MEMORY_LAYER, None, "E003", "no channel layer 'work'"),
        ("memory", MEMORY_LAYER, {"BACKEND": "no.such.Layer"}, "E003", "No module named"),
        ("redis", CLIENTS, None, "E003", "no channel layer 'work'"),
        ("redis", MEMORY_LAYER, WORK, "E004", "'default' is in memory"),
        ("redis", CLIENTS, MEMORY_LAYER, "E004", "'work' is in memory"),
        ("redis", CLIENTS, CLIENTS, "E005", "every worker would be sent every entry"),
        ("redis", CLIENTS, work(hosts=[HOST, {"address": "redis://localhost"}]), "E006", "'work' would get"),
        ("redis", CLIENTS, work(hosts=["redis://localhost"]), "E006", "'work' would get"),
        ("redis", CLIENTS, work(hosts=[("localhost", 6379)]), "E006", "'work' would get"),
        ("redis", CLIENTS, work(hosts=[]), "E006", "'work' would get"),
        ("redis", {"BACKEND": PUB_SUB, "CONFIG": {"hosts": ["redis://x"]}}, WORK, "E006", "'default' would get"),
        ("redis", CLIENTS, work(hosts=[HOST | {"address": "redis+cluster://a:1"}]), "E007", "'work' has an address"),
        ("redis", {"BACKEND": CORE, "CONFIG": {"hosts": [HOST]}}, WORK, "W001", "'default' costs"),
        ("memory", CLIENTS, MEMORY_LAYER, "W002", "'default' is a Redis"),
        ("memory", MEMORY_LAYER, WORK, "W002", "'work' is a Redis"),
        ("redis", CLIENTS, work(expiry=5), "W004", "live for 5 s"),
        ("redis", CLIENTS, {"BACKEND": CORE, "CONFIG": {"hosts": [HOST]}}, "W004", "live for 60 s"),
    ],
)
def test_wrong_layers_are_mended_by_doing_as_the_hint_says(
    store: str, default: dict[str, Any], for_work: dict[str, Any] | None, code: str, says: str
) -> None:
    layers = deepcopy({"default": default, "work": for_work} if for_work else {"default": default})
    conf = settings.PROGROCK | {"STORE": {"memory": "memory://", "redis": "redis://127.0.0.1:6379/0"}[store]}
    with override_settings(PROGROCK=conf, CHANNEL_LAYERS=layers):
        messages = found()
        assert set(messages) == {f"progrock.{code}"}
        (message,) = messages.values()
        assert says in message.msg
        written = re.match(r"Write (.+?)\.(?: Or, | Behind |$)", str(message.hint))
        assert written, message.hint
        exec(written[1], {"CHANNEL_LAYERS": layers})
        assert found() == {}


def test_redis_py_before_version_8_waits_for_as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis, "__version__", "7.4.0")
    conf = settings.PROGROCK | {"STORE": "redis://127.0.0.1:6379/0"}
    layers = {"default": CLIENTS, "work": work(hosts=["redis://localhost"])}
    with override_settings(PROGROCK=conf, CHANNEL_LAYERS=layers):
        assert found() == {}
        for timeout, bad in [(3, True), (5, True), ("15", True), (None, False), (5.5, False)]:
            layers["work"] = work(hosts=[HOST | {"socket_timeout": timeout}])
            assert bool(found()) == bad


def test_a_layer_made_from_channels_own_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    conf = settings.PROGROCK | {"STORE": "redis://127.0.0.1:6379/0"}
    layers = {"default": CLIENTS, "work": {"BACKEND": f"{__name__}.OwnLayer"}}
    with override_settings(PROGROCK=conf, CHANNEL_LAYERS=layers):
        assert set(found()) == {"progrock.E004"}


class OwnLayer(InMemoryChannelLayer):
    """Somebody's own."""


def test_commands_that_are_not_ours_are_named() -> None:
    """Channels' own `runworker` would do, but not drain; daphne's `runserver` would not start the engine."""
    theirs = ["daphne", "channels", *settings.INSTALLED_APPS[2:], "progrock"]
    conf = settings.PROGROCK | {"STORE": "redis://127.0.0.1:6379/0"}
    get_commands.cache_clear()  # type: ignore[attr-defined]
    try:
        with override_settings(INSTALLED_APPS=theirs):
            assert says_of_commands() == {"runserver": "daphne", "runworker": "channels"}
        with override_settings(INSTALLED_APPS=theirs, PROGROCK=conf):
            assert says_of_commands() == {"runworker": "channels"}
    finally:
        get_commands.cache_clear()  # type: ignore[attr-defined]
    assert says_of_commands() == {}


def says_of_commands() -> dict[str, str]:
    """Return whose each command is that should be ours."""
    messages = [message for message in run_checks() if message.id == "progrock.W003"]
    owners = {}
    for message in messages:
        name, owner = re.findall(r"'(?:manage.py )?(\w+)'", message.msg)[:2]
        assert message.hint == f'In INSTALLED_APPS, write "progrock" before "{owner}".'
        owners[name] = owner
    return owners


FAR = "redis://redis.example:6379/0"
NEAR = "redis://127.0.0.1:6379/0"
SAFE = "rediss://:password@redis.example:6379/0"


@pytest.mark.parametrize(
    ("store", "host", "without"),
    [
        (NEAR, NEAR, {}),
        ("memory://", None, {}),
        ("unix:///run/redis.sock", "unix:///run/redis.sock", {}),
        ("redis://localhost:6379", ("localhost", 6379), {}),
        ("redis+cluster://[::1]:7000,127.0.0.2:7001", {"host": "::1", "port": 6379}, {}),
        (SAFE, SAFE, {}),
        (NEAR, {"host": "redis.example", "port": 1, "password": "p", "ssl": True}, {}),
        ("redis+sentinel://:p@a:1,b:2/rock?ssl=true", NEAR, {}),
        (FAR, NEAR, {"W005": "STORE", "W006": "STORE"}),
        ("redis://localhost.example:6379/0", NEAR, {"W005": "STORE", "W006": "STORE"}),
        ("redis://10.0.0.1:6379/0?password=p", NEAR, {"W006": "STORE"}),
        ("redis://user@10.0.0.1:6379/0", NEAR, {"W005": "STORE", "W006": "STORE"}),
        ("redis+cluster://127.0.0.1:7000,10.0.0.1:7001", NEAR, {"W005": "STORE", "W006": "STORE"}),
        ("redis+sentinel://:p@a:1,b:2/rock", NEAR, {"W006": "STORE"}),
        (NEAR, FAR, {"W005": "work", "W006": "work"}),
        (NEAR, {"address": "rediss://redis.example"}, {"W005": "work"}),
        (NEAR, {"address": FAR, "password": "p"}, {"W006": "work"}),
        (NEAR, ("redis.example", 6379), {"W005": "work", "W006": "work"}),
        (NEAR, {"sentinels": [("a", 1)], "master_name": "rock", "password": "p"}, {"W006": "work"}),
    ],
)
def test_a_redis_that_is_open_is_named_before_a_deploy(store: str, host: Any, without: dict[str, str]) -> None:
    on = {"BACKEND": CORE, "CONFIG": {"hosts": [host]}} if host else MEMORY_LAYER
    conf = settings.PROGROCK | {"STORE": store}
    with override_settings(PROGROCK=conf, CHANNEL_LAYERS={"default": MEMORY_LAYER, "work": on}):
        messages = check_deploy(None)
        assert {str(message.id).partition(".")[2]: where(message) for message in messages} == without
        assert all("password" not in where(message) for message in messages)


def where(message: CheckMessage) -> str:
    found = re.findall(r'PROGROCK\["(STORE)"\]|CHANNEL_LAYERS\["(\w+)"\]', message.msg)
    return " ".join(one or other for one, other in found)


def test_it_is_said_by_check_deploy_alone() -> None:
    with override_settings(
        PROGROCK=settings.PROGROCK | {"STORE": FAR}, CHANNEL_LAYERS={"default": CLIENTS, "work": WORK}
    ):
        assert not {"progrock.W005", "progrock.W006"} & found().keys()
        ids = {message.id for message in run_checks(include_deployment_checks=True)}
        assert {"progrock.W005", "progrock.W006"} <= ids
