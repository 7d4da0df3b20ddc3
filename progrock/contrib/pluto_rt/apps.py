"""The Django app, with the templates that pages of pluto-rt include."""

from django.apps import AppConfig


class PlutoRTConfig(AppConfig):
    """`progrock.contrib.pluto_rt` in `INSTALLED_APPS`, in place of `pluto_rt`."""

    name = "progrock.contrib.pluto_rt"
    label = "pluto_rt"
