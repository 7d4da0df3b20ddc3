"""The Django app."""

from django.apps import AppConfig
from django.core.checks import register


class ProgRockConfig(AppConfig):
    """ProgRock in `INSTALLED_APPS`."""

    name = "progrock"
    verbose_name = "ProgRock"

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in, user_logged_out

        from . import delay, registry
        from .access import adopt
        from .checks import check, check_deploy
        from .vigil import signed_out

        register(check)
        register(check_deploy, deploy=True)
        delay.setup(registry.store)
        user_logged_in.connect(adopt)
        user_logged_out.connect(signed_out)
