"""The application of the kill tests of the outbox: the channel of jobs."""

from channels.routing import ProtocolTypeRouter

from progrock.routing import channel

application = ProtocolTypeRouter({"channel": channel})
