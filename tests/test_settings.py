"""The PROGROCK setting and the checks: each mistake is one clear error."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from progrock.conf import parse

SERVICE = {"BACKEND": "tests.scripted.ScriptedService"}


@pytest.mark.django_db  # Django 6.1's own checks ask the database
def test_the_projects_own_settings_are_fine() -> None:
    assert [error for error in run_checks() if (error.id or "").startswith("progrock")] == []


def test_the_only_service_is_the_default() -> None:
    assert parse({"SERVICES": {"a": SERVICE}}).default_service == "a"
    assert parse({"SERVICES": {"a": SERVICE, "b": SERVICE}}).default_service == ""
    assert parse({"SERVICES": {"a": SERVICE, "b": SERVICE}, "DEFAULT_SERVICE": "b"}).default_service == "b"


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"SERVICE": {}}, "unknown field `SERVICE`"),
        ({"SERVICES": []}, "Expected `object`, got `array` - at `$.SERVICES`"),
        ({"SERVICES": {"a": {}}}, "missing required field `BACKEND`"),
        ({"SERVICES": {"a": SERVICE | {"POLICY": {"intervall": 1}}}}, "unknown field `intervall`"),
        ({"SERVICES": {"a": SERVICE | {"POLICY": {"interval": "1 s"}}}}, "Expected `int`, got `str`"),
        ({"SERVICES": {"a": SERVICE | {"POLICY": {"interval": 0}}}}, "interval must be at least 1, got 0"),
        ({"SERVICES": {"a": SERVICE}, "DEFAULT_SERVICE": "b"}, "DEFAULT_SERVICE 'b' is not one of the SERVICES"),
        ({"STORE": "redis://x"}, "STORE must be 'memory://'"),
    ],
)
def test_a_mistake_is_named(setting: dict[str, Any], says: str) -> None:
    with pytest.raises(ImproperlyConfigured) as error:
        parse(setting)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("settings", "code", "says"),
    [
        ({"PROGROCK": {"NO": 1}}, "progrock.E001", "unknown field"),
        ({"PROGROCK": {}}, "progrock.E002", "declares no service"),
        ({"PROGROCK": {"SERVICES": {"a": {"BACKEND": "no.such.Thing"}}}}, "progrock.E001", "No module named"),
        ({"PROGROCK": {"SERVICES": {"a": {"BACKEND": "datetime.date"}}}}, "progrock.E001", "SERVICES['a']"),
        ({"PROGROCK": {"SERVICES": {"a": {"BACKEND": "fractions.Fraction"}}}}, "progrock.E001", "is no Service"),
        (
            {"PROGROCK": {"SERVICES": {"a": SERVICE | {"OPTIONS": {"colour": 1}}}}},
            "progrock.E001",
            "SERVICES['a']",
        ),
        ({"CHANNEL_LAYERS": {"default": {}}}, "progrock.E003", "no channel layer 'work'"),
    ],
)
@pytest.mark.django_db
def test_a_check_says_what_is_wrong(settings: dict[str, Any], code: str, says: str) -> None:
    with override_settings(**settings):
        errors = [error for error in run_checks() if error.id == code]
    assert len(errors) == 1
    assert says in errors[0].msg
