"""What goes wrong with games, each with a message for whoever asked."""

from __future__ import annotations

from pytest_mesa._explained import CellError


class GamesError(CellError):
    """A game, position, move or set of games that can't be had; says why and what to do."""


class MoveError(GamesError):
    """A move that the rules don't allow, or that is no move at all."""


class PositionError(GamesError):
    """A position that can't be read, or that no game could hold."""


class ExtraError(GamesError):
    """A library of the optional extra that isn't installed."""
