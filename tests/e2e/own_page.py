"""Settings and URLs of a site with the page of docs/howto/use-it-without-our-page.md, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.urls import path

from config.settings import *  # noqa: F403

ROOT_URLCONF = "tests.e2e.own_page"
HOWTO = (Path(__file__).parents[2] / "docs/howto/use-it-without-our-page.md").read_text()


def blocks(language: str) -> str:
    """Return all that the page says in a language."""
    return "\n".join(re.findall(rf"^```{language} page\n(.*?)^```", HOWTO, re.DOTALL | re.MULTILINE))


def page(request: HttpRequest) -> HttpResponse:
    """The page; `?apart`: which does not say for whom it speaks."""
    from progrock.access import ensure_owner, owner_of

    ensure_owner(request)
    who = "" if "apart" in request.GET else str(hash(owner_of(request)))
    return HttpResponse(blocks("html").replace("{{ csrf_token }}", get_token(request)).replace("{{ who }}", who))


def script(request: HttpRequest) -> HttpResponse:
    """Its script."""
    return HttpResponse(blocks("js"), content_type="text/javascript")


def __getattr__(name: str) -> Any:
    # Settings are read before apps are there, URLs after: the project's can only be imported then.
    if name == "urlpatterns":
        from config import urls

        return [path("my-page", page), path("my-page.js", script), *urls.urlpatterns]
    raise AttributeError(name)
