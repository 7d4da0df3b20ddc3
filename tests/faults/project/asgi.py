"""The application of the fault tests: the channel `counted`."""

from channels.routing import ChannelNameRouter, ProtocolTypeRouter

from tests.faults.chains import CHANNEL
from tests.faults.project.counted import Counted

application = ProtocolTypeRouter({"channel": ChannelNameRouter({CHANNEL: Counted.as_asgi()})})
