"""Settings of the fault matrix: the project's, with leases a fifth as long and parts that can be made to fail."""

import os
from typing import Any

os.environ["DEBUG"] = "1"

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS

INSTALLED_APPS = ["tests.chaos.project.apps.ChaosConfig", *INSTALLED_APPS]
ROOT_URLCONF = "tests.chaos.project.urls"

_HOSTS = [{"address": os.environ["REDIS_URL"], "socket_timeout": 15}]
CHANNEL_LAYERS = {
    "default": {"BACKEND": "tests.chaos.project.layers.LossyUpdates", "CONFIG": {"hosts": _HOSTS}},
    "work": {
        "BACKEND": "tests.chaos.project.layers.LossyWork",
        "CONFIG": {"hosts": _HOSTS, "prefix": "work:", "expiry": 1},
    },
}
SILENCED_SYSTEM_CHECKS = ["progrock.W003"]

_SYNTH = {
    "BACKEND": "tests.chaos.project.services.ChaosSynth",
    "OPTIONS": {"base_url": os.environ["SYNTH_URL"], "timeout": 8_000, "connect_timeout": 1_000},
    # Patient enough for any fault here: a job that fails nevertheless was failed by us.
    "POLICY": {
        "interval": 400,
        "interval_most": 400,
        "retry": 100,
        "retry_most": 2_000,
        "patience": 120_000,
        "cancel_patience": 60_000,
        "deadline": 600_000,
        "nonsense": 1_000,
        "losses": 50,
    },
}
_PLAIN = {**_SYNTH, "BACKEND": "tests.chaos.project.services.PlainSynth"}
_MINE: Any = {
    "STORE": os.environ["REDIS_URL"],
    "MAX_UNFINISHED": 10_000,
    "MAX_STARTS_PER_MINUTE": None,
    "SERVICES": {"synth": _SYNTH, "plain": _PLAIN},
    "DEFAULT_SERVICE": "synth",
}
PROGROCK = _MINE
