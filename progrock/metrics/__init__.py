"""Eyes for the operator: what is counted, as Prometheus reads it, and whether a process is alive and ready."""

from .port import Address, NoPort, Port, address_of
from .prometheus import TYPE, page
from .readiness import ready

__all__ = ["TYPE", "Address", "NoPort", "Port", "address_of", "page", "ready"]
