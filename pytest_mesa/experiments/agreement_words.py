"""The parts of the kind ``agreement`` for subjects that read text: the same questions in words.

First the wordings are chosen, on instances of their own; then competence is measured under
those that were kept. What follows takes the competence as its input: a subject that is not able
is asked only as often as it takes to describe it, and is not probed.
"""

from __future__ import annotations

from typing import Any

from pytest_mesa.experiments.lineup import part_cell
from pytest_mesa.registry.kinds import KnapsackTask, Words
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell, Json
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.schemes import Handle

CELLS = "pytest_mesa.experiments.agreement_words_cells"
PROBES = "pytest_mesa.experiments.agreement_words_probes"


def subject_parts(prediction: Prediction, handle: Handle) -> tuple[Cell, ...]:
    """Competence, answers and aspects of a subject that reads text."""
    chosen, able = wordings(prediction, handle), competence(prediction, handle)
    parts = [able, _answers(prediction, handle, (chosen, able))]
    if prediction.experiment.probes:
        parts.append(_aspects(prediction, handle, (chosen, able)))
    return tuple(parts)


def control_parts(prediction: Prediction, handle: Handle) -> tuple[Cell, ...]:
    """A control's answers, through the same options and averages, under every wording.

    A subject may keep any of them, so a control has to be read right under all.
    """
    return (_answers(prediction, handle, (wordings(prediction, handle, every=True),)),)


def exhibit(prediction: Prediction, handle: Handle) -> Cell:
    """A whole prompt, and what the subject makes of it."""
    more = (wordings(prediction, handle), competence(prediction, handle))
    count = {"count": _words(prediction).competence}
    return part("words-exhibit", prediction, handle, count, "exhibit", more)


def competence(prediction: Prediction, handle: Handle) -> Cell:
    """The subject's score on fresh instances, under the wordings kept."""
    words = _words(prediction)
    counts = {
        "count": words.competence,
        "written": words.written,
        "able": _able(prediction),
    }
    more = (wordings(prediction, handle),)
    return part("words-competence", prediction, handle, counts, "competence", more)


def check(prediction: Prediction) -> None:
    """Look a spec's wordings up.

    Raises:
        SubjectError: a template that does not exist, or cannot pose the task.
    """
    from pytest_mesa.tasks.knapsack.words import PLACES, TEMPLATES

    words = _words(prediction)
    for index, name in enumerate(words.templates):
        if name not in TEMPLATES:
            raise SubjectError(
                f"experiment.words.templates: there is no {name!r}; "
                f"there are {', '.join(TEMPLATES)}",
                at=("experiment", "words", "templates", index),
            )
    if _task(prediction).items > len(PLACES):
        raise SubjectError(f"experiment.words: at most {len(PLACES)} items can be put into words")


def _words(prediction: Prediction) -> Words:
    words: Words = prediction.experiment.words
    return words


def _task(prediction: Prediction) -> KnapsackTask:
    task: KnapsackTask = _words(prediction).task or prediction.experiment.task
    return task


def part(
    kind: str,
    prediction: Prediction,
    handle: Handle,
    params: dict[str, Json],
    function: str,
    more: tuple[Cell, ...] = (),
) -> Cell:
    """A cell that asks one subject in words; ``more`` are inputs, the chosen wordings first."""
    common = {
        "task": _task(prediction).model_dump(mode="json"),
        "seed": prediction.seed,
        "own": len(handle.inputs),
    }
    impl = function if ":" in function else f"{CELLS}:{function}"
    return part_cell(kind, 1, handle, common | params, impl, kind.replace("-", " "), more)


def wordings(prediction: Prediction, handle: Handle, *, every: bool = False) -> Cell:
    """The wordings that a subject is asked under: those that it solves best, or all."""
    words = _words(prediction)
    params: dict[str, Any] = {"templates": list(words.templates), "shots": words.shots}
    if every:
        return part("every-wording", prediction, handle, params, "every_wording")
    params |= {"keep": words.keep, "count": words.choose}
    return part("wordings", prediction, handle, params, "choose")


def _answers(prediction: Prediction, handle: Handle, more: tuple[Cell, ...]) -> Cell:
    experiment, words = prediction.experiment, _words(prediction)
    rivals = list(experiment.rivals)
    params = {
        "algorithm": experiment.algorithm,
        "rivals": rivals,
        "count": words.budget // len(rivals),
        "glance": words.glance // len(rivals),
        "able": _able(prediction),
    }
    return part("words-agreement", prediction, handle, params, "answers", more)


def _aspects(prediction: Prediction, handle: Handle, more: tuple[Cell, ...]) -> Cell:
    params = {
        "aspects": list(prediction.experiment.probes),
        "counts": split(_words(prediction).probed),
        "alpha": prediction.verdict.alpha,
        "able": _able(prediction),
        "precision": "exact",
    }
    return part("words-aspects", prediction, handle, params, f"{PROBES}:aspects", more)


def split(probed: int) -> list[int]:
    """Instances that probes are fitted on (half), chosen on (a sixth) and measured on."""
    return [probed // 2, probed // 6, probed - probed // 2 - probed // 6]


def _able(prediction: Prediction) -> dict[str, Json]:
    """What competence is read by."""
    competence = prediction.competence.model_dump(mode="json")
    return {"competence": competence, "alpha": prediction.verdict.alpha}
