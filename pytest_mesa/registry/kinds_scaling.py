"""The kind ``scaling``: does a measure grow along a ladder of sizes without a jump?"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from pytest_mesa.registry.kind import Kind, distinct, refuse_own_rival
from pytest_mesa.registry.kinds_knapsack import KnapsackTask, Words
from pytest_mesa.registry.kinds_search import SiteSearch
from pytest_mesa.registry.models import Closed, Slug, fault

STATE = "interchange"  # the one measure that intervenes in a net
Measure = Literal[
    "decodability",
    "interchange",
    "log-likelihood",
    "optimum-probability",
    "regret-closed",
    "accuracy",
    "papers",
]


# Spelled out, since specs that leave it so were locked before there was such a field: what
# changes here changes experiments under hashes that stay.
ASKED = Words(
    templates=("prose", "table", "list", "story", "code"),
    keep=2,
    shots=3,
    choose=8,
    competence=400,
    budget=600,
    glance=50,
    written=8,
    probed=4000,
)


class SwappedState(Closed):
    """Whose state is exchanged between two runs of each net, and how hard it is looked for."""

    algorithm: Slug = "prefix-dp"
    states: tuple[int, ...] = Field(
        (2, 3, 4), min_length=1, description="Stages of the algorithm swapped; averaged."
    )
    rivals: tuple[Slug, ...] = Field(
        ("single-item", "other-items", "level-shift", "greedy-ratio"),
        description="What must predict another answer on every pair that is used.",
    )
    search: SiteSearch = SiteSearch()
    pairs: int = Field(1000, ge=50, le=100_000, description="Fresh pairs measured for each state.")

    @field_validator("states", "rivals")
    @classmethod
    def _distinct(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return distinct(value)

    @model_validator(mode="after")
    def _consistent(self) -> SwappedState:
        refuse_own_rival(self.algorithm, self.rivals)
        return self


class Scaling(Closed):
    """How sharply measures change along a ladder of sizes.

    The estimand is the greatest share of a measure's whole change that falls within one window
    of sizes. With ``beside``, it is how much greater that share is than ``beside``'s own.
    """

    kind: Literal["scaling"]
    measures: tuple[Measure, ...] = Field(
        ("decodability", "log-likelihood"),
        min_length=1,
        description="What is followed along the ladder; each is a stratum.",
    )
    beside: Measure | None = Field(
        None, description="The measure whose own sharpness is subtracted."
    )
    window: float = Field(
        0.29,
        gt=0,
        lt=2,
        description="Decades of parameters, or of what a ladder runs along; a change within so "
        "many counts as a jump.",
    )
    paper: int = Field(
        20,
        ge=2,
        le=1000,
        description="Instances that all have to be right for one of the papers to count.",
    )

    words: Words = Field(ASKED, description="How ladders of models that read text are asked.")
    state: SwappedState = Field(
        SwappedState(), description="What 'interchange' exchanges; only where that is followed."
    )

    @property
    def task(self) -> KnapsackTask:
        """What models that read text solve by default: few enough items to weigh up unwritten."""
        return KnapsackTask(kind="knapsack", items=3)

    @model_serializer(mode="wrap")
    def _as_locked(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Specs that ask nothing in words and exchange no state keep the hash they had.
        told: dict[str, Any] = handler(self)
        if self.words == ASKED:
            del told["words"]
        if STATE not in self.followed:
            del told["state"]
        return told

    @field_validator("measures")
    @classmethod
    def _distinct(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return distinct(value)

    @model_validator(mode="after")
    def _consistent(self) -> Scaling:
        if self.beside in self.measures:
            raise fault(f"'{self.beside}' is no sharper than itself", "beside")
        if "state" in self.model_fields_set and STATE not in self.followed:
            raise fault(f"a state is exchanged only where '{STATE}' is followed", "state")
        return self

    @property
    def followed(self) -> tuple[Measure, ...]:
        """All measures that are read along the ladder."""
        return (*self.measures, *([self.beside] if self.beside else []))


SCALING = Kind("scaling", Scaling, "pytest_mesa.experiments.scaling:STUDY", gathers=True)
