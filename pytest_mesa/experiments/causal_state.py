"""Does an algorithm's state, carried in a linear subspace, drive the answer?

For every state (a stage of the algorithm) the residual stream is searched for a site and a
subspace whose swap between two runs gives the algorithm's counterfactual answer. The estimand
is interchange accuracy on pairs that the search never saw; the states are strata, and a
conclusion must hold in each. Source: Geiger et al. 2021, 2024; METHOD in the documentation.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_mesa.experiments.base import Plan
from pytest_mesa.experiments.exhibits import exhibit_cell
from pytest_mesa.experiments.lineup import competence_cell, part_cell, plan_lineup, read_lineup
from pytest_mesa.registry.kinds import CausalState
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.schemes import Handle
from pytest_mesa.verdicts.evidence import Evidence

ALGORITHMS = ("prefix-dp", "suffix-recursion", "value-dp")
PAIR_RIVALS = (
    "single-item",
    "other-items",
    "level-shift",
    "greedy-ratio",
    "greedy-value",
    "greedy-weight",
    "lp-rounded",
    "greedy-repair",
)
SUBSPACE_RIVALS = ("raw-items", "random-subspace")
CELLS = "pytest_mesa.experiments.causal_cells"


def _state_cell(prediction: Prediction, spec: CausalState, handle: Handle, stage: int) -> Cell:
    pairs = prediction.verdict.budget // len(spec.states)
    return part_cell(
        "causal-state",
        2,
        handle,
        {
            "task": spec.task.model_dump(mode="json"),
            "algorithm": spec.algorithm,
            "stage": stage,
            "rivals": list(spec.rivals),
            "search": spec.search.model_dump(mode="json"),
            "pairs": pairs,
            "seed": prediction.seed,
        },
        f"{CELLS}:measure_state",
        f"{spec.algorithm} state {stage}",
    )


def _spike_cell(
    prediction: Prediction, spec: CausalState, handle: Handle, stage: int, plain: Cell
) -> Cell:
    """The limit of detection at one state; it compares with that state's own result."""
    return Cell(
        kind="causal-state-spike-in",
        version=2,
        params=dict(plain.params)
        | {"strengths": list(spec.spike_in.strengths), "alpha": prediction.verdict.alpha},
        impl="pytest_mesa.experiments.spike_cells:spike_in",
        inputs=(*handle.inputs, plain),
        label=f"{spec.algorithm} spike-in at state {stage} · {handle.label}",
    )


class CausalStateStudy:
    """The kind ``causal-state``."""

    def plan(self, prediction: Prediction, released: str | None = None) -> Plan:
        """Search and measure each state of each subject and control; spike-in for subjects.

        Raises:
            SubjectError: an unknown algorithm, rival, subject or control, or a state that the
                algorithm does not have.
        """
        spec: CausalState = prediction.experiment
        check_state(spec.algorithm, spec.states, spec.rivals, spec.task.items)
        middle = spec.states[len(spec.states) // 2]

        def control_parts(handle: Handle) -> tuple[Cell, ...]:
            return tuple(_state_cell(prediction, spec, handle, stage) for stage in spec.states)

        def subject_parts(handle: Handle) -> tuple[Cell, ...]:
            states = control_parts(handle)
            plain = states[spec.states.index(middle)]
            spike = _spike_cell(prediction, spec, handle, middle, plain)
            return (competence_cell(prediction, handle), *states, spike)

        return plan_lineup(
            prediction,
            released,
            subject_parts,
            control_parts,
            combine="hull",
            exhibits=lambda handle: (exhibit_cell(prediction, handle, "exact"),),
        )

    def read(self, _prediction: Prediction, plan: Plan, results: Mapping[Cell, Result]) -> Evidence:
        """Measurements as the cells left them."""
        return read_lineup(plan, results)


def check_state(
    algorithm: str,
    states: tuple[int, ...],
    rivals: tuple[str, ...],
    items: int,
    known: tuple[str, ...] = PAIR_RIVALS + SUBSPACE_RIVALS,
) -> None:
    """Refuse what can't be exchanged on instances of so many items.

    Raises:
        SubjectError: an unknown algorithm or rival, or a state that the algorithm does not have.
    """
    if algorithm not in ALGORITHMS:
        raise SubjectError(
            f"no algorithm is called {algorithm!r}; there are {', '.join(ALGORITHMS)}"
        )
    for rival in rivals:
        if rival not in known:
            raise SubjectError(f"no rival is called {rival!r}; there are {', '.join(known)}")
    for stage in states:
        if not 1 <= stage < items:
            raise SubjectError(
                f"{algorithm} on {items} items has no state {stage} between "
                f"its first and its last: choose from 1..{items - 1}"
            )


STUDY = CausalStateStudy()
