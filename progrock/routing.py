"""Where websocket connections and channels lead: put these into your project's `ProtocolTypeRouter`."""

from channels.routing import ChannelNameRouter, URLRouter
from channels.sessions import SessionMiddlewareStack
from django.urls import path

from . import registry
from .admission import SessionAuth, TicketAuth
from .consumers.receiver import Receiver
from .consumers.worker import JobWorker
from .origins import Application, OriginGuard
from .turnstile import Turnstile

websocket = URLRouter([path("prog/", Receiver.as_asgi())])
channel = ChannelNameRouter({registry.CHANNEL: JobWorker.as_asgi()})


def guarded(application: Application) -> Application:
    """Return websockets as they should stand in a project: for pages of this site, and for whoever has a ticket.

    :param application: :data:`websocket`, or a `URLRouter` with its routes and yours: who it is stands in their scope.
    """
    return OriginGuard(Turnstile(lambda known: SessionMiddlewareStack(SessionAuth(TicketAuth(known))), application))
