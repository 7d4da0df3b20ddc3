"""Puts the store that can be made to fail in the place of the real one, and sets the clock wrong if told to."""

import os
import time

from django.apps import AppConfig


class FaultsConfig(AppConfig):
    """The app of the fault tests."""

    name = "tests.faults.project"

    def ready(self) -> None:
        from progrock import registry

        from .store import FaultyStore

        registry.RedisStore = FaultyStore  # type: ignore[attr-defined]
        if skew := float(os.environ.get("SKEW", "0")):
            right = time.time
            time.time = lambda: right() + skew
