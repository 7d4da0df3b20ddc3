"""What `docs/howto/sign-in-sockets.md` says: the line, the settings and the view work."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import override_settings

from tests.documents import ROOT, code

PAGE = "howto/sign-in-sockets.md"
pytestmark = pytest.mark.django_db(transaction=True)


async def opens(application: Any, query: str = "", **headers: str) -> bool:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    socket = WebsocketCommunicator(application, f"/prog/{query}", headers=[(b"host", b"testserver"), *pairs])
    accepted, _ = await socket.connect()
    if accepted:
        await socket.disconnect()
    return bool(accepted)


async def test_the_line_the_settings_and_the_view_do_what_the_page_says() -> None:
    scope: dict[str, Any] = {}
    exec(code(PAGE, "asgi"), scope)
    application = scope["application"]
    text = (ROOT / "docs" / PAGE).read_text()
    settings: dict[str, Any] = {}
    for block in text.split("```python settings\n")[1:]:
        exec(block.split("```")[0], settings)
    assert await opens(application, origin="http://testserver")
    assert not await opens(application, origin="http://localhost:5173")
    with override_settings(CSRF_TRUSTED_ORIGINS=settings["CSRF_TRUSTED_ORIGINS"]):
        for origin in ("http://localhost:5173", "https://app.example.com", "https://one.shops.example.com"):
            assert await opens(application, origin=origin)
    with override_settings(SECURE_PROXY_SSL_HEADER=settings["SECURE_PROXY_SSL_HEADER"]):
        assert await opens(application, origin="https://testserver", x_forwarded_proto="https")

    exec(code(PAGE, "views"), scope)
    request = HttpRequest()
    request.user = await User.objects.acreate(username="ada")
    answer = await asyncio.to_thread(scope["ticket"], request)
    ticket = json.loads(answer.content)["ticket"]
    assert await opens(application, f"?ticket={ticket}")
    assert not await opens(application, f"?ticket={ticket}")
