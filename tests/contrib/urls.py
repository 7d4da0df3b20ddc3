"""The URLs of that site: a view that queues a task."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from config import urls

from . import dj, studio


def queue(request: HttpRequest, name: str) -> HttpResponse:
    """Queue a task for whoever asks, as any view does, with the arguments of the query."""
    arguments: dict[str, Any] = {key: json.loads(str(value)) for key, value in request.GET.items()}
    options = arguments.pop("options", {})
    if name.startswith("dj_"):
        return JsonResponse({"id": str(getattr(dj, name).enqueue(**arguments).id)})
    return JsonResponse({"id": getattr(studio, name).apply_async(kwargs=arguments, **options).id})


urlpatterns = [
    path("queue/<str:name>", queue),
    *urls.urlpatterns,
]
