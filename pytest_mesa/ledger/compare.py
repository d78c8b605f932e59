"""Two verdicts on one prediction: what changed, and what that can be put down to.

Only a model can regress. Where the weights are the same, another machine, dtype, device or
library is an environment change, whatever the numbers do; where the spec is another one, the
two numbers answer different questions and are not compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pytest_mesa.ledger.records import Record

# Fields of `model` that say which it is; what else stands there says how it was run.
_MODEL_NAMES = frozenset({"ref", "revision", "weights_sha", "parameters"})
_CONCLUSIVE = frozenset({"pass", "fail"})
_SHA_SHOWN = 12


class Change(StrEnum):
    """What became of a verdict."""

    FLIPPED = "flipped"
    LOST = "lost"
    GAINED = "gained"
    MOVED = "moved"
    SAME = "same"
    NEW = "new"
    MISSING = "missing"
    OTHER_SPEC = "other spec"
    BROKEN = "broken"

    @property
    def meaning(self) -> str:
        """One line: what the word says."""
        return _MEANINGS[self]


_MEANINGS = {
    Change.FLIPPED: "upheld by the one, refuted by the other",
    Change.LOST: "conclusive before, inconclusive now",
    Change.GAINED: "inconclusive before, conclusive now",
    Change.MOVED: "the same verdict, but the intervals do not overlap",
    Change.SAME: "the same verdict, and intervals that overlap",
    Change.NEW: "no verdict to compare with",
    Change.MISSING: "a verdict before, none now",
    Change.OTHER_SPEC: "the spec is another one, so the two are not compared",
    Change.BROKEN: "one of the two runs broke, which says nothing about the claim",
}


class Cause(StrEnum):
    """What differs between two runs of one spec, the first that applies."""

    MODEL = "other weights"
    UNKNOWN = "weights not on record"
    ENVIRONMENT = "environment change"
    PLUGIN = "other pytest-mesa"
    CODE = "other commit"
    NOTHING = "nothing on record differs"


@dataclass(frozen=True, slots=True)
class Difference:
    """A named thing that two records hold different values of; empty where one has none."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.name} {self.before or 'none'} → {self.after or 'none'}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two verdicts on a prediction, of which one may not be there, but never both."""

    before: Record | None
    after: Record | None
    change: Change
    cause: Cause | None
    differences: tuple[Difference, ...]

    @property
    def prediction(self) -> str:
        """The prediction's id."""
        return str(self._known["prediction"])

    @property
    def lineup(self) -> str:
        """The newer line-up, or the only one."""
        return str(self._known.get("lineup", ""))

    @property
    def is_regression(self) -> bool:
        """Whether a claim that held is refuted, and the model may be why.

        Weights that are not on record may be other weights.
        """
        return (
            self.change is Change.FLIPPED
            and self.after is not None
            and self.after["verdict"] == "fail"
            and self.cause in (Cause.MODEL, Cause.UNKNOWN)
        )

    @property
    def is_confounded(self) -> bool:
        """Whether the environment changed along with the model, so that either may be why."""
        return self.cause in (Cause.MODEL, Cause.UNKNOWN) and any(
            difference.name.startswith(("env ", "model ")) for difference in self.differences
        )

    @property
    def _known(self) -> Record:
        known = self.after if self.after is not None else self.before
        if known is None:
            raise ValueError("a comparison of nothing with nothing")
        return known


def compare(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Comparison:
    """Compare two verdict records, or bodies of such, on one prediction."""
    old, new = (dict(side) if side is not None else None for side in (before, after))
    if old is None or new is None:
        return Comparison(old, new, Change.NEW if old is None else Change.MISSING, None, ())
    found = tuple(differences(old, new))
    return Comparison(old, new, _change(old, new), _cause(old, new, found), found)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    """What two runs differ in, other than their results: spec, model, environment, code."""
    facts = [
        ("spec", _sha(before, "spec_sha"), _sha(after, "spec_sha")),
        ("lineup", str(before.get("lineup", "")), str(after.get("lineup", ""))),
        ("subject", _of(before, "model", "ref"), _of(after, "model", "ref")),
        ("weights", _weights(before), _weights(after)),
    ]
    for group, label in (("model", "model"), ("env", "env")):
        names = sorted({*before.get(group, {}), *after.get(group, {})} - _MODEL_NAMES)
        facts += [
            (f"{label} {name}", _of(before, group, name), _of(after, group, name)) for name in names
        ]
    facts += [
        ("plugin", str(before.get("plugin", "")), str(after.get("plugin", ""))),
        ("commit", _commit(before), _commit(after)),
        ("lock", str(before.get("locked", "")), str(after.get("locked", ""))),
    ]
    for name, old, new in facts:
        if old != new:
            short = name in ("spec", "weights")
            yield Difference(name, *((v[:_SHA_SHOWN] if short else v) for v in (old, new)))


def _change(before: Record, after: Record) -> Change:
    old, new = before["verdict"], after["verdict"]
    if before["spec_sha"] != after["spec_sha"]:
        return Change.OTHER_SPEC
    if "error" in (old, new):
        return Change.BROKEN
    if old != new:
        if {old, new} <= _CONCLUSIVE:
            return Change.FLIPPED
        return Change.LOST if old in _CONCLUSIVE else Change.GAINED
    return Change.MOVED if _are_disjoint(before["bounds"], after["bounds"]) else Change.SAME


def _cause(before: Record, after: Record, found: tuple[Difference, ...]) -> Cause:
    old, new = _weights(before), _weights(after)
    names = {difference.name for difference in found}
    if old and new and old != new:
        return Cause.MODEL
    if not old or not new:
        return Cause.UNKNOWN
    if any(name.startswith(("env ", "model ")) for name in names):
        return Cause.ENVIRONMENT
    if "plugin" in names:
        return Cause.PLUGIN
    return Cause.CODE if "commit" in names else Cause.NOTHING


def _are_disjoint(one: list[float], other: list[float]) -> bool:
    return one[1] < other[0] or other[1] < one[0]


def _weights(record: Mapping[str, Any]) -> str:
    return _of(record, "model", "weights_sha")


def _sha(record: Mapping[str, Any], name: str) -> str:
    return str(record.get(name, ""))


def _of(record: Mapping[str, Any], group: str, name: str) -> str:
    return str(record.get(group, {}).get(name, ""))


def _commit(record: Mapping[str, Any]) -> str:
    git = record.get("git", {})
    commit = str(git.get("commit", ""))[:_SHA_SHOWN]
    return f"{commit} with changes" if commit and git.get("dirty") else commit
