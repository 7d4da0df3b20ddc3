"""Remote services, and the adapters that speak to them."""

from .base import Elsewhere, File, Order, Service, Started
from .client import Client
from .http import HTTPService

__all__ = ["Client", "Elsewhere", "File", "HTTPService", "Order", "Service", "Started"]
