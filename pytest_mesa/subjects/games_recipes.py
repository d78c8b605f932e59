"""How the two-game decoder is trained: complete, hashable, and light to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pytest_mesa.runs.cells import Json

FAMILY = "games"  # in a training cell's parameters; the knapsack recipes' have no such key


@dataclass(frozen=True, slots=True)
class Source:
    """One game's share: its first ``plies`` moves, ``batch`` games in every training batch.

    Skill is measured on the first ``measured`` of these, where play is dense enough to learn.
    ``archive`` is the file of games under ``fixtures/games`` and ``sha`` its SHA-256, so that
    other games make another net.
    """

    game: str
    archive: str
    sha: str
    plies: int
    batch: int
    measured: int


@dataclass(frozen=True, slots=True)
class GamesRecipe:
    """A small GPT-2 trained to continue games; every field enters the training cell's hash.

    One net plays every game: a batch holds games of each, and the loss is the mean over all
    their moves' tokens. ``rungs`` are the steps at which ``ladder_seed`` also keeps the net as
    it is then: a ladder of skill along one training run.
    """

    name: str
    sources: tuple[Source, ...]
    rungs: tuple[int, ...] = ()
    ladder_seed: int = 0
    d_model: int = 128
    layers: int = 6
    heads: int = 4
    d_mlp: int = 384
    positions: int = 128
    steps: int = 3000
    learning_rate: float = 5e-3
    matrix_rate: float = 0.05
    weight_decay: float = 0.01

    @property
    def about(self) -> str:
        """One line for lists."""
        games = ", ".join(source.game for source in self.sources)
        return f"{self.layers} layers of {self.d_model}, trained on games of {games}"

    @property
    def impl(self) -> str:
        """The function that trains it, as a cell names it."""
        return "pytest_mesa.subjects.games_training:train"

    def params(self, seed: int) -> dict[str, Any]:
        """The training cell's parameters. The name is not one of them."""
        body = asdict(self)
        del body["name"]
        body["sources"] = [asdict(source) for source in self.sources]
        body["rungs"] = list(self.rungs)
        return {"family": FAMILY} | body | {"seed": seed}


def from_params(params: Mapping[str, Json], name: str = "recipe") -> tuple[GamesRecipe, int]:
    """The recipe and seed that a training cell's parameters describe."""
    body = dict(params)
    del body["family"]
    seed = int(body.pop("seed"))
    body["sources"] = tuple(Source(**source) for source in body["sources"])
    body["rungs"] = tuple(body["rungs"])
    return GamesRecipe(name=name, **body), seed


CHESS = Source(
    "chess",
    "chess",
    "816f45f87dc88f57cd46a71012887d01dff98ac10ed69b060499f9a5156252be",
    plies=36,
    batch=24,
    measured=30,
)
GO = Source(
    "go",
    "go",
    "ebdc4eb72a032ce38710be4d7b73f5f3491441270c5f1fb423364d8a6ed37a4d",
    plies=60,
    batch=8,
    measured=60,
)
# One file of games for both notations, so that their games are twins.
SMALL = "8a1f60db3d1ae2bc3c6cc069846c6e7bb623fae507635d4c538abd51ab202633"
TWO_GAMES = GamesRecipe(
    "two-game-decoder",
    (
        CHESS,
        GO,
        Source("tic-tac-toe", "tic-tac-toe", SMALL, 9, 8, 9),
        Source("fifteen", "tic-tac-toe", SMALL, 9, 8, 9),
    ),
    rungs=(60, 200, 500, 1200),
    steps=2500,
)
RECIPES = {recipe.name: recipe for recipe in (TWO_GAMES,)}
