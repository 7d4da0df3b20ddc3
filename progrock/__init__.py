"""Start a long job on a remote service, watch it, and keep the person who asked in the loop until it is over."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .groups import Group, group
    from .push import Tracked, track

_WHERE = {"Group": "groups", "Tracked": "push", "group": "groups", "track": "push"}
__all__ = ["Group", "Tracked", "group", "track"]


def __getattr__(name: str) -> Any:
    # Not before it is asked for: what tracks jobs has models, and those need apps that are loaded.
    if name in _WHERE:
        return getattr(import_module(f".{_WHERE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
