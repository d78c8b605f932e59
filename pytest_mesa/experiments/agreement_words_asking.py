"""A subject that reads text, as the cells of ``agreement`` load, ask and judge it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.registry.models import Competence
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.asked import Asked, TextModel, phrasings
from pytest_mesa.subjects.device import Precision
from pytest_mesa.subjects.load import load
from pytest_mesa.tasks.knapsack.instances import draw
from pytest_mesa.tasks.knapsack.words_prompts import Phrasing
from pytest_mesa.verdicts.assess import assess_competence
from pytest_mesa.verdicts.confidence import confidence_sequence
from pytest_mesa.verdicts.evidence import Measurement

EXAMPLES_STREAM = 0x73686F74  # apart from other uses of the seed


def task_of(params: Mapping[str, Json]) -> KnapsackTask:
    """The task that is posed."""
    return KnapsackTask.model_validate(params["task"])


def rng_of(params: Mapping[str, Json], *stream: int) -> np.random.Generator:
    """A generator for one use of the spec's seed."""
    return np.random.default_rng([params["seed"], *stream])


def asked_under(params: Mapping[str, Json], model: TextModel, way: Phrasing) -> Asked:
    """The model under one wording; each template has examples of its own."""
    drawn = rng_of(params, EXAMPLES_STREAM, *way.template.encode())
    return Asked(model, task_of(params), way, draw(task_of(params), way.shots, drawn))


def all_wordings(params: Mapping[str, Json], model: TextModel) -> Iterator[Asked]:
    """The model under every wording that it has."""
    for ways in phrasings(model, params["templates"], params["shots"]).values():
        yield from (asked_under(params, model, way) for way in ways)


def subject_of(
    params: Mapping[str, Json], inputs: tuple[Result, ...]
) -> tuple[Any, list[Asked], tuple[Result, ...]]:
    """The model, its wordings, the best first, and the results that follow its own inputs."""
    own, more = inputs[: params["own"]], inputs[params["own"] :]
    # Options are read off plain runs; what looks inside asks for more precision.
    precision: Precision = params.get("precision", "fast")
    model: Any = load(params["subject"], own, precision=precision)
    kept = [Phrasing(**way) for way in more[0].payload["kept"]]
    return model, [asked_under(params, model, way) for way in kept], more


def clearly_unable(params: Mapping[str, Json], scores: Sequence[float]) -> bool:
    """Whether the subject conclusively scores below what is asked."""
    bounds = confidence_sequence([float(s) for s in scores], params["able"]["alpha"]).final
    return bounds.upper < float(params["able"]["competence"]["at_least"])


def is_able(params: Mapping[str, Json], result: Result) -> bool:
    """Whether the subject conclusively solves the task, as the verdict will read it."""
    scores = Measurement("", (), competence=tuple(result.payload["competence"]))
    rule = Competence.model_validate(params["able"]["competence"])
    return assess_competence(scores, rule, params["able"]["alpha"]).ok
