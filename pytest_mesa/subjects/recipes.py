"""How the nets of this project are trained: named recipes, complete and hashable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.runs.cells import Cell, Json
from pytest_mesa.subjects import games_recipes
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.games_recipes import GamesRecipe

Wiring = Literal["full", "staircase"]
TASK = KnapsackTask(kind="knapsack")
ANCHORS = KnapsackTask(kind="knapsack", items=3, weights=(1, 7), values=(1, 7), capacity=(3, 15))


@dataclass(frozen=True, slots=True)
class Recipe:
    """A small GPT-2 trained on knapsacks; every field enters the training cell's hash.

    The nets have no position embeddings: a knapsack is a set, and a sixth item then is no
    untrained position. ``anchors`` of every ``anchor_every`` batches show each token that
    generalisation axes use (values, weights, capacities) in instances too small to need them
    together, so that failing on an axis is not failing on an unseen token.
    """

    name: str
    task: KnapsackTask = TASK
    anchors: KnapsackTask | None = ANCHORS
    anchor_every: int = 8
    target: str = "exact"
    wiring: Wiring = "full"
    row_supervision: float = 0.0
    d_model: int = 64
    layers: int = 5
    heads: int = 4
    d_mlp: int = 256
    steps: int = 4500
    batch: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 0.01

    @property
    def about(self) -> str:
        """One line for lists."""
        return f"{self.layers} layers of {self.d_model}, trained on {self.target}"

    @property
    def impl(self) -> str:
        """The function that trains it, as a cell names it."""
        return "pytest_mesa.subjects.training:train"

    def params(self, seed: int) -> dict[str, Any]:
        """The training cell's parameters. The name is not one of them."""
        body = asdict(self)
        del body["name"]
        body["task"] = self.task.model_dump(mode="json")
        body["anchors"] = self.anchors.model_dump(mode="json") if self.anchors else None
        return body | {"seed": seed}


AnyRecipe = Recipe | GamesRecipe

_KNAPSACKS = (
    Recipe("knapsack-decoder"),
    # The control that must be missed: trained as the subject is, on the greedy answers.
    Recipe("knapsack-greedy", target="greedy-ratio", steps=3000),
    # Layer l lets only item l+1 read item l, so whatever decides the answer has passed
    # through one position a layer; the rows as an auxiliary target fix what it carries.
    Recipe(
        "knapsack-staircase",
        wiring="staircase",
        anchors=None,
        row_supervision=30.0,
        d_model=128,
        d_mlp=1024,
        steps=5000,
        batch=192,
        learning_rate=1.5e-3,
    ),
)

# Widths of the stream and of the MLPs. They make 988 to 103,753 parameters: two decades, in
# steps of 0.286 to 0.291, which takes MLPs of 3.5 to 5 times the stream.
LADDER_WIDTHS = (
    *((4, 16), (6, 30), (10, 36), (15, 53)),
    *((21, 88), (31, 122), (44, 176), (63, 248)),
)
# The same sizes and one between each two, 0.142 to 0.147 decades apart.
FINE_WIDTHS = (
    *((4, 16), (5, 21), (6, 30), (8, 30), (10, 36), (12, 47), (15, 53), (17, 76)),
    *((21, 88), (25, 109), (31, 122), (36, 155), (44, 176), (52, 215), (63, 248)),
)
LADDER_SEEDS = 5
# What eight nets may cost each, in parameters times steps: two decades, evenly spaced. Their
# widths have 1,926 to 12,374 parameters, near the best size for so much: in a pilot
# (benchmarks/isoflops.py) about 2,300 were best for 4e6, 7,500 for 4e7, 14,000 or less for 2e8.
BUDGETS = tuple(float(f"{2e6 * 100 ** (rung / 7):.3g}") for rung in range(8))
BEST_WIDTHS = (
    *((6, 30), (7, 35), (9, 35), (11, 37)),
    *((12, 53), (14, 64), (17, 68), (20, 77)),
)


def _ladder(
    name: str, steps: tuple[int, ...], widths: tuple[tuple[int, int], ...] = LADDER_WIDTHS
) -> tuple[Recipe, ...]:
    """One architecture in several widths, smallest first, each trained for so many steps."""
    return tuple(
        Recipe(
            f"{name}-{width}",
            anchors=None,
            d_model=width,
            layers=2,
            heads=1,
            d_mlp=d_mlp,
            steps=count,
            batch=128,
            # The decoder's at its own width; narrower nets learn faster by longer strides.
            learning_rate=round(2e-3 * (64 / width) ** 0.75, 5),
        )
        for (width, d_mlp), count in zip(widths, steps, strict=True)
    )


LADDERS = {
    "knapsack-fixed-steps": _ladder("knapsack-fixed-steps", (1500,) * 8),
    # A window of sizes is enclosed more closely by rungs that stand closer.
    "knapsack-fixed-steps-fine": _ladder("knapsack-fixed-steps-fine", (1500,) * 15, FINE_WIDTHS),
    # Steps as the square root of parameters, so that data grow with size as well as the net.
    "knapsack-scaled-steps": _ladder(
        "knapsack-scaled-steps", (397, 554, 773, 1074, 1500, 2095, 2911, 4069)
    ),
    # Each budget over its net's parameters.
    "knapsack-compute-optimal": _ladder(
        "knapsack-compute-optimal",
        (1038, 1580, 2285, 3394, 5038, 7374, 10_944, 16_163),
        BEST_WIDTHS,
    ),
}
# Ladders along something else than parameters: what, and how much of it each rung has.
ALONG = {"knapsack-compute-optimal": ("compute", BUDGETS)}

RECIPES: dict[str, AnyRecipe] = {recipe.name: recipe for recipe in _KNAPSACKS}
RECIPES.update((recipe.name, recipe) for ladder in LADDERS.values() for recipe in ladder)
RECIPES.update(games_recipes.RECIPES)


def recipe(name: str) -> AnyRecipe:
    """Look a recipe up.

    Raises:
        SubjectError: no such recipe; the message lists those there are.
    """
    if name not in RECIPES:
        raise SubjectError(f"no recipe is called {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]


def training_cell(recipe: AnyRecipe, seed: int) -> Cell:
    """The cell whose result is the trained net."""
    return Cell(
        kind="train",
        version=1,
        params=recipe.params(seed),
        impl=recipe.impl,
        label=f"train {recipe.name} seed {seed}",
    )


def from_params(params: Mapping[str, Json], name: str = "recipe") -> tuple[AnyRecipe, int]:
    """The recipe and seed that a training cell's parameters describe, of either family."""
    if params.get("family") == games_recipes.FAMILY:
        return games_recipes.from_params(params, name)
    return knapsack_params(params, name)


def knapsack_params(params: Mapping[str, Json], name: str = "recipe") -> tuple[Recipe, int]:
    """The knapsack recipe and seed that a training cell's parameters describe."""
    body = dict(params)
    seed = int(body.pop("seed"))
    body["task"] = KnapsackTask.model_validate(body["task"])
    if body["anchors"] is not None:
        body["anchors"] = KnapsackTask.model_validate(body["anchors"])
    return Recipe(name=name, **body), seed
