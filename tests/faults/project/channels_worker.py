"""Runs Channels' own worker: `python -m tests.faults.project.channels_worker`."""

from __future__ import annotations

import asyncio

import django
from channels.layers import get_channel_layer
from channels.routing import get_default_application
from channels.worker import Worker

from tests.faults.chains import CHANNEL

if __name__ == "__main__":
    django.setup()
    asyncio.run(Worker(get_default_application(), [CHANNEL], get_channel_layer("work")).arun())
