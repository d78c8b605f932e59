"""Does what looks like search in one setting look like it in another?

The greatest directed pair decides: refuted means that some probe and its direction surely keep
most of their power in another setting, upheld that all of them surely lose it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_mesa.experiments.base import Plan
from pytest_mesa.experiments.lineup import part_cell, plan_lineup, read_lineup
from pytest_mesa.experiments.lookahead_plan import board_competence
from pytest_mesa.experiments.transfer_scores import interval
from pytest_mesa.registry.kinds_transfer import Transfer
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell, Json, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle
from pytest_mesa.subjects.lc0_handles import untrained_twin, with_code
from pytest_mesa.verdicts.confidence import confidence_sequence
from pytest_mesa.verdicts.evidence import Evidence, Measurement
from pytest_mesa.verdicts.reasons import Reason

CELLS = "pytest_mesa.experiments.transfer_cells"
ESTIMAND = "kept-power"


class TransferStudy:
    """The kind ``transfer``."""

    def plan(self, prediction: Prediction, released: str | None = None) -> Plan:
        """Scores of all; competence, an untrained twin's and the limit of detection of subjects.

        Raises:
            SubjectError: a subject or control that does not exist or reads no boards, or an
                estimand that is not the kind's.
        """
        if prediction.verdict.estimand != ESTIMAND:
            raise SubjectError(
                f"verdict.estimand: the kind 'transfer' measures '{ESTIMAND}', "
                f"not '{prediction.verdict.estimand}'",
                at=("verdict", "estimand"),
            )
        if prediction.verdict.refuted.above is None:
            raise SubjectError(
                "verdict.refuted: 'kept-power' is refuted 'above' a number",
                at=("verdict", "refuted"),
            )
        return plan_lineup(
            prediction,
            released,
            subject_parts=lambda handle: _subject_parts(prediction, handle),
            control_parts=lambda handle: (_profile(prediction, handle),),
            combine="greatest",
            asked_in=("board",),
        )

    def read(self, prediction: Prediction, plan: Plan, results: Mapping[Cell, Result]) -> Evidence:
        """Each pair's bounds, withheld where a probe has nothing to lose, or nothing learned."""
        evidence = read_lineup(plan, results)
        level = prediction.verdict.alpha / max(1, len(evidence.subjects))

        def read(found: tuple[Measurement, ...], *, subject: bool) -> tuple[Measurement, ...]:
            return tuple(_read(prediction, each, level, subject=subject) for each in found)

        return replace(
            evidence,
            subjects=read(evidence.subjects, subject=True),
            must_detect=read(evidence.must_detect, subject=False),
            must_not_detect=read(evidence.must_not_detect, subject=False),
        )


STUDY = TransferStudy()


def _read(
    prediction: Prediction, measurement: Measurement, level: float, *, subject: bool
) -> Measurement:
    spec: Transfer = prediction.experiment
    detail = dict(measurement.detail)
    scores, twin = detail.pop("scores"), detail.pop("twin", None)
    directed = list(both_ways(spec.pairs))
    each = level / len(directed)
    strata, told = [], {}
    for source, target in directed:
        found, about = interval(scores, source, target, spec.power, each)
        if twin is not None:
            about["lead over untrained"] = _lead(scores, twin, source, target, each)
        strata.append(found)
        told[found.name] = about
    detail["transfer"] = told | {
        "permuted": {name: scores[name]["permuted"] for name in scores},
    }
    withheld = measurement.withheld
    if subject and withheld is None:
        withheld = _withheld(told, [stratum.name for stratum in strata], spec.power, prediction)
    count = sum(stratum.n for stratum in strata)
    return replace(
        measurement, strata=tuple(strata), detail=detail, withheld=withheld, budget=max(1, count)
    )


def both_ways(pairs: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, str]]:
    """Each pair in both directions: (fitted in, tried in)."""
    for one, other in pairs:
        yield one, other
        yield other, one


def _lead(
    scores: Mapping[str, Any], twin: Mapping[str, Any], source: str, target: str, level: float
) -> list[float]:
    """By how much the probe from elsewhere surely outdoes an untrained net's own probe."""
    away = scores[target]["decode"][source]["scores"]
    plain = twin[target]["decode"][target]["scores"]
    gaps = [mine - theirs for mine, theirs in zip(away, plain, strict=True)]
    bounds = confidence_sequence(gaps, level, -1.0, 1.0, batch=max(1, len(gaps))).final
    return [round(bounds.lower, 4), round(bounds.upper, 4)]


def _withheld(
    told: Mapping[str, Any], pairs: list[str], power: float, prediction: Prediction
) -> Reason | None:
    """Upholding takes power at home in every pair; refuting, more than an untrained net reads."""
    edge = prediction.verdict.refuted.above or 0.0  # `plan` has seen that there is one

    def surely_kept(name: str) -> bool:
        measured = [about["bounds"][0] for about in _ways(told[name]) if "bounds" in about]
        return "bounds" in told[name]["decode"] and min(measured) > edge

    refuting = [name for name in pairs if surely_kept(name)]
    if refuting:
        learned = any(told[name].get("lead over untrained", [1.0])[0] > 0 for name in refuting)
        return None if learned else Reason.BASELINE_EXPLAINS
    weak = any(told[name]["decode"]["power"] < power for name in pairs)
    return Reason.NOTHING_TO_TRANSFER if weak else None


def _ways(told: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return told["decode"], told["steer"]


def _subject_parts(prediction: Prediction, handle: Handle) -> tuple[Cell, ...]:
    parts = [
        board_competence(prediction, handle),
        _profile(prediction, handle),
        _limit(prediction, handle),
    ]
    if twin := untrained_twin(handle):
        parts.append(
            Cell(
                kind="transfer-twin",
                version=1,
                params={},
                impl="pytest_mesa.experiments.transfer:as_twin",
                inputs=(_profile(prediction, twin),),
                label=f"untrained twin · {handle.label}",
            )
        )
    return tuple(parts)


def as_twin(_params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """An untrained twin's scores, apart from the subject's own."""
    return {"detail": {"twin": inputs[0].payload["detail"]["scores"]}}


def _settings(spec: Transfer) -> list[str]:
    return list(dict.fromkeys(name for pair in spec.pairs for name in pair))


def _sizes(prediction: Prediction) -> dict[str, Json]:
    spec: Transfer = prediction.experiment
    measure = prediction.verdict.budget // len(_settings(spec))
    return {"fit": spec.fit, "choose": spec.choose, "measure": measure}


def _profile(prediction: Prediction, handle: Handle) -> Cell:
    spec: Transfer = prediction.experiment
    sizes = _sizes(prediction)
    names = _settings(spec)
    sets = tuple(
        Cell(
            kind="transfer-positions",
            version=1,
            params={"setting": name, "seed": prediction.seed, "count": sum(sizes.values())},
            impl=f"{CELLS}:positions",
            inputs=(),
            label=f"positions · {name}",
        )
        for name in names
    )
    params: dict[str, Json] = {
        "settings": names,
        "pairs": [list(pair) for pair in spec.pairs],
        "sizes": sizes,
        "steered": spec.steered,
        "floors": spec.floors,
        "seed": prediction.seed,
    }
    return part_cell("transfer", 1, handle, params, f"{CELLS}:profile", "transfer", sets)


def _limit(prediction: Prediction, handle: Handle) -> Cell:
    """One code for all settings planted in the subject itself, ever louder."""
    spec: Transfer = prediction.experiment
    directed = list(both_ways(spec.pairs))
    return Cell(
        kind="transfer-limit",
        version=1,
        params={
            "strengths": list(spec.spike_in.strengths),
            "edge": prediction.verdict.refuted.above,
            "level": prediction.verdict.alpha / len(directed),
            "power": spec.power,
            "pairs": [list(pair) for pair in directed],
        },
        impl="pytest_mesa.experiments.transfer:limit",
        inputs=tuple(
            _profile(prediction, with_code(handle, "shared-code", strength))
            for strength in spec.spike_in.strengths
        ),
        label=f"limit of detection · {handle.label}",
    )


def limit(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """The weakest planted code at which some pair's lower bound lies beyond the edge."""
    tried, found = [], None
    for strength, result in zip(params["strengths"], inputs, strict=True):
        scores = result.payload["detail"]["scores"]
        lower = max(
            interval(scores, source, target, params["power"], params["level"])[0].lower
            for source, target in params["pairs"]
        )
        seen = lower > params["edge"]
        tried.append({"strength": strength, "lower": round(lower, 4), "seen": seen})
        if seen and found is None:
            found = strength
    return {
        "detection_limit": found,
        "detail": {"spike_in": {"edge": params["edge"], "tried": tried}},
    }
