"""Puts the store that can be made to fail in the place of the real one."""

from django.apps import AppConfig


class FaultsConfig(AppConfig):
    """The app of the fault tests."""

    name = "tests.faults.project"

    def ready(self) -> None:
        from progrock import registry

        from .store import FaultyStore

        registry.RedisStore = FaultyStore  # type: ignore[attr-defined]
