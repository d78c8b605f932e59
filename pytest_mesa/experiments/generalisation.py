"""Does accuracy carry over, one axis at a time, to instances outside training?

Each axis is a stratum. Draw ``i`` is answered once within the task and once on the axis; its
score is ``1 - ([right within] - [right on the axis])``, so that the mean is one less the drop
in accuracy, with the level measured in the same run (a ratio of two means would be no mean of
bounded scores). The estimand ``retained-accuracy`` is the least axis: keeping the level on
every axis refutes a claim that solving does not carry over, losing it on one upholds it.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_mesa.experiments.base import Plan
from pytest_mesa.experiments.exhibits import exhibit_cell
from pytest_mesa.experiments.lineup import competence_cell, part_cell, plan_lineup, read_lineup
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.recipes import TASK
from pytest_mesa.subjects.schemes import Handle
from pytest_mesa.verdicts.evidence import Evidence


class GeneralisationStudy:
    """The kind ``generalisation``."""

    def plan(self, prediction: Prediction, released: str | None = None) -> Plan:
        """One cell a subject and control for all axes, and exhibits of the first subject.

        Raises:
            SubjectError: a subject or control that does not exist or has no room for an axis,
                or a task that its tokens cannot express.
        """
        _check(prediction)
        return plan_lineup(
            prediction,
            released,
            subject_parts=lambda handle: (
                competence_cell(prediction, handle),
                _axes(prediction, handle),
            ),
            control_parts=lambda handle: (_axes(prediction, handle),),
            combine="least",
            exhibits=lambda handle: (exhibit_cell(prediction, handle, "exact"),),
        )

    def read(self, _prediction: Prediction, plan: Plan, results: Mapping[Cell, Result]) -> Evidence:
        """The strata as they were measured."""
        return read_lineup(plan, results)


STUDY = GeneralisationStudy()


def _check(prediction: Prediction) -> None:
    from pytest_mesa.tasks.knapsack.limits import beyond_tokens

    experiment = prediction.experiment
    tasks = {"task": experiment.task}
    tasks |= {f"axes.{name}": axis for name, axis in experiment.axes.items()}
    for name, task in tasks.items():
        if fault := beyond_tokens(task):
            raise SubjectError(f"experiment.{name} asks for {fault}")


def _axes(prediction: Prediction, handle: Handle) -> Cell:
    experiment = prediction.experiment
    most = max(axis.items for axis in experiment.axes.values())
    if handle.params["scheme"] == "compiled" and handle.params.get("items", TASK.items) < most:
        raise SubjectError(
            f"{handle.label} is written down for fewer than the {most} items of an axis: give it "
            f"'options: {{items: {most}}}'"
        )
    params = {
        "task": experiment.task.model_dump(mode="json"),
        # A list, since the order of axes is the order of strata.
        "axes": [[name, axis.model_dump(mode="json")] for name, axis in experiment.axes.items()],
        "count": prediction.verdict.budget // len(experiment.axes),
        "seed": prediction.seed,
    }
    impl = "pytest_mesa.experiments.generalisation_cells:measure"
    return part_cell("generalisation", 1, handle, params, impl, "generalisation")
