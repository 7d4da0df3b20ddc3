"""The PROGROCK setting: each mistake is one clear error."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from msgspec.structs import replace

import progrock
from progrock.conf import BUILT_IN, parse

SERVICE = {"BACKEND": "tests.scripted.ScriptedService"}
HOOK = {"form": "hmac", "header": "X-Signature", "secrets": ["s"]}


def test_the_only_service_is_the_default() -> None:
    assert parse({"SERVICES": {"a": SERVICE}}).default_service == "a"
    assert parse({"SERVICES": {"a": SERVICE, "b": SERVICE}}).default_service == ""
    assert parse({"SERVICES": {"a": SERVICE, "b": SERVICE}, "DEFAULT_SERVICE": "b"}).default_service == "b"


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"SERVICE": {}}, "PROGROCK: unknown key 'SERVICE', the nearest known one is 'SERVICES'"),
        ({"SERVICES": []}, "Expected `object`, got `array` - at `$.SERVICES`"),
        ({"SERVICES": {"a": {}}}, "missing required field `BACKEND`"),
        ({"SERVICES": {"a": SERVICE, "b": {}, "c": {}}}, "PROGROCK: SERVICES['b']: Object missing required field"),
        (
            {"SERVICES": {"a": SERVICE | {"POLICY": {"intervall": 1}}}},
            "SERVICES['a']: POLICY: unknown key 'intervall', the nearest known one is 'interval'",
        ),
        ({"SERVICES": {"a": SERVICE | {"POLICY": {"interval": "1 s"}}}}, "Expected `int`, got `str`"),
        ({"SERVICES": {"a": SERVICE | {"POLICY": {"interval": 0}}}}, "interval must be at least 1, got 0"),
        ({"SERVICES": {"a": SERVICE | {"POLICY": {"patience": 2**53}}}}, "patience must be at most 315360000000"),
        ({"SERVICES": {"a": SERVICE | {"LIMITS": {}}}}, "LIMITS must have a rate (calls a second) or a concurrency"),
        ({"SERVICES": {"a": SERVICE | {"LIMITS": {"burst": 5, "concurrency": 1}}}}, "a rate for its burst of 5"),
        ({"SERVICES": {"a": SERVICE | {"LIMITS": {"rate": 1e-9}}}}, "a rate of at least 1e-05"),
        ({"SERVICES": {"a": SERVICE | {"LIMITS": {"rate": -1}}}}, "Expected `float` >= 0"),
        ({"SERVICES": {"a": SERVICE | {"LIMITS": {"rate": float("nan")}}}}, "LIMITS"),
        ({"SERVICES": {"a": SERVICE | {"LIMITS": {"rate": "5/s"}}}}, "Expected `float`, got `str`"),
        ({"SERVICES": {"a": SERVICE | {"LIMITS": {"concurrency": 1.5}}}}, "Expected `int`, got `float`"),
        (
            {"SERVICES": {"a": SERVICE | {"LIMITS": {"per_second": 1}}}},
            "SERVICES['a']: LIMITS: unknown key 'per_second', the known ones are 'burst', 'concurrency', 'rate'",
        ),
        ({"METRICS_TOKEN": "sesame"}, "METRICS_TOKEN must be 16 or more printable ASCII characters without spaces"),
        ({"METRICS_TOKEN": "open sesame, open sesame"}, "METRICS_TOKEN must be 16 or more printable ASCII characters"),
        ({"METRICS_TOKEN": 1234567890123456}, "Expected `str`, got `int` - at `$.METRICS_TOKEN`"),
        ({"STORE_SHARDS": 0}, "Expected `int` >= 1 - at `$.STORE_SHARDS`"),
        ({"STORE_SHARDS": 1_001}, "Expected `int` <= 1000 - at `$.STORE_SHARDS`"),
        ({"store": "memory://"}, "PROGROCK: unknown key 'store', the nearest known one is 'STORE'"),
        ({1: 2}, "PROGROCK: unknown key 1, the known ones are 'DEFAULT_SERVICE', "),
        (
            {"SERVICES": {"a": SERVICE | {"OPTION": {}}}},
            "SERVICES['a']: unknown key 'OPTION', the nearest known one is",
        ),
        (
            {"SERVICES": {"a": SERVICE | {"HOOK": HOOK | {"secret": "x"}}}},
            "HOOK: unknown key 'secret', the nearest known",
        ),
        (
            {"SERVICES": {"a": SERVICE | {"HOOK": HOOK | {"query": "x"}}}},
            "HOOK: unknown key 'query', the known ones are",
        ),
        ({"SERVICES": {"a": SERVICE | {"HOOK": {"form": "hmack"}}}}, "Invalid value 'hmack'"),
        ({"SERVICES": {"a": SERVICE | {"HOOK": {"from": "hmac"}}}}, "missing required field `form`"),
        (
            {"SERVICES": {"a": SERVICE | {"TELL": [{"email": "owner"}, {"mail": "x"}]}}},
            "TELL[1]: unknown key 'mail', the n",
        ),
        ({"KEEP_DAYS": 1e9}, "Expected `float` <= 36500.0"),
        ({"MAX_UNFINISHED": 0}, "Expected `int` >= 1 - at `$.MAX_UNFINISHED`"),
        ({"MAX_STARTS_PER_MINUTE": 0}, "Expected `int` >= 1 - at `$.MAX_STARTS_PER_MINUTE`"),
        ({"MAX_STARTS_PER_MINUTE": "60"}, "Expected `int | null`, got `str`"),
        ({"MAX_FRAME_BYTES": 100}, "Expected `int` >= 1024 - at `$.MAX_FRAME_BYTES`"),
        ({"MAX_FRAME_BYTES": 2**21}, "Expected `int` <= 1048576 - at `$.MAX_FRAME_BYTES`"),
        ({"MAX_RESULT_BYTES": 2**21}, "Expected `int` <= 1048576 - at `$.MAX_RESULT_BYTES`"),
        ({"MAX_START_PER_MINUTE": 1}, "the nearest known one is 'MAX_STARTS_PER_MINUTE'"),
        ({"SERVICES": {"a": SERVICE}, "DEFAULT_SERVICE": "b"}, "DEFAULT_SERVICE 'b' is not one of the SERVICES"),
        ({"STORE": "postgres://x"}, "STORE must be one of memory://, redis://host:port/db, "),
        ({"STORE": "redis+cluster://a:1,b"}, "redis+cluster://host:port,host:port, got 'redis+cluster://a:1,b'"),
        ({"STORE": "redis+sentinel://a:1,b:2"}, "redis+sentinel://host:port,host:port/service/db"),
        ({"STORE": "redis://localhost:6379/0\n"}, r"got 'redis://localhost:6379/0\n'"),
    ],
)
def test_a_mistake_is_named(setting: dict[str, Any], says: str) -> None:
    with pytest.raises(ImproperlyConfigured) as error:
        parse(setting)
    assert says in str(error.value)


def test_what_is_parsed_is_frozen() -> None:
    conf: Any = parse({"SERVICES": {"a": SERVICE | {"OPTIONS": {"colour": 1}}}})
    with pytest.raises(AttributeError):
        conf.max_sockets = 1
    with pytest.raises(TypeError):
        conf.services["b"] = conf.services["a"]
    with pytest.raises(TypeError):
        conf.services["a"].options["colour"] = 2
    with pytest.raises(AttributeError):
        conf.services["a"].policy.interval = 2


def test_nothing_but_the_registry_reads_the_setting() -> None:
    package = Path(progrock.__file__).parent
    read = {str(each.relative_to(package)) for each in package.rglob("*.py") if reads(each.read_text())}
    # The second makes another setting of it, for tests.
    assert read == {"registry.py", "testing/lives.py"}


def reads(code: str) -> bool:
    return bool(re.search(r"""settings\.PROGROCK|settings, ["']PROGROCK["']""", code))


@pytest.mark.parametrize(
    "url",
    [
        "memory://",
        "redis://localhost",
        "redis://user:pass%40word@127.0.0.1:6379/3?protocol=2",
        "rediss://:secret@redis.example:6380",
        "unix:///run/redis.sock?db=1",
        "redis+sentinel://a:26379,b:26379/mymaster",
        "redis+sentinel://:secret@a:26379,[::1]:26379/mymaster/2",
        "redis+cluster://a:7000",
        "redis+cluster://user:secret@a:7000,b:7001,c:7002",
    ],
)
def test_a_store_is_named_by_its_url(url: str) -> None:
    conf = parse({"STORE": url})
    assert conf.store == url
    assert conf.embedded == (url == "memory://")


@pytest.mark.parametrize(
    "url",
    [
        "rediz://:secret@host:1/0",
        "redis+cluster://user:sec@ret@host",
        "user:secret@host",
        "redis+sentinel://host:1?password=secret",
        "redis://:secret \n@host",
    ],
)
def test_a_store_that_is_refused_keeps_its_secret(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="host") as error:
        parse({"STORE": url})
    assert "ret" not in str(error.value)


@pytest.mark.django_db
def test_a_redis_in_the_environment_carries_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:6379/1")
    found = runpy.run_path("config/settings.py")
    assert found["PROGROCK"]["STORE"] == "redis://127.0.0.1:6379/1"
    default, work = found["CHANNEL_LAYERS"]["default"], found["CHANNEL_LAYERS"]["work"]
    assert default["BACKEND"] == "channels_redis.pubsub.RedisPubSubChannelLayer"
    assert work["BACKEND"] == "channels_redis.core.RedisChannelLayer"
    with override_settings(PROGROCK=found["PROGROCK"], CHANNEL_LAYERS=found["CHANNEL_LAYERS"]):
        assert [error for error in run_checks() if (error.id or "").startswith("progrock")] == []


def test_what_is_said_of_a_built_in_service_is_laid_over_it() -> None:
    conf = parse({"SERVICES": {"track": {"POLICY": {"patience": 7}}}})
    assert conf.services["track"] == replace(BUILT_IN["track"], policy=replace(BUILT_IN["track"].policy, patience=7))
    assert conf.services["group"] == BUILT_IN["group"]
    wrongs: list[Any] = [[], {"track": []}, {"track": {"POLICY": []}}, {"track": {"POLICY": {"no": 1}}}]
    for wrong in wrongs:
        with pytest.raises(ImproperlyConfigured, match="PROGROCK: "):
            parse({"SERVICES": wrong})
