"""Where HTTP requests lead."""

import mimetypes
from pathlib import Path

from django.conf import settings
from django.contrib import admin
from django.contrib.staticfiles import finders
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import include, path
from django.views.decorators.http import conditional_page

from progrock.access import ensure_owner
from progrock.metrics.views import urls as eyes


def page(request: HttpRequest) -> HttpResponse:
    """The page with the button."""
    ensure_owner(request)
    return render(request, "rock/index.html")


@conditional_page
def static(request: HttpRequest, name: str) -> HttpResponse:
    """One of the page's files: they are few and small, and need no server of their own."""
    found = finders.find(name)
    if not found or not Path(found).is_file():
        raise Http404
    return HttpResponse(Path(found).read_bytes(), content_type=mimetypes.guess_type(found)[0])


urlpatterns = [
    path("", page, name="rock"),
    path("prog/", include("progrock.urls")),
    *eyes(),
    path("admin/", admin.site.urls),
    path(f"{settings.STATIC_URL.lstrip('/')}<path:name>", static),
]
