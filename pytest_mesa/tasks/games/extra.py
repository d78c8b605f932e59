"""The libraries of the optional extra ``games``, imported where they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from pytest_mesa.tasks.games.errors import ExtraError


def _library(module: str, distribution: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ExtraError(
            f"games need {distribution}, which is not installed: pip install 'pytest-mesa[games]'"
        ) from error


def chess() -> Any:
    """python-chess.

    Raises:
        ExtraError: it isn't installed.
    """
    return _library("chess", "chess")


def pyspiel() -> Any:
    """OpenSpiel.

    Raises:
        ExtraError: it isn't installed.
    """
    return _library("pyspiel", "open-spiel")


def minimax() -> Any:
    """OpenSpiel's alpha-beta search.

    Raises:
        ExtraError: it isn't installed.
    """
    return _library("open_spiel.python.algorithms.minimax", "open-spiel")
