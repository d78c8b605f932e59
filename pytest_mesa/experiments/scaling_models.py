"""The parts of the kind ``scaling`` for ladders of released models.

Models that read text are asked for the measures that the spec follows, and for no other, each
under the wordings that it solves best. All are asked as many instances, each model its own: a
small one is expected to be unable, and to know it less well for that would make its size noisier
than the others. What a clearly unable one is spared is most of its competence, which counts of
the largest alone.

No scripted model is a control here, since a script has no size, and its ladder no growth to be
told from a jump: that is what the planted ladders prove. What a script proves elsewhere, that
questions arrive and that answers are read off right, is proved by the largest models: the same
wordings, options and averages make their competence, without which nothing is concluded.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_mesa.experiments import agreement_words as in_words
from pytest_mesa.registry.kinds_scaling import STATE
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell
from pytest_mesa.subjects import model_ladders
from pytest_mesa.subjects.errors import SubjectError, UnsuitedError
from pytest_mesa.subjects.handles import Handle

CELLS = "pytest_mesa.experiments.scaling_models_cells"
INSIDE = "decodability"


def model_ladder(prediction: Prediction, ladder: Handle) -> Cell:
    """All that is followed along a ladder of models that read text.

    Raises:
        SubjectError: a template that does not exist, or too few instances for one paper.
        UnsuitedError: a state is to be exchanged, whose places are a knapsack's own tokens.
    """
    in_words.check(prediction)
    experiment = prediction.experiment
    followed = set(experiment.followed)
    if STATE in followed:
        raise UnsuitedError(f"'{STATE}' is not measured of models that read text")
    if "papers" in followed and experiment.words.budget < experiment.paper:
        raise SubjectError(
            f"experiment.words.budget: {experiment.words.budget} instances make no paper of "
            f"{experiment.paper}",
            at=("experiment",),
        )
    nets = [_parts(prediction, net, followed) for net in model_ladders.models(ladder)]
    return gathering(prediction, ladder, nets)


def gathering(prediction: Prediction, ladder: Handle, nets: Sequence[tuple[Cell, ...]]) -> Cell:
    """The cell that puts what was measured on a ladder's models in order of their sizes."""
    (each,) = {len(parts) for parts in nets}
    return Cell(
        kind="model-ladder",
        version=1,
        params={
            "names": [net.label for net in model_ladders.models(ladder)],
            "each": each,
            "shown": prediction.competence.budget,
        },
        impl=f"{CELLS}:gather",
        inputs=tuple(part for parts in nets for part in parts),
        label=f"gather · {ladder.label}",
    )


def own_draw(net: Handle) -> int:
    """A number of a net's own, for the instances that it is asked, wherever it stands."""
    (made,) = net.inputs
    return int(made.key[:8], 16)


def _parts(prediction: Prediction, net: Handle, followed: set[str]) -> tuple[Cell, ...]:
    """One model's competence, and what is followed of it."""
    parts = [in_words.competence(prediction, net)]
    if followed - {INSIDE}:
        parts.append(_behaviour(prediction, net))
    if INSIDE in followed:
        parts.append(_inside(prediction, net))
    return tuple(parts)


def _behaviour(prediction: Prediction, net: Handle) -> Cell:
    experiment = prediction.experiment
    params = {
        "count": experiment.words.budget,
        "paper": experiment.paper,
        "draw": own_draw(net),
    }
    chosen = (in_words.wordings(prediction, net),)
    return in_words.part("words-worth", prediction, net, params, f"{CELLS}:behaviour", chosen)


def _inside(prediction: Prediction, net: Handle) -> Cell:
    params = {
        "counts": in_words.split(prediction.experiment.words.probed),
        "precision": "exact",
        "draw": own_draw(net),
    }
    chosen = (in_words.wordings(prediction, net),)
    return in_words.part("words-inside", prediction, net, params, f"{CELLS}:inside", chosen)
