"""The cells of the kind ``look-ahead``: who is read where, and what is made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pytest_mesa._paths import shipped
from pytest_mesa.experiments.lineup import part_cell
from pytest_mesa.experiments.lookahead_told import listing_competence, words_params
from pytest_mesa.registry.kinds_lookahead import LookAhead
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell, Json
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle
from pytest_mesa.subjects.lc0_handles import untrained_twin, with_plant

PROFILE = "pytest_mesa.experiments.lookahead_profile"
SITES = "pytest_mesa.experiments.lookahead_sites"
CELLS = "pytest_mesa.experiments.lookahead_cells"
OPERATION = "pytest_mesa.experiments.lookahead_operation"
SETS = ("puzzles", "unfiltered")  # of frozen positions
SPIKES = {"aspects": "elsewhere", "search": "tree"}  # what is planted to find the limit


def positions_sha(*names: str) -> str:
    """Which frozen positions are used, of sets by these names, so that other ones make other cells.

    Raises:
        SubjectError: their manifest can't be read.
    """
    path = shipped("fixtures") / "positions" / "manifest.json"
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return "-".join(files[f"{name}.jsonl.gz"][:16] for name in names or SETS)
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


def _sites(prediction: Prediction) -> Cell:
    """The positions of the line-up, as many as any of its players needs."""
    spec: LookAhead = prediction.experiment
    params = _common(prediction, max(_measured(prediction), spec.control))
    return Cell(
        kind="look-ahead-sites",
        version=1,
        params=params | {"paired": spec.words is not None},
        impl=f"{SITES}:choose",
        label=f"squares of {'' if spec.question == 'aspects' else 'deeper '}lines",
    )


def _measured(prediction: Prediction) -> int:
    """Positions a stratum that a subject is measured on."""
    return prediction.verdict.budget // len(prediction.experiment.strata)


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


def subject_parts(prediction: Prediction, handle: Handle) -> tuple[Cell, ...]:
    """A subject's readings, its competence and its limit of detection."""
    measure = _measured(prediction)
    if prediction.experiment.words is not None:
        able = listing_competence(prediction, handle, positions_sha("unfiltered"))
        return (able, *_parts(prediction, handle, measure, able=(able,)))
    profile = _profile(prediction, handle, measure)
    read = _readings(prediction, handle, measure, profile)
    parts = (board_competence(prediction, handle), *read, _limit(prediction, handle, profile))
    if prediction.experiment.question == "search":
        return parts
    return (*parts, _probe(prediction, handle, measure), _static(prediction, measure, profile))


def _static(prediction: Prediction, measure: int, profile: Cell) -> Cell:
    """What static features alone explain of the effects."""
    told = {"alpha": prediction.verdict.alpha}
    return Cell(
        kind="look-ahead-static",
        version=2,
        params=_common(prediction, measure) | told,
        impl="pytest_mesa.experiments.lookahead_static:rival",
        inputs=(_sites(prediction), profile),
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
        2,
        handle,
        _common(prediction, measure) | told,
        "pytest_mesa.experiments.lookahead_probe:probe",
        "third ply by probe",
        (_sites(prediction),),
    )


def control_parts(prediction: Prediction, handle: Handle) -> tuple[Cell, ...]:
    """A control's readings."""
    return _parts(prediction, handle, prediction.experiment.control)


def _parts(
    prediction: Prediction, handle: Handle, measure: int, able: tuple[Cell, ...] = ()
) -> tuple[Cell, ...]:
    profile = _profile(prediction, handle, measure, able)
    return _readings(prediction, handle, measure, profile, able=able)


def _profile(
    prediction: Prediction, handle: Handle, measure: int, able: tuple[Cell, ...] = ()
) -> Cell:
    """The effects at all squares."""
    return part_cell(
        "look-ahead",
        2,
        handle,
        _common(prediction, measure) | words_params(prediction, handle, able),
        f"{PROFILE}:profile",
        "look-ahead",
        (*able, _sites(prediction)),
    )


def _readings(
    prediction: Prediction,
    handle: Handle,
    measure: int,
    profile: Cell,
    ply: str = "3",
    able: tuple[Cell, ...] = (),
) -> tuple[Cell, ...]:
    """What is read from a profile."""
    spec: LookAhead = prediction.experiment
    if spec.question == "aspects":
        kinds = sum(map(len, spec.strata.values()))
        told: dict[str, Json] = {"ply": ply, "alpha": prediction.verdict.alpha / kinds}
        return (_reading("aspects", handle, told, profile),)
    chosen: dict[str, Json] = {"choose": spec.choose}
    common = _common(prediction, measure) | words_params(prediction, handle, able)
    operation = spec.operation.model_dump(mode="json")
    return (
        _reading("search", handle, chosen, profile),
        part_cell(
            "same-operation",
            2,
            handle,
            common | chosen | operation,
            f"{OPERATION}:operation",
            "same operation",
            (*able, _sites(prediction), profile),
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


def _limit(prediction: Prediction, handle: Handle, plain: Cell) -> Cell:
    """The effect planted in the subject itself, at growing strengths.

    It is run with the strongest alone: ``plain``, its own profile, has the positions in which
    the others hold nothing.
    """
    spec: LookAhead = prediction.experiment
    rule = prediction.verdict
    aspects = spec.question == "aspects"
    twins = [
        with_plant(handle, SPIKES[spec.question], strength) for strength in spec.spike_in.strengths
    ]
    strongest = _profile(prediction, twins[-1], spec.control)
    if spec.control > _measured(prediction):
        plain = _profile(prediction, handle, spec.control)
    parts = [
        part
        for twin in twins
        for part in _readings(
            prediction,
            twin,
            spec.control,
            _mixed(twin, plain, strongest),
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


def _mixed(twin: Handle, plain: Cell, strongest: Cell) -> Cell:
    """A twin's profile, position by position that of the plain net or of the strongest twin."""
    return Cell(
        kind="look-ahead-mixed",
        version=1,
        params={name: twin.params[name] for name in ("strength", "plant_seed")},
        impl=f"{PROFILE}:mixed",
        inputs=(plain, strongest),
        label=f"look-ahead · {twin.label}",
    )
