"""The how-to on webhooks: its settings and its test are run as they stand there."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from tests.documents import code

PAGE = "howto/receive-a-webhook.md"
SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()
ANOTHER = "whsec_" + base64.b64encode(bytes(range(1, 25))).decode()


@pytest.fixture(autouse=True)
def setting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RENDER_HOOK_SECRET", SECRET)
    written: dict[str, Any] = {}
    exec(code(PAGE, "settings"), written)
    written["PROGROCK"]["SERVICES"]["render"]["BACKEND"] = "tests.scripted.ScriptedService"
    with override_settings(PROGROCK=written["PROGROCK"]):
        yield


def _how_to() -> Any:
    scope: dict[str, Any] = {"__name__": __name__, "SECRET": SECRET, "ANOTHER": ANOTHER}
    exec(code(PAGE, "testcase"), scope)
    return scope["Webhooks"]


Webhooks = _how_to()
