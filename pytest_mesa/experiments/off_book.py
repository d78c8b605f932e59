"""Is a player as good where no game goes? What play keeps off the lines that games follow.

Legality is the least that a player who works from a board keeps everywhere, and it needs no
judge. The least of the departures decides: refuted means that nearly all of it is kept under
each, upheld that one of them surely costs much of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pytest_mesa.experiments.base import Plan
from pytest_mesa.experiments.lineup import part_cell, plan_lineup, read_lineup
from pytest_mesa.experiments.transfer_scores import kept, ratio
from pytest_mesa.registry.kinds_offbook import OffBook
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell, Json, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle
from pytest_mesa.subjects.schemes import reads_text
from pytest_mesa.tasks.games.batches import archive_sha
from pytest_mesa.tasks.games.notation import Name
from pytest_mesa.tasks.games.prompts import TEMPLATES, templates
from pytest_mesa.verdicts.evidence import Evidence, Interval, Measurement

CELLS = "pytest_mesa.experiments.off_book_cells"
ESTIMAND = "kept-legality"


class OffBookStudy:
    """The kind ``off-book``."""

    def plan(self, prediction: Prediction, released: str | None = None) -> Plan:
        """Moves of all, on and off the book; competence of the subjects.

        Raises:
            SubjectError: a subject, control or template that does not exist, one that plays no
                games that can be told to it, or a rule that is not this kind's.
        """
        _check(prediction)
        return plan_lineup(
            prediction,
            released,
            subject_parts=lambda handle: _subject_parts(prediction, handle),
            control_parts=lambda handle: (_moves(prediction, handle, ()),),
            combine="least",
            asked_in=("tokens", "text"),
            own_controls=False,
        )

    def read(self, prediction: Prediction, plan: Plan, results: Mapping[Cell, Result]) -> Evidence:
        """What is kept under each departure, with bounds."""
        evidence = read_lineup(plan, results)
        level = prediction.verdict.alpha / max(1, len(evidence.subjects))

        def read(found: tuple[Measurement, ...]) -> tuple[Measurement, ...]:
            return tuple(_read(each, level) for each in found)

        return replace(
            evidence,
            subjects=read(evidence.subjects),
            must_detect=read(evidence.must_detect),
            must_not_detect=read(evidence.must_not_detect),
        )


STUDY = OffBookStudy()


def _read(measurement: Measurement, level: float) -> Measurement:
    detail = dict(measurement.detail)
    scores = detail.pop("pairs", {})
    strata = []
    for name, sides in scores.items():
        bounds = kept(sides["book"], sides["off"], level / len(scores), chance=0.0)
        estimate = ratio(sides["book"], sides["off"], bounds, chance=0.0)
        strata.append(
            Interval(
                name, estimate, bounds.lower, bounds.upper, level / len(scores), len(sides["off"])
            )
        )
    count = sum(each.n for each in strata)
    return replace(measurement, strata=tuple(strata), detail=detail, budget=max(1, count))


def _check(prediction: Prediction) -> None:
    spec: OffBook = prediction.experiment
    rule = prediction.verdict
    if rule.estimand != ESTIMAND:
        raise SubjectError(
            f"verdict.estimand: the kind 'off-book' measures '{ESTIMAND}', not '{rule.estimand}'",
            at=("verdict", "estimand"),
        )
    if rule.refuted.above is None:
        raise SubjectError(
            "verdict.refuted: 'kept-legality' is refuted 'above' a number",
            at=("verdict", "refuted"),
        )
    known = [each.name for each in templates(Name.CHESS)]
    for index, name in enumerate(spec.words.templates):
        if name not in TEMPLATES or TEMPLATES[name].game is not Name.CHESS:
            raise SubjectError(
                f"experiment.words.templates: chess has no template {name!r}; "
                f"there are {', '.join(known)}",
                at=("experiment", "words", "templates", index),
            )


def _common(prediction: Prediction, handle: Handle) -> dict[str, Json]:
    spec: OffBook = prediction.experiment
    return {
        "own": len(handle.inputs),
        "games": archive_sha(Name.CHESS),
        "seed": prediction.seed,
        "able": {
            "competence": prediction.competence.model_dump(mode="json"),
            "alpha": prediction.verdict.alpha,
        },
        "settings": [
            {
                "game": "chess",
                "plies": list(spec.plies),
                "templates": list(spec.words.templates) if reads_text(handle) else [],
            }
        ],
    }


def _subject_parts(prediction: Prediction, handle: Handle) -> tuple[Cell, ...]:
    spec: OffBook = prediction.experiment
    words = reads_text(handle)
    params: dict[str, Json] = {
        "count": spec.words.competence if words else prediction.competence.budget,
        "choose": spec.words.choose if words else 0,
    }
    able = part_cell(
        "games-competence",
        1,
        handle,
        _common(prediction, handle) | params,
        "pytest_mesa.experiments.games_competence:measure",
        "competence",
    )
    return (able, _moves(prediction, handle, (able,)))


def _pairs(prediction: Prediction) -> Cell:
    """The positions, which all are asked about."""
    spec: OffBook = prediction.experiment
    params: dict[str, Json] = {
        "games": archive_sha(Name.CHESS),
        "seed": prediction.seed,
        "plies": list(spec.plies),
        "departures": list(spec.departures),
        "since": spec.since,
        "candidates": spec.candidates,
        "count": prediction.verdict.budget // len(spec.departures),
    }
    impl = "pytest_mesa.experiments.off_book_pairs:drawn"
    return Cell("off-book-pairs", 1, params, impl, (), "positions on and off the book")


def _moves(prediction: Prediction, handle: Handle, able: tuple[Cell, ...]) -> Cell:
    spec: OffBook = prediction.experiment
    params: dict[str, Json] = {
        "departures": list(spec.departures),
        "count": prediction.verdict.budget // len(spec.departures),
    }
    return part_cell(
        "off-book",
        1,
        handle,
        _common(prediction, handle) | params,
        f"{CELLS}:moves",
        "moves on and off the book",
        (_pairs(prediction), *able),
    )
