"""The Django app."""

from django.apps import AppConfig
from django.core.checks import register


class ProgRockConfig(AppConfig):
    """ProgRock in `INSTALLED_APPS`."""

    name = "progrock"
    verbose_name = "ProgRock"

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in

        from . import delay, registry
        from .access import adopt
        from .checks import check

        register(check)
        delay.setup(registry.store)
        user_logged_in.connect(adopt)
