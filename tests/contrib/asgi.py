"""The ASGI application of that site, with the websocket of celery-progress."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.contrib.settings")

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter

from config.asgi import http
from progrock import routing
from progrock.contrib.celery_progress.websockets.routing import urlpatterns
from progrock.embedded import Lifespan

websocket = URLRouter([*urlpatterns, *routing.websocket.routes])
application = Lifespan(
    ProtocolTypeRouter({"http": http, "websocket": AuthMiddlewareStack(websocket), "channel": routing.channel})
)
