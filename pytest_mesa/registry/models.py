"""What a prediction is: the closed models that a YAML file must fit."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator
from pydantic_core import PydanticCustomError

Scalar = str | int | float | bool
Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]
Range = tuple[int, int]
RULE = "mesa-rule"  # the type of errors that carry the place they point at


def fault(message: str, *at: str | int) -> PydanticCustomError:
    """A rule that a record breaks. ``at`` leads from the record to the field to point at."""
    return PydanticCustomError(RULE, "{why}", {"why": message, "at": at})


def repeated(values: tuple[Hashable, ...]) -> int | None:
    """The index of the first value that stands in the tuple before, or None."""
    seen: set[Hashable] = set()
    for index, value in enumerate(values):
        if value in seen:
            return index
        seen.add(value)
    return None


def one_of(*names: str) -> ConfigDict:
    """The JSON Schema of a record in which exactly one of these fields has a value."""
    given: list[JsonValue] = [
        {"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in names
    ]
    return ConfigDict(json_schema_extra={"oneOf": given})


class Closed(BaseModel):
    """A frozen record whose unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class SubjectSpec(Closed):
    """One line of a subject line-up: exactly one of the four sources is given.

    ``seeds`` counts training (or compilation) seeds; each seed is one subject.
    """

    model_config = one_of("recipe", "compiled", "ref", "released")

    recipe: Slug | None = Field(None, description="A network trained here, by its recipe's name.")
    compiled: Slug | None = Field(
        None, description="A network whose weights are written down to run this algorithm."
    )
    ref: str | None = Field(None, description="A model reference as for --mesa-model.")
    released: Literal[True] | None = Field(
        None, description="A slot that --mesa-model fills; the prediction waits without one."
    )
    seeds: int = Field(1, ge=1, le=100, description="How many seeds; each is one subject.")
    untrained: bool = Field(
        False,
        description="The recipe's network before its first step; of a chess net that ref names, "
        "one of the same shape whose weights are shuffled.",
    )
    options: dict[str, Scalar] = Field(
        default_factory=dict, description="Settings of the recipe or compiler that differ."
    )

    @model_validator(mode="after")
    def _one_source(self) -> SubjectSpec:
        sources = ("recipe", "compiled", "ref", "released")
        given = [name for name in sources if getattr(self, name) is not None]
        if len(given) != 1:
            raise fault(
                "a subject names exactly one of recipe, compiled, ref, released"
                + (f" (found {', '.join(given)})" if given else "")
            )
        if self.untrained and self.recipe is None and self.ref is None:
            raise fault("only a recipe or a chess net has an untrained network", "untrained")
        return self


class Competence(Closed):
    """The task score a subject must reach before its verdict counts."""

    metric: Literal["accuracy", "sound-move-rate", "legal-rate"] = "accuracy"
    at_least: float = Field(gt=0, lt=1, description="The least score that counts as able.")
    budget: int = Field(2000, ge=100, le=100_000, description="Fresh instances scored.")


class Controls(Closed):
    """Subjects with known ground truth that gate the verdict."""

    must_detect: tuple[SubjectSpec, ...] = Field(
        min_length=1, description="Subjects known to have it; missing one voids the verdict."
    )
    must_not_detect: tuple[SubjectSpec, ...] = Field(
        min_length=1, description="Subjects known to lack it; an alarm at one voids the verdict."
    )

    @model_validator(mode="after")
    def _known_truth(self) -> Controls:
        for role in ("must_detect", "must_not_detect"):
            for index, control in enumerate(getattr(self, role)):
                if control.released:
                    raise fault(
                        "a released model is no control: its ground truth is unknown",
                        *(role, index, "released"),
                    )
        return self


class Region(Closed):
    """A half-line of the estimand: ``below`` or ``above`` a number."""

    model_config = one_of("below", "above")

    below: float | None = None
    above: float | None = None

    @model_validator(mode="after")
    def _one_side(self) -> Region:
        if (self.below is None) == (self.above is None):
            raise fault("a region has exactly one of below, above")
        return self


class VerdictRule(Closed):
    """When the evidence decides."""

    estimand: Slug = Field(description="The measured quantity that the regions are of.")
    quantifier: Literal["every", "some"] | dict[Literal["fraction"], float] = Field(
        "every", description="Of which subjects the claim speaks."
    )
    predicted: Region = Field(description="Where the estimate lies if the claim holds.")
    refuted: Region = Field(description="Where it lies if the claim is wrong; never touching.")
    alpha: float = Field(0.05, gt=0, le=0.2, description="Chance of a false verdict, at most.")
    budget: int = Field(3000, ge=100, le=1_000_000, description="Observations per subject.")

    @field_validator("quantifier")
    @classmethod
    def _fraction(cls, value: object) -> object:
        if isinstance(value, dict) and not 0 < value.get("fraction", 0) < 1:
            raise fault("fraction is between 0 and 1", "fraction")
        return value

    @model_validator(mode="after")
    def _apart(self) -> VerdictRule:
        low, high = (
            (self.predicted.below, self.refuted.above)
            if self.predicted.below is not None
            else (self.refuted.below, self.predicted.above)
        )
        if low is None or high is None:
            side = "below" if self.predicted.below is not None else "above"
            other = "above" if side == "below" else "below"
            raise fault(f"predicted is '{side}', so refuted must be '{other}'", "refuted")
        if not low < high:
            raise fault(
                f"predicted and refuted must leave a gap between them ({low:g} is not < {high:g})",
                "refuted",
            )
        return self


class Prediction(Closed):
    """One falsifiable claim and the experiment that decides it."""

    prediction: Slug = Field(description="The id: unique, and kept for good.")
    title: str = Field(max_length=200, description="The claim in one line, for tables.")
    claim: str = Field(description="What is claimed, in full.")
    notes: tuple[str, ...] = Field((), description="Caveats and counter-evidence, one each.")
    tags: tuple[Slug, ...] = Field((), description="Markers to select by: pytest -m TAG.")
    subjects: tuple[SubjectSpec, ...] = Field(min_length=1, description="The models judged.")
    competence: Competence
    experiment: Any = Field(description="The experiment that decides it, by its kind.")
    controls: Controls
    verdict: VerdictRule
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Every draw of instances follows it.")

    @field_validator("title", "claim")
    @classmethod
    def _said(cls, value: str) -> str:
        if not value.strip():
            raise fault("expected text, found none")
        return value

    @field_validator("title")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if "\n" in value.strip():
            raise fault("a title is one line")
        return value

    @field_validator("tags")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if (index := repeated(value)) is not None:
            raise fault(f"the tag '{value[index]}' is given twice", index)
        return value
