"""What a prediction is: the closed models that a YAML file must fit."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Scalar = str | int | float | bool
Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]
Range = tuple[int, int]


class Closed(BaseModel):
    """A frozen record whose unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class SubjectSpec(Closed):
    """One line of a subject line-up: exactly one of the four sources is given.

    ``seeds`` counts training (or compilation) seeds; each seed is one subject.
    """

    recipe: Slug | None = None
    compiled: Slug | None = None
    ref: str | None = Field(None, description="A model reference as for --mesa-model.")
    released: Literal[True] | None = Field(
        None, description="A slot that --mesa-model fills; the prediction waits without one."
    )
    seeds: int = Field(1, ge=1, le=100)
    untrained: bool = Field(False, description="The recipe's network before its first step.")
    options: dict[str, Scalar] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_source(self) -> SubjectSpec:
        given = [k for k in ("recipe", "compiled", "ref", "released") if getattr(self, k)]
        if len(given) != 1:
            raise ValueError(
                "name exactly one of recipe, compiled, ref, released"
                + (f" (found {', '.join(given)})" if given else "")
            )
        if self.untrained and not self.recipe:
            raise ValueError("untrained needs a recipe")
        return self


class Competence(Closed):
    """The task score a subject must reach before its verdict counts."""

    metric: Literal["accuracy"] = "accuracy"
    at_least: float = Field(gt=0, lt=1)
    budget: int = Field(2000, ge=100, le=100_000, description="Fresh instances scored.")


class Controls(Closed):
    """Subjects with known ground truth that gate the verdict."""

    must_detect: tuple[SubjectSpec, ...] = Field(min_length=1)
    must_not_detect: tuple[SubjectSpec, ...] = Field(min_length=1)


class Region(Closed):
    """A half-line of the estimand: ``below`` or ``above`` a number."""

    below: float | None = None
    above: float | None = None

    @model_validator(mode="after")
    def _one_side(self) -> Region:
        if (self.below is None) == (self.above is None):
            raise ValueError("give exactly one of below, above")
        return self


class VerdictRule(Closed):
    """When the evidence decides."""

    estimand: Slug
    quantifier: Literal["every", "some"] | dict[Literal["fraction"], float] = "every"
    predicted: Region
    refuted: Region
    alpha: float = Field(0.05, gt=0, le=0.2)
    budget: int = Field(3000, ge=100, le=1_000_000, description="Observations per subject.")

    @model_validator(mode="after")
    def _apart(self) -> VerdictRule:
        low, high = (
            (self.predicted.below, self.refuted.above)
            if self.predicted.below is not None
            else (self.refuted.below, self.predicted.above)
        )
        if low is None or high is None:
            raise ValueError("predicted and refuted must face away from each other")
        if not low < high:
            raise ValueError("predicted and refuted must leave an indifference zone between them")
        return self


class Prediction(Closed):
    """One falsifiable claim and the experiment that decides it."""

    prediction: Slug
    title: str
    claim: str
    notes: tuple[str, ...] = ()
    tags: tuple[Slug, ...] = ()
    subjects: tuple[SubjectSpec, ...] = Field(min_length=1)
    competence: Competence
    experiment: Any
    controls: Controls
    verdict: VerdictRule
    seed: int = Field(0, ge=0, le=2**31 - 1)
