"""The URLs of celery-progress, by its names; to be included where those of celery-progress were."""

from django.urls import re_path

from . import views

app_name = "celery_progress"
urlpatterns = [
    re_path(r"^(?P<task_id>[\w-]{1,255})/$", views.get_progress, name="task_status"),
    re_path(r"^g/(?P<group_id>[\w-]{1,255})/$", views.get_group_progress, name="group_status"),
]
