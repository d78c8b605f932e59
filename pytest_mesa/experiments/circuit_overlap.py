"""Do two settings run on one circuit, by what it consists of and by what it does?

Two scores a batch of games. ``overlap``: how much the circuits of the two settings share, on a
scale from random circuits that are alike (0) to two halves of one setting (1). ``ablation``: how
much each setting needs the other's circuit, from random edges that are alike (0) to its own (1).
A conclusion has to hold for both, since sharing parts is not doing the same with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pytest_mesa.experiments.base import Plan
from pytest_mesa.experiments.lineup import part_cell, plan_lineup, read_lineup
from pytest_mesa.registry.kinds_circuits import CircuitOverlap, GameSetting
from pytest_mesa.registry.models import Prediction, VerdictRule
from pytest_mesa.runs.cells import Cell, Json, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle
from pytest_mesa.subjects.schemes import reads_text
from pytest_mesa.tasks.games.batches import archive_sha
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.prompts import TEMPLATES, templates
from pytest_mesa.verdicts.evidence import Evidence, Measurement
from pytest_mesa.verdicts.reasons import Reason

CELLS = "pytest_mesa.experiments.circuit_cells"
MEASURE = "pytest_mesa.experiments.circuit_measure"
ESTIMAND = "shared-circuit"
MATRIX_SIZES = 3  # of the sizes tried, in the matrix of cross-ablations
TWINS = "twins"  # the scheme of nets that know each game under two notations
HALVES_REACH = 0.9  # what two halves of one setting must be able to score


class CircuitOverlapStudy:
    """The kind ``circuit-overlap``."""

    def plan(self, prediction: Prediction, released: str | None = None) -> Plan:
        """Circuits of all; competence, cross-ablations and limit of detection of the subjects.

        Raises:
            SubjectError: a subject, control or template that does not exist, one that plays no
                games that can be told to it, or an estimand that is not this kind's.
        """
        _check(prediction)
        return plan_lineup(
            prediction,
            released,
            subject_parts=lambda handle: _subject_parts(prediction, handle),
            control_parts=lambda handle: _control_parts(prediction, handle),
            combine="hull",
            exhibits=lambda handle: (_matrix(prediction, handle),),
            asked_in=("tokens", "text"),
            own_controls=False,
        )

    def read(self, prediction: Prediction, plan: Plan, results: Mapping[Cell, Result]) -> Evidence:
        """Measurements, withheld where circuits are not what they must be to be compared."""
        evidence = read_lineup(plan, results)
        return replace(
            evidence, subjects=tuple(_withheld(m, prediction) for m in evidence.subjects)
        )


STUDY = CircuitOverlapStudy()


def _withheld(measurement: Measurement, prediction: Prediction) -> Measurement:
    """Nothing is concluded from circuits that do not do what the net does, or cannot be told.

    Nor is the claim refuted by circuits that share no more than with a task that is not playing.
    """
    about = measurement.detail["circuits"]
    if "glance" in about:  # of a model that does not play, which says enough
        return measurement
    reason = None
    if min(about["faithfulness"].values()) < prediction.experiment.faithful:
        reason = Reason.CIRCUIT_UNFAITHFUL
    elif not about["usable"] or about["anchors"]["halves"]["bounds"][1] < HALVES_REACH:
        reason = Reason.CIRCUIT_UNSTABLE
    elif _refutes(measurement, prediction.verdict) and _no_more_than_unrelated(about):
        reason = Reason.BASELINE_EXPLAINS
    return replace(measurement, withheld=reason)


def _refutes(measurement: Measurement, rule: VerdictRule) -> bool:
    """Whether all that was measured points to one circuit."""
    edge = rule.refuted.above or 0.0  # `_check` has seen that there is one
    return all(stratum.estimate > edge for stratum in measurement.strata)


def _no_more_than_unrelated(about: Mapping[str, Any]) -> bool:
    """Whether the settings share no more than either does with the unrelated task."""
    task = about["shared"].get("unrelated_task")
    return task is not None and task["settings_score"] <= task["score"]


def _check(prediction: Prediction) -> None:
    spec: CircuitOverlap = prediction.experiment
    rule = prediction.verdict
    if rule.estimand != ESTIMAND:
        raise SubjectError(
            f"verdict.estimand: the kind measures '{ESTIMAND}', not '{rule.estimand}'",
            at=("verdict", "estimand"),
        )
    if rule.predicted.below is None:
        raise SubjectError(
            "verdict.predicted: the claim is that circuits differ, so 'below' a number",
            at=("verdict", "predicted"),
        )
    groups = {"settings": spec.settings, "words": spec.words.settings or ()}
    for field, settings in groups.items():
        at = ("experiment", "words", "settings") if field == "words" else ("experiment", field)
        for index, setting in enumerate(settings):
            _check_templates(setting, (*at, index))


def _check_templates(setting: GameSetting, at: tuple[str | int, ...]) -> None:
    where = ".".join(str(part) for part in at)
    for index, name in enumerate(setting.templates):
        if name not in TEMPLATES or TEMPLATES[name].game != setting.game:
            there_are = ", ".join(each.name for each in templates(Name(setting.game)))
            raise SubjectError(
                f"{where}.templates: {setting.game} has no template {name!r}; "
                f"there are {there_are}",
                at=(*at, "templates", index),
            )


def _settings(spec: CircuitOverlap, handle: Handle) -> tuple[GameSetting, GameSetting]:
    """What a subject is asked: twins play the one game that they know under two notations."""
    if handle.params["scheme"] == TWINS:
        return (spec.settings[spec.control_setting],) * 2
    if reads_text(handle):
        return spec.words.settings or spec.settings
    return spec.settings


def _told(settings: tuple[GameSetting, ...], *, in_words: bool) -> list[Json]:
    return [
        {
            "game": each.game,
            "plies": list(each.plies),
            "templates": list(each.templates) if in_words else [],
        }
        for each in settings
    ]


def _positions(prediction: Prediction, handle: Handle, batches: int) -> Cell:
    """The draw, which subjects that are asked alike share."""
    spec: CircuitOverlap = prediction.experiment
    settings = _settings(spec, handle)
    params: dict[str, Json] = {
        "settings": [{"game": s.game, "plies": list(s.plies)} for s in settings],
        "games": spec.words.games if reads_text(handle) else spec.games,
        "slots": spec.slots,
        "batches": batches,
        "twins": spec.twins and handle.params["scheme"] != TWINS,
        "archives": [archive_sha(Name(s.game)) for s in settings],
        "seed": prediction.seed,
    }
    names = " and ".join(dict.fromkeys(s.game for s in settings))
    return Cell("game-batches", 1, params, f"{CELLS}:positions", label=f"positions of {names}")


def _common(prediction: Prediction, handle: Handle) -> dict[str, Json]:
    spec: CircuitOverlap = prediction.experiment
    return {
        "own": len(handle.inputs),
        "settings": _told(_settings(spec, handle), in_words=reads_text(handle)),
        "seed": prediction.seed,
    }


def _competence(prediction: Prediction, handle: Handle) -> Cell:
    spec: CircuitOverlap = prediction.experiment
    words = reads_text(handle)
    params: dict[str, Json] = {
        "count": spec.words.competence if words else prediction.competence.budget,
        "choose": spec.words.choose if words else 0,
        "able": _able(prediction),
    }
    impl = "pytest_mesa.experiments.games_competence:measure"
    return part_cell(
        "games-competence", 1, handle, _common(prediction, handle) | params, impl, "competence"
    )


def _able(prediction: Prediction) -> dict[str, Json]:
    competence = prediction.competence.model_dump(mode="json")
    return {"competence": competence, "alpha": prediction.verdict.alpha}


def _subject_parts(prediction: Prediction, handle: Handle) -> tuple[Cell, ...]:
    spec: CircuitOverlap = prediction.experiment
    able = _competence(prediction, handle)
    return (able, _overlap(prediction, handle, spec.choose + spec.batches, able))


def _traced(
    prediction: Prediction, handle: Handle, batches: int, able: Cell | None
) -> tuple[Cell, ...]:
    """Positions and edge scores, and the competence that those of a model in words depend on.

    A decoder of games is quickly measured, whether it plays well or not.
    """
    spec: CircuitOverlap = prediction.experiment
    drawn = _positions(prediction, handle, batches)
    last = (able,) if able and reads_text(handle) else ()
    attribution: dict[str, Json] = {
        "steps": spec.steps,
        # Twins' settings differ in nothing that a net could tell: for them there is no such task.
        "unrelated": spec.choose if able else 0,
        "able": _able(prediction) if last else None,
    }
    traced = part_cell(
        "circuit-attribution",
        1,
        handle,
        _common(prediction, handle) | attribution,
        f"{CELLS}:attribute",
        "attribution",
        (drawn, *last),
    )
    return (drawn, traced, *last)


def _overlap(prediction: Prediction, handle: Handle, batches: int, able: Cell | None) -> Cell:
    """Scores of a control, or of a subject that is able."""
    spec: CircuitOverlap = prediction.experiment
    params: dict[str, Json] = {
        "choose": spec.choose,
        "sizes": list(spec.sizes),
        "core": spec.core,
        "faithful": spec.faithful,
        "strengths": list(spec.spike_in.strengths) if able else [],
        "edge": prediction.verdict.predicted.below,
        "alpha": prediction.verdict.alpha,
    }
    return part_cell(
        "circuit-overlap",
        1,
        handle,
        _common(prediction, handle) | params,
        f"{MEASURE}:measure",
        "circuits",
        _traced(prediction, handle, batches, able),
    )


def _matrix(prediction: Prediction, handle: Handle) -> Cell:
    """Cross-ablations of the first subject, in full."""
    spec: CircuitOverlap = prediction.experiment
    able = _competence(prediction, handle)
    params: dict[str, Json] = {
        "choose": spec.choose,
        "sizes": list(spec.sizes[:MATRIX_SIZES]),
        "label": handle.label,
    }
    return part_cell(
        "circuit-matrix",
        1,
        handle,
        _common(prediction, handle) | params,
        "pytest_mesa.experiments.circuit_matrix:matrix",
        "cross-ablation",
        _traced(prediction, handle, spec.choose + spec.batches, able),
    )


def _control_parts(prediction: Prediction, handle: Handle) -> tuple[Cell, ...]:
    spec: CircuitOverlap = prediction.experiment
    return (_overlap(prediction, handle, spec.choose + spec.control, None),)
