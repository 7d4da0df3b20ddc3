"""Jobs in the admin, live: to look at, to cancel, to try again; and who was told of their ends."""

from .delivery import DeliveryAdmin
from .job import JobAdmin

__all__ = ["DeliveryAdmin", "JobAdmin"]
