"""Do squares of later moves drive a chess player's choice, beyond squares that are like them?

Two questions. ``aspects``: is there any effect of the third ply's square? The greatest stratum
decides, and refuted means that no distance to mate shows one. ``search``: do third and
fifth ply both matter, does the fifth come at later layers, and by the same operation? The least
of the four decides, so refuted means all of them. Source: Jenner et al. 2024.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from pytest_mesa._paths import shipped
from pytest_mesa.experiments.base import Plan
from pytest_mesa.experiments.lineup import part_cell, plan_lineup, read_lineup
from pytest_mesa.experiments.lookahead_told import (
    check_words,
    listing_competence,
    words_params,
)
from pytest_mesa.registry.kinds_lookahead import LookAhead
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell, Json, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle
from pytest_mesa.subjects.lc0_handles import untrained_twin, with_plant
from pytest_mesa.verdicts.evidence import Evidence, Measurement
from pytest_mesa.verdicts.reasons import Reason

PROFILE = "pytest_mesa.experiments.lookahead_profile"
CELLS = "pytest_mesa.experiments.lookahead_cells"
OPERATION = "pytest_mesa.experiments.lookahead_operation"
SPIKES = {"aspects": "elsewhere", "search": "tree"}  # what is planted to find the limit


class LookAheadStudy:
    """The kind ``look-ahead``."""

    def plan(self, prediction: Prediction, released: str | None = None) -> Plan:
        """Effects of all, competence and limit of detection of the subjects.

        Raises:
            SubjectError: a subject or control that does not exist or reads no boards, or an
                estimand that is not the question's.
        """
        _check(prediction)
        return plan_lineup(
            prediction,
            released,
            subject_parts=lambda handle: _subject_parts(prediction, handle),
            control_parts=lambda handle: _parts(prediction, handle, prediction.experiment.control),
            combine="greatest" if prediction.experiment.question == "aspects" else "least",
            asked_in=("board",) if prediction.experiment.words is None else ("text", "listing"),
            # Chess nets that read listings are controls in words, whatever the subjects are.
            own_controls=False,
        )

    def read(self, prediction: Prediction, plan: Plan, results: Mapping[Cell, Result]) -> Evidence:
        """Measurements, withheld where one kind of position contradicts a refutation."""
        evidence = read_lineup(plan, results)
        if prediction.experiment.question == "search":
            return evidence
        edge = prediction.verdict.predicted.above or 0.0  # `_check` has seen that there is one
        subjects = (_beyond_static(_at_every_distance(m, edge), edge) for m in evidence.subjects)
        return replace(evidence, subjects=tuple(subjects))


def _beyond_static(measurement: Measurement, edge: float) -> Measurement:
    """Upholding takes that static features alone do not rank the squares as the effects do."""
    rival = measurement.detail.get("static_rival", {})
    beaten = "bounds" in rival and rival["bounds"][0] > 0
    upholds = any(stratum.estimate > edge for stratum in measurement.strata)
    if upholds and not beaten:
        return replace(measurement, withheld=Reason.BASELINE_EXPLAINS)
    return measurement


def _at_every_distance(measurement: Measurement, edge: float) -> Measurement:
    """Refuting takes that no distance to mate has an effect, and not merely the average."""
    kinds = measurement.detail["look_ahead"]["kinds"].values()
    shown = any(kind["bounds"][0] > edge for kind in kinds)
    average = all(stratum.estimate < edge for stratum in measurement.strata)
    return (
        replace(measurement, withheld=Reason.STRATA_DISAGREE) if shown and average else measurement
    )


STUDY = LookAheadStudy()
ESTIMANDS = {"aspects": "future-square-superiority", "search": "search-likeness"}


def _check(prediction: Prediction) -> None:
    question, estimand = prediction.experiment.question, prediction.verdict.estimand
    if estimand != ESTIMANDS[question]:
        raise SubjectError(
            f"verdict.estimand: the question '{question}' measures '{ESTIMANDS[question]}', "
            f"not '{estimand}'",
            at=("verdict", "estimand"),
        )
    rule = prediction.verdict
    if (rule.predicted.above is not None) != (question == "aspects"):
        side = "above" if question == "aspects" else "below"
        raise SubjectError(
            f"verdict.predicted: the question '{question}' predicts '{side}' a number",
            at=("verdict", "predicted"),
        )
    check_words(prediction)


def positions_sha() -> str:
    """Which frozen positions are used, so that other ones make other cells.

    Raises:
        SubjectError: their manifest can't be read.
    """
    path = shipped("fixtures") / "positions" / "manifest.json"
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return "-".join(files[f"{name}.jsonl.gz"][:16] for name in ("puzzles", "unfiltered"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SubjectError(
            f"{path}: the frozen chess positions can't be read ({type(error).__name__}); restore "
            "them, or make them anew with 'mesa fixtures positions'"
        ) from error


def _common(prediction: Prediction, measure: int) -> dict[str, Json]:
    spec: LookAhead = prediction.experiment
    aspects = spec.question == "aspects"
    return {
        "positions": positions_sha(),
        "strata": {name: list(kinds) for name, kinds in spec.strata.items()},
        "counts": dict.fromkeys(spec.strata, measure + (0 if aspects else spec.choose)),
        "matched": spec.matched,
        "plies": [3] if aspects else [3, 5],
        "seed": prediction.seed,
    }


def board_competence(prediction: Prediction, handle: Handle) -> Cell:
    """How often a chess net's move is sound, on unfiltered positions."""
    return part_cell(
        "board-competence",
        1,
        handle,
        {
            "positions": positions_sha(),
            "count": prediction.competence.budget,
            "seed": prediction.seed,
        },
        f"{CELLS}:competence",
        "competence",
    )


def _subject_parts(prediction: Prediction, handle: Handle) -> tuple[Cell, ...]:
    measure = prediction.verdict.budget // len(prediction.experiment.strata)
    if prediction.experiment.words is not None:
        able = listing_competence(prediction, handle, positions_sha())
        return (able, *_parts(prediction, handle, measure, able=(able,)))
    read = _parts(prediction, handle, measure)
    parts = (board_competence(prediction, handle), *read, _limit(prediction, handle))
    if prediction.experiment.question == "search":
        return parts
    (profile,) = read[0].inputs
    return (*parts, _probe(prediction, handle, measure), _static(prediction, measure, profile))


def _static(prediction: Prediction, measure: int, profile: Cell) -> Cell:
    """What static features alone explain of the effects."""
    told = {"alpha": prediction.verdict.alpha}
    return Cell(
        kind="look-ahead-static",
        version=1,
        params=_common(prediction, measure) | told,
        impl="pytest_mesa.experiments.lookahead_static:rival",
        inputs=(profile,),
        label=f"static rival · {profile.label}",
    )


def _probe(prediction: Prediction, handle: Handle, measure: int) -> Cell:
    """The third ply's square read from the position alone, for the record."""
    twin = untrained_twin(handle)
    told: dict[str, Json] = {
        "twin": twin.params if twin else None,
        "alpha": prediction.verdict.alpha,
    }
    return part_cell(
        "look-ahead-probe",
        1,
        handle,
        _common(prediction, measure) | told,
        "pytest_mesa.experiments.lookahead_probe:probe",
        "third ply by probe",
    )


def _parts(
    prediction: Prediction,
    handle: Handle,
    measure: int,
    ply: str = "3",
    able: tuple[Cell, ...] = (),
) -> tuple[Cell, ...]:
    spec: LookAhead = prediction.experiment
    common = _common(prediction, measure) | words_params(prediction, handle, able)
    profile = part_cell("look-ahead", 1, handle, common, f"{PROFILE}:profile", "look-ahead", able)
    if spec.question == "aspects":
        kinds = sum(map(len, spec.strata.values()))
        told: dict[str, Json] = {"ply": ply, "alpha": prediction.verdict.alpha / kinds}
        return (_reading("aspects", handle, told, profile),)
    chosen: dict[str, Json] = {"choose": spec.choose}
    operation = spec.operation.model_dump(mode="json")
    return (
        _reading("search", handle, chosen, profile),
        part_cell(
            "same-operation",
            1,
            handle,
            common | chosen | operation,
            f"{OPERATION}:operation",
            "same operation",
            (*able, profile),
        ),
    )


def _reading(name: str, handle: Handle, params: Mapping[str, Json], profile: Cell) -> Cell:
    """Scores from a profile, which is all that they take."""
    return Cell(
        kind=f"look-ahead-{name}",
        version=1,
        params=params,
        impl=f"{CELLS}:{name}",
        inputs=(profile,),
        label=f"{name} · {handle.label}",
    )


def _limit(prediction: Prediction, handle: Handle) -> Cell:
    """The effect planted in the subject itself, at growing strengths."""
    spec: LookAhead = prediction.experiment
    rule = prediction.verdict
    aspects = spec.question == "aspects"
    parts = [
        part
        for strength in spec.spike_in.strengths
        for part in _parts(
            prediction,
            with_plant(handle, SPIKES[spec.question], strength),
            spec.control,
            "placebo" if aspects else "3",
        )
    ]
    return Cell(
        kind="look-ahead-limit",
        version=1,
        params={
            "strengths": list(spec.spike_in.strengths),
            "alpha": rule.alpha,
            "edge": rule.predicted.above if aspects else rule.refuted.above,
            "pick": "greatest" if aspects else "least",
        },
        impl=f"{CELLS}:limit",
        inputs=tuple(parts),
        label=f"limit of detection · {handle.label}",
    )
