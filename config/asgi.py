"""The ASGI application: HTTP, websockets and channels."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
http = get_asgi_application()

# Only after Django is set up can the app be imported.
from progrock import routing  # noqa: E402
from progrock.embedded import Lifespan  # noqa: E402

application = Lifespan(
    ProtocolTypeRouter(
        {
            "http": http,
            "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(routing.websocket)),
            "channel": routing.channel,
        }
    )
)
