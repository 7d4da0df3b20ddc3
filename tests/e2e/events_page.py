"""Settings and URLs of a site with the page of docs/howto/come-from-pusher.md, and people who log in."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path

from config.settings import *  # noqa: F403
from config.settings import PROGROCK as DEMO_PROGROCK
from tests.documents import ROOT, code

ROOT_URLCONF = "tests.e2e.events_page"
PAGE = "howto/come-from-pusher.md"
TOLD = "told.txt"
DEMO: dict[str, Any] = {**DEMO_PROGROCK}
SERVICES = {
    "synth": {**DEMO["SERVICES"]["synth"], "TELL": [{"call": "tests.e2e.events_page.ended", "when": "unwatched"}]}
}
PROGROCK = {**DEMO, "SERVICES": SERVICES, "MAY_SUBSCRIBE": "tests.e2e.events_page.may"}


def blocks(language: str) -> str:
    """Return all that the page says in a language."""
    text = (ROOT / "docs" / PAGE).read_text()
    return "\n".join(re.findall(rf"^```{language} page\n(.*?)^```", text, re.DOTALL | re.MULTILINE))


def may(user: Any, owner: str, channel: str) -> bool:
    """What the page has you write."""
    return bool(desk()["may"](user, owner, channel))


def desk() -> dict[str, Any]:
    """Return the module that the page has you write."""
    scope: dict[str, Any] = {}
    exec(code(PAGE, "desk"), scope)
    return scope


def ended(snapshot: Any, delivery: str) -> None:
    """Write down of which job we are told, in a worker."""
    with (Path(os.environ["VAR_DIR"]) / TOLD).open("a") as file:
        file.write(f"{snapshot.job}\n")


def enter(request: HttpRequest, name: str) -> HttpResponse:
    """Log in, without a password."""
    from django.contrib.auth import get_user_model, login

    user, _ = get_user_model().objects.get_or_create(username=name)
    login(request, user, "django.contrib.auth.backends.ModelBackend")
    return HttpResponse(blocks("html"))


def script(request: HttpRequest) -> HttpResponse:
    """The page's script."""
    return HttpResponse(blocks("js"), content_type="text/javascript")


def __getattr__(name: str) -> Any:
    # Settings are read before apps are there, URLs after: the project's can only be imported then.
    if name == "urlpatterns":
        from tests.e2e import pages

        return [path("desk/<str:name>", enter), path("desk.js", script), *pages.urlpatterns]
    raise AttributeError(name)
