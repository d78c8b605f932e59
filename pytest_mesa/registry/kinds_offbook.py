"""The kind ``off-book``: is play as good where no game goes as on lines that games follow?"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from pytest_mesa.registry.kind import Kind, distinct
from pytest_mesa.registry.models import Closed, Range, Slug, fault

Departure = Literal["departed", "random"]


class InWords(Closed):
    """How a model that reads text is asked."""

    templates: tuple[Slug, ...] = Field(
        ("pgn-tags", "pgn-bare", "pgn-story", "uci-position", "uci-session", "uci-story"),
        min_length=1,
        description="Ways to tell a game; those that suit the model best are used.",
    )
    choose: int = Field(8, ge=2, le=1000, description="Games that each template is tried on.")
    competence: int = Field(100, ge=20, le=10_000, description="Games scored for competence.")


class OffBook(Closed):
    """How much of a player's legal play is kept in positions that no game reaches.

    ``departed``: a game left by random legal moves some plies ago. ``random``: random legal
    moves from the start. Each is held to a game's position at the same ply, with as many legal
    moves.
    """

    kind: Literal["off-book"]
    plies: Range = Field((8, 20), description="The first and last ply that is asked for.")
    departures: tuple[Departure, ...] = Field(("departed", "random"), min_length=1)
    since: int = Field(4, ge=1, le=100, description="Plies since a departed game was left.")
    candidates: int = Field(
        8, ge=1, le=1000, description="Positions drawn, of which the best match is taken."
    )
    words: InWords = InWords()

    @field_validator("plies")
    @classmethod
    def _ascending(cls, value: Range) -> Range:
        low, high = value
        if not 1 <= low <= high <= 59:
            raise fault("plies are [first, last] with 1 <= first <= last <= 59")
        return value

    @field_validator("departures")
    @classmethod
    def _distinct(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return distinct(value)


OFF_BOOK = Kind("off-book", OffBook, "pytest_mesa.experiments.off_book:STUDY")
