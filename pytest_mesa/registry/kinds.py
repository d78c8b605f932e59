"""The experiment and task kinds that specs may name, without their heavy code.

A kind's parameters are checked here; the code that runs it is named by ``impl`` and imported
only when a cell runs. Other packages add kinds through the entry-point groups
``pytest_mesa.experiments`` and ``pytest_mesa.tasks``, as the built-in ones do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field, model_validator

from pytest_mesa.registry.models import Closed, Range, Slug


@dataclass(frozen=True, slots=True)
class Kind:
    """An experiment or task kind: its name, its parameters' model, and where its code lives."""

    name: str
    params: type[BaseModel]
    impl: str


class KnapsackTask(Closed):
    """0/1 knapsacks drawn uniformly from the given ranges (inclusive)."""

    kind: Literal["knapsack"]
    items: int = Field(5, ge=2, le=12)
    weights: Range = (1, 5)
    values: Range = (1, 5)
    capacity: Range = (3, 10)

    @model_validator(mode="after")
    def _ranges(self) -> KnapsackTask:
        for name in ("weights", "values", "capacity"):
            low, high = getattr(self, name)
            if not 1 <= low <= high:
                raise ValueError(f"{name}: a range is [low, high] with 1 <= low <= high")
        return self


class SiteSearch(Closed):
    """How many places are looked at, and how hard, before anything is measured."""

    rank: int = Field(10, ge=1, le=64, description="Rank limit of a trained subspace.")
    screen_pairs: int = Field(256, ge=32, le=10_000)
    sites: int = Field(3, ge=1, le=100, description="Sites per state that get a trained subspace.")
    steps: int = Field(80, ge=0, le=10_000, description="Optimisation steps per subspace.")
    train_pairs: int = Field(2000, ge=64, le=100_000)
    batch: int = Field(128, ge=8, le=4096)


class SpikeIn(Closed):
    """Planted strengths, ascending, tried until one is seen: the limit of detection."""

    strengths: tuple[float, ...] = (0.2, 0.35, 0.5)


class CausalState(Closed):
    """Does an algorithm's state, carried in a linear subspace, drive the answer?"""

    kind: Literal["causal-state"]
    task: KnapsackTask
    algorithm: Slug
    states: tuple[int, ...] = Field((2, 3, 4), description="Stages of the algorithm swapped.")
    rivals: tuple[Slug, ...] = ("random-subspace", "raw-items")
    search: SiteSearch = SiteSearch()
    spike_in: SpikeIn = SpikeIn()


class Agreement(Closed):
    """Which algorithm explains the subject's answers where the algorithms disagree?"""

    kind: Literal["agreement"]
    task: KnapsackTask
    algorithm: Slug = "exact"
    rivals: tuple[Slug, ...] = Field(min_length=1)
    probes: tuple[Slug, ...] = ()


class Generalisation(Closed):
    """Does accuracy carry over, one axis at a time, to instances outside training?"""

    kind: Literal["generalisation"]
    task: KnapsackTask
    axes: dict[Slug, KnapsackTask] = Field(min_length=1)


CAUSAL_STATE = Kind("causal-state", CausalState, "pytest_mesa.experiments.causal_state:STUDY")
AGREEMENT = Kind("agreement", Agreement, "pytest_mesa.experiments.agreement:STUDY")
GENERALISATION = Kind(
    "generalisation", Generalisation, "pytest_mesa.experiments.generalisation:STUDY"
)
KNAPSACK = Kind("knapsack", KnapsackTask, "pytest_mesa.tasks.knapsack:TASK")
