"""Exhibits: the smallest instance on which a subject departs from an algorithm."""

from __future__ import annotations

from pytest_mesa.experiments.lineup import part_cell
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell
from pytest_mesa.subjects.schemes import Handle

BEST_HEURISTIC = "best-heuristic"
LOOKED_AT = 20_000  # instances scanned for departures: a net that is 99.9 % right shows a few


def exhibit_cell(prediction: Prediction, handle: Handle, depart_from: str = "exact") -> Cell:
    """The cell that finds and shrinks an instance.

    ``depart_from`` is a solver's name, or `BEST_HEURISTIC` for the heuristic that agrees most
    with the subject. Instances are of the experiment's axes where it has some, else of its
    task. A subject that departs nowhere from what is asked is shown against the best heuristic.
    """
    experiment = prediction.experiment
    tasks = getattr(experiment, "axes", None) or {"": experiment.task}
    params = {
        "tasks": [[name, task.model_dump(mode="json")] for name, task in tasks.items()],
        "depart_from": depart_from,
        "count": LOOKED_AT // len(tasks),
        "seed": prediction.seed,
    }
    impl = "pytest_mesa.experiments.exhibit_cells:find_exhibit"
    return part_cell("exhibit", 1, handle, params, impl, "exhibit")
