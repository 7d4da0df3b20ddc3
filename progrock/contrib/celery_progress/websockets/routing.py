"""Where websockets.js connects: add these to the project's URLRouter."""

from typing import Any

from django.urls import re_path

from .consumers import ProgressConsumer

# Django's stubs know of views only.
_consumer: Any = ProgressConsumer.as_asgi()
urlpatterns = [re_path(r"^ws/progress/(?P<task_id>[\w-]{1,255})/?$", _consumer)]
