"""Where websocket connections and channels lead: put these into your project's `ProtocolTypeRouter`."""

from channels.routing import ChannelNameRouter, URLRouter
from django.urls import path

from . import registry
from .consumers.receiver import Receiver
from .consumers.worker import JobWorker

websocket = URLRouter([path("prog/", Receiver.as_asgi())])
channel = ChannelNameRouter({registry.CHANNEL: JobWorker.as_asgi()})
