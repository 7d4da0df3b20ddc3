"""The project's channel layers, which lose messages while the run has them do so."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

from tests.faults.events import event, tell

_SHARE = Path(os.environ["POINTS"]) / "lose"


def _lost() -> bool:
    """Tell whether to lose this message: the file says how likely that is."""
    try:
        lost = random.random() < float(_SHARE.read_text())
    except (FileNotFoundError, ValueError):
        return False
    if lost:
        tell(event("lost"))
    return lost


class LossyWork(RedisChannelLayer):
    """The layer of the workers."""

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        if not _lost():
            await super().send(channel, message)


class LossyUpdates(RedisPubSubChannelLayer):
    """The layer of the clients: Channels' passes everything on to one for each event loop."""

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if not _lost():
            await self._get_layer().group_send(group, message)
