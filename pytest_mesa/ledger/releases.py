"""The releases that a ledger holds verdicts on, and what was forecast of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_mesa.ledger.index import Index, Line
from pytest_mesa.ledger.records import Record
from pytest_mesa.verdicts.reasons import Reason
from pytest_mesa.verdicts.releases import Release

# What makes two statements one: the claim, who watches it, and the releases that it rests on.
_SAME = ("prediction", "spec_sha", "by", "earlier")

# What a faulty instrument reads is no point of a course.
_FAULTY = (Reason.CONTROL_MISSED, Reason.CONTROL_FALSE_ALARM)


def releases(index: Index, prediction: str, spec_sha: str) -> tuple[Release, ...]:
    """The models given on the command line, in the order of their first verdict on a claim.

    Of each the newest estimate. Left out are verdicts of another spec, runs that broke,
    verdicts whose controls failed, and weights that an earlier release had already.

    Raises:
        LedgerError: a record is damaged.
    """
    lines: dict[str, list[Line]] = {}
    for line in index.claims.get(prediction, ()):
        if line.lineup:
            lines.setdefault(line.lineup, []).append(line)
    found: list[Release] = []
    seen: set[str] = set()
    for name, those in lines.items():
        record = next((r for r in index.records(reversed(those)) if _counts(r, spec_sha)), None)
        if record is None:
            continue
        weights = str(record["model"].get("weights_sha", ""))
        if weights in seen:
            continue
        seen |= {weights} - {""}
        found.append(Release(name, float(record["estimate"]), those[0].number, weights))
    return tuple(found)


def before(found: Sequence[Release], name: str) -> tuple[Release, ...]:
    """The releases that were known when this one came; all of them where it is not among them."""
    for position, release in enumerate(found):
        if release.name == name:
            return tuple(found[:position])
    return tuple(found)


def _counts(record: Record, spec_sha: str) -> bool:
    sound = "estimate" in record and record["reason"] not in _FAULTY
    return sound and record["spec_sha"] == spec_sha


def statement(
    prediction: str, spec_sha: str, by: Mapping[str, str], earlier: Sequence[Release]
) -> dict[str, Any]:
    """What a forecast is of, as its record says it.

    ``by`` names the prediction that watches the claim, and the hash of its spec.
    """
    return {
        "kind": "forecast",
        "prediction": prediction,
        "spec_sha": spec_sha,
        "by": dict(by),
        "earlier": [[release.name, release.estimate] for release in earlier],
    }


def stated(index: Index, body: Mapping[str, Any]) -> int | None:
    """The line on which the same forecast from the same releases stands, if any.

    Raises:
        LedgerError: a record is damaged.
    """
    lines = [line for line in index.lines if line.kind == "forecast"]
    for line, record in zip(lines, index.records(lines), strict=True):
        if all(record.get(name) == body[name] for name in _SAME):
            return line.number
    return None
