"""The ASGI application: HTTP, websockets and channels."""

import os

from channels.routing import ProtocolTypeRouter
from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
http = get_asgi_application()

# Only after Django is set up can the app be imported.
from config.proxies import TrustedProxies  # noqa: E402
from progrock import routing  # noqa: E402
from progrock.embedded import Lifespan  # noqa: E402

application = Lifespan(
    TrustedProxies(
        ProtocolTypeRouter(
            {
                "http": http,
                "websocket": routing.guarded(routing.websocket),
                "channel": routing.channel,
            }
        ),
        settings.TRUSTED_PROXIES,
    )
)
