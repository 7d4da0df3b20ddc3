"""The project's URLs, and the rows themselves for the checks."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import path

from config.urls import urlpatterns as project
from progrock.models import Job

_COLUMNS = ("id", "key", "owner", "state", "error", "message", "remote", "started", "finished")


async def rows(request: HttpRequest) -> JsonResponse:
    """Return the rows whose key begins as asked for."""
    found = Job.objects.filter(key__startswith=request.GET["key"]).values(*_COLUMNS)
    return JsonResponse({"rows": [row async for row in found]})


urlpatterns = [path("chaos/rows", rows), *project]
