"""The app of that site, which has the framework's tasks tracked."""

from django.apps import AppConfig


class Tasks(AppConfig):
    name = "tests.contrib"
    label = "own_tasks"

    def ready(self) -> None:
        from progrock.contrib.tasks import track_tasks

        track_tasks()
