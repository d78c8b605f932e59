"""The kind ``narrowing``: is the space of options cut down, layer by layer?"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from pytest_mesa.registry.kind import Kind, distinct
from pytest_mesa.registry.models import Closed, Slug, fault

GAMES = ("chess", "go")  # of the two-game decoder and of models that read text
OPTIONS = ("refuted", "illegal", *GAMES)  # of chess nets, and illegal ones of these games


class TunedLens(Closed):
    """How a net is read before its last layer, so that each layer gets its best reading."""

    rows: int = Field(300, ge=20, le=10_000, description="Positions fitted on, apart.")
    steps: int = Field(
        60, ge=0, le=10_000, description="Steps of Adam behind the least-squares maps."
    )


class PlantedNarrowing(Closed):
    """The share of bad options that each stage of a planted net rules out, until it is seen."""

    strengths: tuple[float, ...] = Field((0.1, 0.2, 0.4), min_length=1)

    @field_validator("strengths")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        for index, (before, strength) in enumerate(zip((0.0, *value), value, strict=False)):
            if not before < strength <= 1:
                raise fault("strengths ascend, each above 0 and at most 1", index)
        return value


class Told(Closed):
    """How a model that reads text is told its games."""

    templates: dict[Slug, tuple[Slug, ...]] = Field(
        {"chess": ("pgn-tags", "uci-position"), "go": ("sgf-full", "go-gtp")},
        min_length=1,
        description="Ways to tell each game; a game's reading is the average over them.",
    )
    games: int = Field(60, ge=20, le=10_000, description="Games a model is measured on.")
    choose: int = Field(20, ge=5, le=1000, description="Games that the templates are chosen on.")

    @field_validator("templates")
    @classmethod
    def _known(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for game, names in value.items():
            if game not in GAMES:
                raise fault(f"a game is one of {', '.join(GAMES)}", game)
            if not names:
                raise fault("a game is told in at least one way", game)
            distinct(names)
        return value


class Narrowing(Closed):
    """Does the probability of bad options fall with depth, or with skill?

    ``depth`` reads a net at the ends of ``stages`` equal stretches of its layers and holds it
    against untrained twins. ``skill`` holds the rungs that a recipe's training keeps, and the
    finished net, against each other.
    """

    kind: Literal["narrowing"]
    question: Literal["depth", "skill"] = "depth"
    games: tuple[Slug, ...] = Field(GAMES, min_length=1, description="Games that nets are asked.")
    judged: tuple[Slug, ...] = Field(
        ("refuted", "chess"),
        min_length=1,
        description="Bad options that decide: refuted or illegal moves of chess nets, illegal "
        "ones of these games; others are told beside.",
    )
    stages: int = Field(6, ge=2, le=64, description="Stretches of layers, as far as there are.")
    twins: int = Field(2, ge=1, le=8, description="Untrained twins that a net is held against.")
    batch: int = Field(
        8, ge=1, le=20, description="Positions (of one game, where it is told) that make one score."
    )
    control: int = Field(150, ge=20, le=100_000, description="Scores of a control or plant.")
    lens: TunedLens = TunedLens()
    told: Told = Told()
    spike_in: PlantedNarrowing = PlantedNarrowing()

    @field_validator("games", "judged")
    @classmethod
    def _known(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        known = GAMES if info.field_name == "games" else OPTIONS
        for index, name in enumerate(value):
            if name not in known:
                raise fault(f"there is no {name!r} here; there are {', '.join(known)}", index)
        distinct(value)
        return value


NARROWING = Kind("narrowing", Narrowing, "pytest_mesa.experiments.narrowing:STUDY")
