"""The failures that explain themselves."""

from __future__ import annotations


class CellError(Exception):
    """A failure that its message explains in full, so that nobody is shown a traceback."""
