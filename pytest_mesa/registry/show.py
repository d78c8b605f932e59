"""A prediction as a card of plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from pydantic import BaseModel

from pytest_mesa.registry.errors import printable
from pytest_mesa.registry.loader import LoadedPrediction
from pytest_mesa.registry.lock import LockStatus
from pytest_mesa.registry.models import Prediction, Region, SubjectSpec, VerdictRule

WIDTH = 88
SHA_SHOWN = 12

_LOCKED = {
    LockStatus.LOCKED: "locked",
    LockStatus.DIFFERS: "differs from its lock: verdicts are exploratory",
    LockStatus.UNLOCKED: "not locked: verdicts are exploratory",
}


def describe(loaded: LoadedPrediction, locked: LockStatus | None = None) -> str:
    """What is claimed, of what, how it is decided, and whether it is locked."""
    prediction = loaded.prediction
    where = f"{loaded.name}:{loaded.line}  sha {loaded.sha[:SHA_SHOWN]}"
    if locked is not None:
        where += f"  {_LOCKED[locked]}"
    head = [loaded.id, _one_line(prediction.title), where]
    return "\n".join([*head, *_sections(prediction)]) + "\n"


def _sections(prediction: Prediction) -> Iterator[str]:
    competence = prediction.competence
    yield from _section("Claim", [prediction.claim])
    yield from _section("Subjects", map(_subject, prediction.subjects))
    able = f"{competence.metric} of at least {competence.at_least:g}"
    yield from _section("Competence", [f"{able} on {competence.budget} fresh instances"])
    yield from _section("Experiment", _experiment(prediction.experiment))
    controls = [
        *(f"must detect: {_subject(subject)}" for subject in prediction.controls.must_detect),
        *(
            f"must not detect: {_subject(subject)}"
            for subject in prediction.controls.must_not_detect
        ),
    ]
    yield from _section("Controls", controls)
    yield from _section("Verdict", _rule(prediction.verdict, prediction.seed))
    yield from _section("Notes", prediction.notes)
    if prediction.tags:
        yield from _section("Tags", [", ".join(prediction.tags)])


def _section(title: str, entries: Iterable[str]) -> Iterator[str]:
    lines = [
        line
        for entry in entries
        for line in textwrap.wrap(
            _one_line(entry), WIDTH, initial_indent="  ", subsequent_indent="    "
        )
    ]
    if lines:
        yield from ("", title, *lines)


def _subject(subject: SubjectSpec) -> str:
    name = (
        f"recipe {subject.recipe}"
        if subject.recipe
        else f"compiled {subject.compiled}"
        if subject.compiled
        else f"model {subject.ref}"
        if subject.ref
        else "the model given with --mesa-model"
    )
    facts = [
        *(["untrained"] if subject.untrained else []),
        *([f"{subject.seeds} seeds"] if subject.seeds > 1 else []),
        *(f"{key} = {value}" for key, value in subject.options.items()),
    ]
    return ", ".join([name, *facts])


def _experiment(params: BaseModel) -> Iterator[str]:
    doc = (type(params).__doc__ or "").strip().partition("\n")[0]
    yield f"{getattr(params, 'kind', '')}: {doc}"
    for name in type(params).model_fields:
        if name != "kind":
            yield f"{name}: {_value(getattr(params, name))}"


def _value(value: object) -> str:
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, dict):
        return ", ".join(f"{key} {_nested(part)}" for key, part in value.items())
    if isinstance(value, (tuple, list)):
        return ", ".join(map(_nested, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _nested(value: object) -> str:
    inside = _value(value)
    return f"({inside})" if isinstance(value, (BaseModel, dict, tuple, list)) else inside


def _rule(rule: VerdictRule, seed: int) -> Iterator[str]:
    whom = (
        f"{rule.quantifier} subject"
        if isinstance(rule.quantifier, str)
        else f"a fraction of {rule.quantifier['fraction']:g} of the subjects"
    )
    yield f"estimand: {rule.estimand}, of {whom}"
    yield f"pass: {_region(rule.predicted)}"
    yield f"fail: {_region(rule.refuted)}"
    yield "otherwise: inconclusive"
    yield f"alpha {rule.alpha:g}, at most {rule.budget} observations a subject, seed {seed}"


def _region(region: Region) -> str:
    if region.below is not None:
        return f"its bound lies below {region.below:g}"
    return f"its bound lies above {region.above:g}"


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
