"""The project's application, and at `/baseline/<job>/` what one would write with Channels alone."""

from __future__ import annotations

from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from config.asgi import application as project
from progrock import routing


class Plain(AsyncWebsocketConsumer):
    """A socket in the group of its job, which is sent each update as it comes."""

    async def connect(self) -> None:
        await self.channel_layer.group_add(f"job.{self.scope['url_route']['kwargs']['job']}", self.channel_name)
        await self.accept()
        await self.send('{"type":"hello"}')

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send('{"type":"snapshot"}')

    async def progress(self, message: dict[str, Any]) -> None:
        """Pass an update on."""
        await self.send(message["text"])


_routes = URLRouter([path("baseline/<job>/", Plain.as_asgi()), path("", routing.websocket)])
application = ProtocolTypeRouter(
    {
        "http": project,
        "lifespan": project,
        "websocket": routing.guarded(_routes),
    }
)
