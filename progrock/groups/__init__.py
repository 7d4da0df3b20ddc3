"""Jobs that are made of jobs: to the schedule, a service whose reading is what has become of the children."""

from .block import Group, group
from .service import Grouped

__all__ = ["Group", "Grouped", "group"]
