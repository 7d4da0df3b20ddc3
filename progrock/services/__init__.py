"""Remote services, and the adapters that speak to them."""

from .base import File, Order, Service, Started
from .client import Client

__all__ = ["Client", "File", "Order", "Service", "Started"]
