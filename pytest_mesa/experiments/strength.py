"""How strong is a policy without search? Games against a plain search of the same cost.

The score is the share of points in pairs of games, one opening with colours swapped. Ratings in
one pool, with the net inside a tree search among others, are told beside, and so is the budget
at which the search matches the policy.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_mesa.experiments.base import Plan
from pytest_mesa.experiments.lineup import part_cell, plan_lineup, read_lineup
from pytest_mesa.experiments.lookahead_plan import positions_sha
from pytest_mesa.registry.kinds_strength import Strength
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell, Json, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle
from pytest_mesa.subjects.search_handles import with_gifts, without_gifts
from pytest_mesa.verdicts.evidence import Evidence

CELLS = "pytest_mesa.experiments.strength_cells"
ESTIMAND = "score-against-search"


class StrengthStudy:
    """The kind ``strength``."""

    def plan(self, prediction: Prediction, released: str | None = None) -> Plan:
        """Matches of all; competence, the pool and the limit of detection of subjects.

        Raises:
            SubjectError: a subject or control that does not exist or reads no boards, or a rule
                that is not this experiment's.
        """
        _check(prediction)
        spec: Strength = prediction.experiment
        return plan_lineup(
            prediction,
            released,
            subject_parts=lambda handle: _subject_parts(prediction, handle),
            control_parts=lambda handle: (
                _scored(handle, match(prediction, handle, spec.nodes, spec.control)),
            ),
            combine="least",
            asked_in=("board",),
        )

    def read(self, prediction: Prediction, plan: Plan, results: Mapping[Cell, Result]) -> Evidence:
        """The measurements as they are."""
        del prediction
        return read_lineup(plan, results)


STUDY = StrengthStudy()


def _check(prediction: Prediction) -> None:
    rule = prediction.verdict
    if rule.estimand != ESTIMAND:
        raise SubjectError(
            f"verdict.estimand: the experiment 'strength' measures '{ESTIMAND}', "
            f"not '{rule.estimand}'",
            at=("verdict", "estimand"),
        )
    if rule.predicted.above is None:
        raise SubjectError(
            "verdict.predicted: strength is claimed to be there, so give 'above' a number",
            at=("verdict", "predicted"),
        )


def _subject_parts(prediction: Prediction, handle: Handle) -> tuple[Cell, ...]:
    spec: Strength = prediction.experiment
    if handle.params["scheme"] == "search":
        raise SubjectError(
            f"{handle.label} is no policy: 'strength' judges nets, searches are controls"
        )
    able = part_cell(
        "board-competence",
        1,
        handle,
        {
            "positions": positions_sha(),
            "count": prediction.competence.budget,
            "seed": prediction.seed,
        },
        "pytest_mesa.experiments.lookahead_cells:competence",
        "competence",
    )
    own = match(prediction, handle, spec.nodes, prediction.verdict.budget)
    return able, _scored(handle, own), _pool(prediction, handle, own), _limit(prediction)


def match(
    prediction: Prediction,
    handle: Handle,
    nodes: int | None,
    pairs: int,
    visits: int | None = None,
) -> Cell:
    """A match against a search of so many nodes, or against the net's own first choice.

    With ``visits`` the net plays inside a tree search.
    """
    spec: Strength = prediction.experiment
    bare, gifts = without_gifts(handle)
    params: dict[str, Json] = {
        "positions": positions_sha(),
        "nodes": nodes,
        "visits": visits,
        "gifts": gifts,
        "pairs": pairs,
        "games": spec.games.model_dump(mode="json"),
        "seed": prediction.seed,
    }
    against = f"against {nodes} nodes" if nodes else "against itself"
    label = f"{visits} visits {against}" if visits else against
    return part_cell("strength-match", 1, bare, params, f"{CELLS}:match", label)


def _scored(handle: Handle, played: Cell) -> Cell:
    """A match as the scores of a measurement."""
    return Cell(
        kind="strength-scores",
        version=1,
        params={},
        impl=f"{CELLS}:scored",
        inputs=(played,),
        label=f"strength · {handle.label}",
    )


def _pool(prediction: Prediction, handle: Handle, own: Cell) -> Cell:
    """Ratings of the policy, the net inside a tree search, and searches, in one pool."""
    spec: Strength = prediction.experiment
    pool = spec.pool
    matches = (
        own,
        *(match(prediction, handle, nodes, pool.pairs) for nodes in pool.nodes),
        match(prediction, handle, None, pool.pairs, pool.visits),
        match(prediction, handle, spec.nodes, pool.pairs, pool.visits),
    )
    return Cell(
        kind="strength-pool",
        version=1,
        params={"seed": prediction.seed},
        impl=f"{CELLS}:pool",
        inputs=matches,
        label=f"pool · {handle.label}",
    )


def _limit(prediction: Prediction) -> Cell:
    """A search against its like that gives moves away, at growing shares."""
    spec: Strength = prediction.experiment
    like = Handle(f"search of {spec.nodes} nodes", {"scheme": "search", "nodes": spec.nodes})
    helped = [with_gifts(like, strength) for strength in spec.spike_in.strengths]
    return Cell(
        kind="strength-limit",
        version=1,
        params={
            "strengths": list(spec.spike_in.strengths),
            "alpha": prediction.verdict.alpha,
            "edge": prediction.verdict.predicted.above,
        },
        impl=f"{CELLS}:limit",
        inputs=tuple(match(prediction, each, spec.nodes, spec.spike_in.pairs) for each in helped),
        label="limit of detection · gifts",
    )
