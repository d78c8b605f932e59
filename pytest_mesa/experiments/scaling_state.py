"""The measure ``interchange`` of the kind ``scaling``: what of a net's answers a state drives.

It intervenes in each net, so it takes a cell of its own a net, and only where it is followed.
"""

from __future__ import annotations

from pytest_mesa.experiments.causal_state import PAIR_RIVALS, SUBSPACE_RIVALS, check_state
from pytest_mesa.experiments.lineup import part_cell
from pytest_mesa.registry.kinds_scaling import STATE
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell
from pytest_mesa.subjects import ladders
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle

CELLS = "pytest_mesa.experiments.scaling_state_cells"


def state_cells(prediction: Prediction, ladder: Handle, nets: list[Handle]) -> tuple[Cell, ...]:
    """A cell for each of a ladder's nets; none where no state is exchanged.

    Raises:
        SubjectError: an unknown algorithm or rival, or a state that the ladder's task has not.
    """
    state = prediction.experiment.state
    if STATE not in prediction.experiment.followed:
        return ()
    task = ladders.task(ladder)
    try:
        check_state(state.algorithm, state.states, state.rivals, task.items, PAIR_RIVALS)
    except SubjectError as error:
        raise SubjectError(str(error), at=("experiment", "state")) from error
    told = state.model_dump(mode="json")
    params = {
        **{key: told[key] for key in ("algorithm", "states", "search", "pairs")},
        "rivals": [*told["rivals"], *SUBSPACE_RIVALS],
        "task": task.model_dump(mode="json"),
        "seed": prediction.seed,
    }
    impl, label = f"{CELLS}:net", f"{state.algorithm} states"
    return tuple(part_cell("ladder-state", 1, net, params, impl, label) for net in nets)
