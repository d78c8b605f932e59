"""Where the registry and the frozen nets that ship with the package lie."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """The folder ``predictions`` or ``fixtures``, or the file ``mesa.lock``, as shipped.

    A wheel carries them in ``pytest_mesa/_registry``; a checkout has them beside the package.
    The path may not exist.
    """
    inside = PACKAGE / "_registry" / name
    return inside if inside.exists() else PACKAGE.parent / name
