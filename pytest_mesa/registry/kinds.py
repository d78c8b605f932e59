"""The experiment and task kinds that specs may name, without their heavy code.

A kind's parameters are checked here; the code that runs it is named by ``impl`` and imported
only when a cell runs. Other packages add kinds through the entry-point groups
``pytest_mesa.experiments`` and ``pytest_mesa.tasks``, as the built-in ones do.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pytest_mesa.registry.kind import Kind as Kind
from pytest_mesa.registry.kind import distinct, refuse_own_rival
from pytest_mesa.registry.kinds_circuits import CIRCUIT_OVERLAP
from pytest_mesa.registry.kinds_forecast import FORECAST
from pytest_mesa.registry.kinds_knapsack import KnapsackTask as KnapsackTask
from pytest_mesa.registry.kinds_knapsack import Words as Words
from pytest_mesa.registry.kinds_lookahead import LOOK_AHEAD
from pytest_mesa.registry.kinds_narrowing import NARROWING
from pytest_mesa.registry.kinds_offbook import OFF_BOOK
from pytest_mesa.registry.kinds_scaling import SCALING
from pytest_mesa.registry.kinds_search import SiteSearch as SiteSearch
from pytest_mesa.registry.kinds_strength import STRENGTH
from pytest_mesa.registry.kinds_transfer import TRANSFER
from pytest_mesa.registry.models import Closed, Slug, fault


class SpikeIn(Closed):
    """Planted strengths, ascending, tried until one is seen: the limit of detection."""

    strengths: tuple[float, ...] = Field((0.2, 0.4), min_length=1)

    @field_validator("strengths")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        for index, (before, strength) in enumerate(zip((0.0, *value), value, strict=False)):
            if not before < strength <= 1:
                raise fault("strengths ascend, each above 0 and at most 1", index)
        return value


class CausalState(Closed):
    """Does an algorithm's state, carried in a linear subspace, drive the answer?"""

    kind: Literal["causal-state"]
    task: KnapsackTask
    algorithm: Slug
    states: tuple[int, ...] = Field(
        (2, 3, 4), min_length=1, description="Stages of the algorithm swapped."
    )
    rivals: tuple[Slug, ...] = ("random-subspace", "raw-items")
    search: SiteSearch = SiteSearch()
    spike_in: SpikeIn = SpikeIn()

    @field_validator("states", "rivals")
    @classmethod
    def _distinct(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return distinct(value)

    @model_validator(mode="after")
    def _consistent(self) -> CausalState:
        for index, state in enumerate(self.states):
            if not 1 <= state <= self.task.items:
                raise fault(f"a stage is one of 1 to {self.task.items}, the items", "states", index)
        refuse_own_rival(self.algorithm, self.rivals)
        return self


class Agreement(Closed):
    """Which algorithm explains the subject's answers where the algorithms disagree?"""

    kind: Literal["agreement"]
    task: KnapsackTask
    algorithm: Slug = "exact"
    rivals: tuple[Slug, ...] = Field(min_length=1)
    probes: tuple[Slug, ...] = ()
    words: Words = Field(Words(), description="How a model that reads text is asked.")

    @field_validator("rivals", "probes")
    @classmethod
    def _distinct(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return distinct(value)

    @model_validator(mode="after")
    def _consistent(self) -> Agreement:
        refuse_own_rival(self.algorithm, self.rivals)
        return self


class Generalisation(Closed):
    """Does accuracy carry over, one axis at a time, to instances outside training?"""

    kind: Literal["generalisation"]
    task: KnapsackTask
    axes: dict[Slug, KnapsackTask] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_at_a_time(self) -> Generalisation:
        for name, axis in self.axes.items():
            moved = [field for field, value in axis if value != getattr(self.task, field)]
            if not moved:
                raise fault("an axis differs from the task; this one is the same", "axes", name)
            if len(moved) > 1:
                raise fault(
                    f"an axis moves one field of the task; this one moves {' and '.join(moved)}",
                    *("axes", name),
                )
        return self


CAUSAL_STATE = Kind("causal-state", CausalState, "pytest_mesa.experiments.causal_state:STUDY")
AGREEMENT = Kind("agreement", Agreement, "pytest_mesa.experiments.agreement:STUDY")
GENERALISATION = Kind(
    "generalisation", Generalisation, "pytest_mesa.experiments.generalisation:STUDY"
)
KNAPSACK = Kind("knapsack", KnapsackTask, "pytest_mesa.tasks.knapsack.instances:draw")

# Named here as well as in the distribution's entry points, which a source checkout may lack.
EXPERIMENTS = (
    CAUSAL_STATE,
    AGREEMENT,
    GENERALISATION,
    LOOK_AHEAD,
    SCALING,
    FORECAST,
    NARROWING,
    STRENGTH,
    TRANSFER,
    OFF_BOOK,
    CIRCUIT_OVERLAP,
)
TASKS = (KNAPSACK,)
