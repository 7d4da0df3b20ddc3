"""Remote services, and the adapters that speak to them."""

from .base import Elsewhere, File, Order, Service, Started
from .client import Client

__all__ = ["Client", "Elsewhere", "File", "Order", "Service", "Started"]
