"""The URLs of that site: a view that queues a task, and the page of celery-progress' users."""

from __future__ import annotations

import json
from typing import Any

from celery import group
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import RequestContext, Template
from django.urls import include, path

from config import urls

from . import dj, studio

PAGE = """{% load static %}<!doctype html><html><head><meta charset="utf-8"><title>Progress</title>
<link rel="icon" href="{% static 'rock/icon.svg' %}"></head><body>
<div class='progress-wrapper'>
  <div id='progress-bar' class='progress-bar' style="background-color: #68a9ef; width: 0%;">&nbsp;</div>
</div>
<div id="progress-bar-message">Waiting for progress to start...</div>
<div id="celery-result"></div>
<script src="{% static 'celery_progress/celery_progress.js' %}"></script>
<script src="{% static 'celery_progress/websockets.js' %}"></script>
<script>
document.addEventListener("DOMContentLoaded", function () {
  {% if socket %}CeleryWebSocketProgressBar.initProgressBar("/ws/progress/{{ task_id }}");
  {% else %}CeleryProgressBar.initProgressBar("{% url 'celery_progress:task_status' task_id %}", {
    pollInterval: 100, onResult: (element, result) => { element.textContent = JSON.stringify(result); },
  });{% endif %}
});
</script></body></html>"""


def queue(request: HttpRequest, name: str) -> HttpResponse:
    """Queue a task for whoever asks, as any view does, with the arguments of the query."""
    arguments: dict[str, Any] = {key: json.loads(str(value)) for key, value in request.GET.items()}
    options = arguments.pop("options", {})
    if name.startswith("dj_"):
        return JsonResponse({"id": str(getattr(dj, name).enqueue(**arguments).id)})
    return JsonResponse({"id": getattr(studio, name).apply_async(kwargs=arguments, **options).id})


def together(request: HttpRequest) -> HttpResponse:
    """Queue a group of tasks, and keep note of who is in it, as celery-progress asks for."""
    result = group(studio.press.s(size) for size in json.loads(request.GET["sizes"])).apply_async()
    result.save()
    return JsonResponse({"id": result.id})


def shown(request: HttpRequest, task: str) -> HttpResponse:
    """The page of celery-progress' README, for a task."""
    context = {"task_id": task, "socket": "socket" in request.GET}
    return HttpResponse(Template(PAGE).render(RequestContext(request, context)))


urlpatterns = [
    path("queue/together", together),
    path("queue/<str:name>", queue),
    path("shown/<str:task>", shown),
    path("celery-progress/", include("progrock.contrib.celery_progress.urls")),
    *urls.urlpatterns,
]
