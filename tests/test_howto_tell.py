"""What `docs/howto/tell-when-it-ends.md` says: its settings, its code and its test work."""

from __future__ import annotations

import re
import sys
import time
import unittest
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import override_settings

from progrock import sending, testing
from progrock.post import post
from progrock.protocol import State
from progrock.signing import key, sign
from progrock.tell import Addressee
from progrock.testing import ScriptedService
from tests.documents import ROOT, code

PAGE = "howto/tell-when-it-ends.md"
SECRET = "whsec_" + "A" * 40


class Press(ScriptedService):
    """The service of the page."""

    def title(self, params: dict[str, Any]) -> str:
        return str(params["title"])


@pytest.fixture
def scope(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the page has you write, as its modules would be."""
    monkeypatch.setenv("ERP_SECRET", SECRET)
    scope: dict[str, Any] = {"__name__": __name__, "User": User}
    for label in ("settings", "start", "function", "receiver"):
        exec(code(PAGE, label), scope)
    modules = {name: ModuleType(name) for name in ("shop", "shop.press", "shop.orders")}
    modules["shop.press"].PressService = Press  # type: ignore[attr-defined]
    modules["shop.orders"].pressed = scope["pressed"]  # type: ignore[attr-defined]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    text = (ROOT / "docs" / PAGE).read_text()
    (template,) = re.findall(r"^```text pressed\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    loaders = [
        ("django.template.loaders.locmem.Loader", {"shop/pressed.txt": template}),
        "django.template.loaders.app_directories.Loader",
    ]
    templates = {"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": loaders}}
    with override_settings(PROGROCK=scope["PROGROCK"], TEMPLATES=[templates]):
        yield scope


@pytest.mark.django_db
def test_its_testcase_passes(scope: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    exec(code(PAGE, "testcase"), scope)
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(scope["Pressed"]).run(result)
    assert (result.testsRun, result.errors, result.failures) == (1, [], [])
    assert re.search(rf"^Red: {State.SUCCEEDED} \([0-9a-f-]{{36}}\)$", capsys.readouterr().out, re.MULTILINE)


def test_its_receiver_knows_what_is_genuine(scope: dict[str, Any]) -> None:
    body = b'{"type": "job.succeeded"}'
    for at, good in ((time.time(), True), (time.time() - 1_000, False)):
        headers = sign([key("whsec_" + "B" * 40), key(SECRET)], "n", int(at), body)
        assert scope["genuine"](SECRET, headers, body) is good
        assert not scope["genuine"](SECRET, headers, body + b" ")


def test_every_key_is_in_the_reference() -> None:
    settings = (ROOT / "docs/reference/settings.md").read_text()
    table = settings.partition("### TELL")[2].partition("## Around it")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(Addressee.__struct_fields__)


def test_no_webhook_of_a_test_leaves_the_process() -> None:
    with testing.rock() as remote:
        assert vars(sending)["post"] == remote.take
    assert vars(sending)["post"] is post
