"""System checks: settings that cannot work, each with what to write instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from . import registry


def check(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Check the settings."""
    try:
        conf = registry.conf()
        for name in conf.services:
            registry.build(name)
    except ImproperlyConfigured as error:
        return [Error(str(error), id="progrock.E001")]
    found: list[CheckMessage] = []
    if not conf.services:
        hint = 'Write PROGROCK = {"SERVICES": {"name": {"BACKEND": "dotted.path.of.YourService"}}}.'
        found.append(Error("PROGROCK declares no service.", hint=hint, id="progrock.E002"))
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    for alias in ("default", registry.WORK_LAYER):
        if alias not in layers:
            hint = (
                f'For embedded mode: CHANNEL_LAYERS["{alias}"] = {{"BACKEND": "channels.layers.InMemoryChannelLayer"}}.'
            )
            found.append(Error(f"There is no channel layer {alias!r}.", hint=hint, id="progrock.E003"))
    return found
