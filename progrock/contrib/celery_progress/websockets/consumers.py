"""The websocket of one task: how it stands, and from then on what is new."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec
from channels.generic.websocket import AsyncWebsocketConsumer

from ....caller import caller_of_scope
from ....consumers.receiver import SIGNED_OUT
from ....exceptions import Refused
from ....http.waiting import feed_of
from ....identity import of_scope
from ....push import id_of
from ....vigil import vigil
from ..progress import progress_of

logger = logging.getLogger(__name__)

_ASK_AGAIN = 12.0
"""Seconds of silence after which we ask ourselves: a wake-up may have been lost."""


class ProgressConsumer(AsyncWebsocketConsumer):
    """One socket for one task of the caller's."""

    # Updates come by the process' hub.
    channel_layer_alias = ""
    _following: asyncio.Task[None] | None = None
    _closing: asyncio.Task[None] | None = None

    def __init__(self) -> None:
        super().__init__()
        self._release: Callable[[], None] = lambda: None

    async def __call__(self, *args: Any) -> None:
        try:
            await super().__call__(*args)
        finally:
            # Not disconnect(): a socket may also end without one.
            self._release()
            if self._following:
                self._following.cancel()

    async def connect(self) -> None:
        self._caller = await caller_of_scope(self.scope)
        self._task = str(self.scope["url_route"]["kwargs"]["task_id"])
        await self.accept()
        self._release = vigil().keep(of_scope(self.scope), self._sign_out)
        self._following = asyncio.create_task(self._follow())

    def _sign_out(self) -> None:
        self._closing = asyncio.create_task(self.close(SIGNED_OUT))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Take what the page asks for once it is connected, which it is told without asking."""

    async def _follow(self) -> None:
        try:
            async with feed_of(self._caller) as feed:
                await feed.watch(str(id_of(self._task)))
                while True:
                    told = await progress_of(self._task, await feed.asker())
                    await self._say(told)
                    if told["complete"] and told["state"] != "RETRY":
                        break
                    await feed.next(within=_ASK_AGAIN)
        except Refused as refusal:
            # A page that is told nothing of "complete" says that there is an error.
            await self._say({"code": refusal.code, "message": str(refusal)})
        except Exception:
            logger.exception("A page cannot be told of the task %a.", self._task)
        await self.close()

    async def _say(self, told: dict[str, Any]) -> None:
        await self.send(text_data=msgspec.json.encode(told).decode())
