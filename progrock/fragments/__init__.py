"""Lines of a job's journal as HTML, each rendered by a template of the project's: docs/howto/html-fragments.md."""

from .rows import Rows, signed
from .view import FragmentsView, shown

__all__ = ["FragmentsView", "Rows", "shown", "signed"]
