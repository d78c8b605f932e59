"""What changed between two verdicts, and that only a model can regress."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_bodies import error, verdict

from pytest_mesa.ledger.compare import Cause, Change, compare

MODEL = {"ref": "hf:org/m@v1", "revision": "v1", "weights_sha": "1" * 64}
OTHER_MODEL = {"ref": "hf:org/m@v2", "revision": "v2", "weights_sha": "2" * 64}
UNNAMED = MODEL | {"weights_sha": ""}


def passed(**more: Any) -> dict[str, Any]:
    return verdict(model=MODEL, estimate=0.06, bounds=[0.01, 0.11]) | more


def refuted(**more: Any) -> dict[str, Any]:
    return verdict(model=MODEL, verdict="fail", estimate=0.7, bounds=[0.6, 0.8]) | more


def undecided(**more: Any) -> dict[str, Any]:
    return passed(verdict="inconclusive", reason="budget-spent", bounds=[0.01, 0.4]) | more


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (passed(), refuted(), Change.FLIPPED),
        (refuted(), passed(), Change.FLIPPED),
        (passed(), undecided(), Change.LOST),
        (undecided(), refuted(), Change.GAINED),
        (passed(), passed(estimate=0.2, bounds=[0.15, 0.24]), Change.MOVED),
        (passed(estimate=0.2, bounds=[0.15, 0.24]), passed(), Change.MOVED),
        (passed(), passed(estimate=0.1, bounds=[0.11, 0.2]), Change.SAME),
        (undecided(reason="control-missed"), undecided(), Change.SAME),
        (passed(), refuted(spec_sha="6" * 64), Change.OTHER_SPEC),
        (error(), refuted(spec_sha="6" * 64), Change.OTHER_SPEC),
        (passed(), error(), Change.BROKEN),
        (error(), error(), Change.BROKEN),
        (None, passed(), Change.NEW),
        (passed(), None, Change.MISSING),
    ],
)
def test_what_became_of_a_verdict(before: Any, after: Any, change: Change) -> None:
    assert compare(before, after).change is change


@pytest.mark.parametrize(
    ("after", "cause", "regression"),
    [
        (refuted(model=OTHER_MODEL), Cause.MODEL, True),
        (refuted(model=OTHER_MODEL, env={"python": "3.12"}), Cause.MODEL, True),
        (refuted(model=UNNAMED), Cause.UNKNOWN, True),
        (refuted(env={"python": "3.12"}), Cause.ENVIRONMENT, False),
        (refuted(env={"python": "3.11", "cpu": "another"}), Cause.ENVIRONMENT, False),
        (refuted(env={"python": "3.11", "device": "cuda"}), Cause.ENVIRONMENT, False),
        (refuted(model=MODEL | {"dtype": "bfloat16"}), Cause.ENVIRONMENT, False),
        # The same weights under another name are the same model.
        (refuted(model=MODEL | {"ref": "./m", "revision": ""}), Cause.NOTHING, False),
        (refuted(plugin="0.2.0"), Cause.PLUGIN, False),
        (refuted(plugin="0.2.0", env={"python": "3.12"}), Cause.ENVIRONMENT, False),
        (refuted(git={"commit": "1234567"}), Cause.CODE, False),
        (refuted(git={"commit": "abcdef0123456789", "dirty": True}), Cause.CODE, False),
        (refuted(time="2027-01-01T00:00:00Z"), Cause.NOTHING, False),
        (refuted(model=OTHER_MODEL, spec_sha="6" * 64), Cause.MODEL, False),
    ],
)
def test_only_other_weights_under_the_same_spec_make_a_regression(
    after: dict[str, Any], cause: Cause, regression: bool
) -> None:
    comparison = compare(passed(), after)
    assert (comparison.cause, comparison.is_regression) == (cause, regression)
    # A claim that is upheld where it was refuted is no regression, whatever the cause.
    assert not compare(after, passed()).is_regression


def test_a_regression_says_where_the_environment_may_be_why() -> None:
    assert compare(passed(), refuted(model=OTHER_MODEL, env={"python": "3.12"})).is_confounded
    assert not compare(passed(), refuted(model=OTHER_MODEL)).is_confounded
    assert not compare(passed(), refuted(env={"python": "3.12"})).is_confounded


def test_differences_name_both_values_and_leave_out_what_agrees() -> None:
    found = compare(passed(), refuted(model=OTHER_MODEL, env={"torch": "2.13"}, locked="differs"))
    assert [str(difference) for difference in found.differences] == [
        "subject hf:org/m@v1 → hf:org/m@v2",
        "weights 111111111111 → 222222222222",
        "env python 3.11 → none",
        "env torch none → 2.13",
        "lock locked → differs",
    ]
    assert compare(passed(), refuted()).differences == ()


BOUNDS = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)


@given(BOUNDS, BOUNDS, st.booleans())
def test_moving_is_symmetric_and_takes_a_gap(one: Any, other: Any, same_machine: bool) -> None:
    before, after = passed(bounds=one), passed(bounds=other)
    if not same_machine:
        after["env"] = {"cpu": "another"}
    there, back = compare(before, after).change, compare(after, before).change
    assert there is back
    overlap = any(one[0] <= end <= one[1] for end in other) or any(
        other[0] <= end <= other[1] for end in one
    )
    assert there is (Change.SAME if overlap else Change.MOVED)
