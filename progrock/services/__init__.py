"""Remote services, and the adapters that speak to them."""

from .base import File, Order, Service, Started
from .http import HTTPService

__all__ = ["File", "HTTPService", "Order", "Service", "Started"]
