"""The rival gate: an effect that a rival reaches too is not the algorithm's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evidence_builders import measurement, rule, scores

from pytest_mesa.registry.models import Region
from pytest_mesa.verdicts.assess import assess
from pytest_mesa.verdicts.confidence import e_value, lower_bound
from pytest_mesa.verdicts.evidence import EvidenceError, Measurement, Stratum
from pytest_mesa.verdicts.reasons import Reason
from pytest_mesa.verdicts.rivals import compare, match_rivals

ABOVE = Region(above=0.5)
BELOW = Region(below=0.25)


def detected(data: Measurement, **changes: object) -> bool:
    return assess(data, rule(**changes), 0.05).detected


def test_a_weak_rival_is_beaten_and_a_strong_one_explains() -> None:
    assert detected(measurement(means=0.9, rivals={"raw-items": 0.1, "random": 0.05}))
    explained = assess(
        measurement(means=0.9, rivals={"raw-items": 0.95, "random": 0.05}), rule(), 0.05
    )
    assert explained.blocked is Reason.RIVAL_EXPLAINS
    assert explained.explained_by == ("raw-items/s0",)
    assert explained.e_refuted < 1  # the e-value is against the rival, too


def test_a_rival_not_conclusively_behind_still_explains() -> None:
    close = assess(measurement(means=0.9, n=100, rivals={"raw-items": 0.88}), rule(), 0.05)
    (rival,) = close.strata[0].rivals
    assert rival.margin > 0
    assert not rival.beaten
    assert close.blocked is Reason.RIVAL_EXPLAINS


def test_a_rival_must_be_beaten_in_every_stratum_of_a_hull() -> None:
    assert detected(measurement(means=[0.9, 0.9], rivals={"raw-items": [0.1, 0.1]}))
    # Ahead by far on average, but level in one stratum.
    assert not detected(measurement(means=[0.9, 0.9], rivals={"raw-items": [0.0, 0.9]}))


def test_one_unexplained_stratum_carries_the_greatest() -> None:
    carried = {"combine": "greatest", "means": [0.9, 0.95, 0.1]}
    assert detected(measurement(**carried, rivals={"raw-items": [0.9, 0.2, 0.1]}))
    # The stratum where the rival trails must itself have reached the region.
    assert not detected(measurement(**carried, rivals={"raw-items": [0.9, 0.95, 0.0]}))
    # Two rivals that each explain another stratum explain neither by themselves.
    assert not detected(
        measurement(**carried, rivals={"a": [0.9, 0.0, 0.0], "b": [0.0, 0.95, 0.0]})
    )


def test_the_least_needs_every_stratum() -> None:
    assert not detected(measurement(means=[0.9, 0.95], combine="least", rivals={"a": [0.9, 0.1]}))


def test_refuted_below_asks_for_lower_scores_than_the_rival() -> None:
    downward = {"predicted": {"above": 0.5}, "refuted": {"below": 0.25}}
    assert detected(measurement(means=0.05, rivals={"a": 0.5}), **downward)
    assert not detected(measurement(means=0.05, rivals={"a": 0.0}), **downward)
    reading = compare(Stratum("s", scores(0.05)), Stratum("a/s", scores(0.5)), BELOW, 0.05)
    assert reading.margin == pytest.approx(0.45)
    assert reading.estimate == pytest.approx(0.5)


def test_pairing_finds_a_small_steady_margin() -> None:
    rng = np.random.default_rng(0)
    theirs = tuple(rng.uniform(0.3, 0.8, 300))
    ours = tuple(score + 0.05 for score in theirs)
    paired = compare(Stratum("s", ours), Stratum("a/s", theirs), ABOVE, 0.05)
    apart = compare(Stratum("s", ours), Stratum("a/s", theirs[:-1]), ABOVE, 0.05)
    assert paired.paired
    assert paired.beaten
    assert not apart.paired
    assert not apart.beaten


@pytest.mark.parametrize("region", [ABOVE, BELOW])
def test_scores_of_unequal_number_are_bounded_apart(region: Region) -> None:
    far, near = (0.95, 0.05) if region is ABOVE else (0.05, 0.95)
    ours = Stratum("s", scores(far))
    apart = compare(ours, Stratum("a/s", scores(near, 300)), region, 0.05)
    assert not apart.paired
    assert 0.7 < apart.lower < 0.9
    assert apart.e_value > 1e6
    level = compare(ours, Stratum("a/s", scores(far, 300)), region, 0.05)
    assert not level.beaten
    assert level.e_value < 1


def test_unpaired_bounds_share_alpha() -> None:
    ours, theirs = scores(0.9), scores(0.3, 300)
    reading = compare(Stratum("s", ours), Stratum("a/s", theirs), ABOVE, 0.05)
    upper = 1 - lower_bound([1 - score for score in theirs], 0.025)
    assert reading.lower == pytest.approx(lower_bound(ours, 0.025) - upper, abs=1e-6)


@pytest.mark.parametrize(("ours", "theirs"), [(0.9, 0.3), (0.6, 0.3), (0.99, 0.02), (0.5, 0.5)])
def test_the_unpaired_e_value_holds_for_every_mean_between(ours: float, theirs: float) -> None:
    """Under the null some c parts the means, and the average of both sides is an e-value."""
    a, b = scores(ours, 80), scores(theirs, 60)
    reading = compare(Stratum("s", a), Stratum("a/s", b), ABOVE, 0.05)
    worst = min(
        (e_value(a, c, "above") + e_value(b, c, "below")) / 2 for c in np.linspace(0, 1, 2001)
    )
    assert 0.49 * worst < reading.e_value < 0.75 * worst


def test_a_rival_out_of_range_is_an_error_even_where_the_margin_is_not() -> None:
    data = replace(measurement(means=1.0, n=3), rivals=(Stratum("greedy/s0", (1.0, 1.5, 1.0)),))
    with pytest.raises(EvidenceError, match=r"rival 'greedy/s0': score 1 is 1\.5"):
        assess(data, rule(), 0.05)


def test_ranges_may_differ() -> None:
    margin = compare(
        Stratum("s", (2.0,) * 200, -1, 3), Stratum("a/s", (0.5,) * 200, 0, 1), ABOVE, 0.05
    )
    assert 1.3 < margin.lower < 1.5


def test_false_detection_against_an_equal_rival_is_rare() -> None:
    """Paired and unpaired: the margin is 0, and is called positive at most at level alpha."""
    rng = np.random.default_rng(1)
    alpha, studies = 0.1, 400
    beaten = {True: 0, False: 0}
    e_values: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(studies):
        luck = rng.random(200)  # ours and theirs succeed on overlapping draws
        ours = Stratum("s", tuple((luck < 0.7).astype(float)))
        theirs = (luck > 0.3).astype(float)
        for paired in (True, False):
            rival = Stratum("a/s", tuple(theirs if paired else theirs[:-1]))
            reading = compare(ours, rival, ABOVE, alpha)
            beaten[paired] += reading.beaten
            e_values[paired].append(reading.e_value)
    for paired in (True, False):
        assert beaten[paired] <= studies * alpha * 1.3
        assert np.mean(e_values[paired]) < 1.5


def test_stratum_names_may_hold_slashes() -> None:
    data = Measurement(
        "x",
        strata=(Stratum("row", scores(0.9)), Stratum("late/row", scores(0.9))),
        rivals=(
            Stratum("raw/items/row", scores(0.1)),
            Stratum("raw/items/late/row", scores(0.2)),
        ),
    )
    table = match_rivals(data)
    assert [s.name for s in table["row"]] == ["raw/items/row"]
    assert [s.name for s in table["late/row"]] == ["raw/items/late/row"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["greedy"], "names no stratum"),
        (["greedy/s7", "greedy/s0", "greedy/s1"], "names no stratum"),
        (["greedy/s0"], "'greedy' has no scores in stratum 's1'"),
        (["greedy/s0", "greedy/s1", "greedy/s0"], "comes twice"),
    ],
)
def test_rivals_that_fit_badly_are_errors(names: list[str], message: str) -> None:
    data = replace(
        measurement(means=[0.9, 0.9]),
        rivals=tuple(Stratum(name, scores(0.1)) for name in names),
    )
    with pytest.raises(EvidenceError, match=message):
        assess(data, rule(), 0.05)


def test_a_rival_without_scores_is_an_error() -> None:
    data = replace(measurement(means=0.9), rivals=(Stratum("greedy/s0", ()),))
    with pytest.raises(EvidenceError, match="rival 'greedy/s0': no scores"):
        assess(data, rule(), 0.05)


def test_between_the_regions_a_rival_accounts_only_for_what_it_nearly_reaches() -> None:
    middle = assess(measurement(means=0.4, rivals={"raw-items": 0.4}), rule(), 0.05)
    assert middle.blocked is Reason.RIVAL_EXPLAINS
    assert middle.explained_by == ("raw-items/s0",)
    # Clearly behind, though the estimate stays between the regions: nothing accounts for it.
    beaten = assess(measurement(means=0.4, rivals={"raw-items": 0.1}), rule(), 0.05)
    assert beaten.blocked is not Reason.RIVAL_EXPLAINS
    # Not beaten, but with so few scores that much might lie beyond the rival.
    few = assess(measurement(means=0.4, n=30, rivals={"raw-items": 0.35}), rule(), 0.05)
    assert few.blocked is not Reason.RIVAL_EXPLAINS
    # Every stratum outside the predicted region needs its own account.
    half = measurement(means=[0.4, 0.4], rivals={"raw-items": [0.4, 0.0]})
    assert assess(half, rule(), 0.05).blocked is not Reason.RIVAL_EXPLAINS
    clear = measurement(means=[0.4, 0.02], rivals={"raw-items": [0.4, 0.02]})
    assert assess(clear, rule(), 0.05).blocked is Reason.RIVAL_EXPLAINS


def test_the_margin_lies_between_its_bounds() -> None:
    ours, theirs = Stratum("s", scores(0.6)), Stratum("r/s", scores(0.3))
    paired = compare(ours, theirs, ABOVE, 0.05)
    apart = compare(ours, replace(theirs, scores=theirs.scores[:-1]), ABOVE, 0.05)
    for reading in (paired, apart):
        assert reading.lower < 0.3 < reading.upper
    mirrored = compare(ours, theirs, BELOW, 0.05)
    assert mirrored.lower < -0.3 < mirrored.upper
