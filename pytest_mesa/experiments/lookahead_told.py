"""What the kind ``look-ahead`` plans where boards are told in words."""

from __future__ import annotations

from pytest_mesa.experiments.lineup import part_cell
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell, Json
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle
from pytest_mesa.tasks.games.listings import LISTINGS


def check_words(prediction: Prediction) -> None:
    """Hold a spec's words to what there is.

    Raises:
        SubjectError: a template that there is not, or a question that can't be asked in words.
    """
    words = prediction.experiment.words
    if words is None:
        return
    if prediction.experiment.question == "aspects":
        raise SubjectError(
            "experiment.words: the question 'aspects' takes rivals that see boards; of models "
            "that are told boards in words ask 'search'",
            at=("experiment", "words"),
        )
    for index, name in enumerate(words.templates):
        if name not in LISTINGS:
            raise SubjectError(
                f"experiment.words.templates: no way to list a board is called {name!r}; "
                f"there are {', '.join(LISTINGS)}",
                at=("experiment", "words", "templates", index),
            )


def words_params(prediction: Prediction, handle: Handle, able: tuple[Cell, ...]) -> dict[str, Json]:
    """What cells take to ask in words, a judged subject's ``able`` cell as their input.

    Nothing where boards are seen.
    """
    words = prediction.experiment.words
    if words is None:
        return {}
    told: dict[str, Json] = {
        "own": len(handle.inputs),
        "templates": list(words.templates),
        "layers": words.layers,
    }
    return {"words": told | (_rule(prediction) if able else {})}


def listing_competence(prediction: Prediction, handle: Handle, positions: str) -> Cell:
    """How often what a model writes after a listed board is a sound move."""
    words = prediction.experiment.words
    return part_cell(
        "listing-competence",
        1,
        handle,
        {
            "positions": positions,
            "count": prediction.competence.budget,
            "seed": prediction.seed,
            "words": {"templates": list(words.templates), "choose": words.choose},
            **_rule(prediction),
        },
        "pytest_mesa.experiments.lookahead_words:competence",
        "competence",
    )


def _rule(prediction: Prediction) -> dict[str, Json]:
    """By what a subject counts as able."""
    competence = prediction.competence.model_dump(mode="json")
    return {"able": {"competence": competence, "alpha": prediction.verdict.alpha}}
