"""Start a long job on a remote service, watch it, and keep the person who asked in the loop until it is over."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .push import Tracked, track

__all__ = ["Tracked", "track"]


def __getattr__(name: str) -> Any:
    # Not before it is asked for: what tracks jobs has models, and those need apps that are loaded.
    if name in __all__:
        from . import push

        return getattr(push, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
