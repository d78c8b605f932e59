"""The closed vocabulary of verdicts: what can be concluded, and why something was not."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """What became of a prediction. ``error`` marks a run that broke: no verdict exists then."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


class Reason(StrEnum):
    """Why a verdict is inconclusive, most upstream first.

    The order is the order of the gates: what comes first makes what comes later moot.
    """

    NO_SUBJECT = "no-subject"
    CONTROL_MISSED = "control-missed"
    CONTROL_FALSE_ALARM = "control-false-alarm"
    NOT_COMPETENT = "not-competent"
    SCORES_DRIFT = "scores-drift"
    RIVAL_EXPLAINS = "rival-explains"
    BASELINE_EXPLAINS = "baseline-explains"
    ASPECT_UNSEEN = "aspect-unseen"
    CIRCUIT_UNFAITHFUL = "circuit-unfaithful"
    CIRCUIT_UNSTABLE = "circuit-unstable"
    NOTHING_TO_TRANSFER = "nothing-to-transfer"
    STRATA_DISAGREE = "strata-disagree"
    BREAKTHROUGHS = "breakthroughs-across-seeds"
    NO_GROWTH = "no-growth"
    LADDER_TOO_COARSE = "ladder-too-coarse"
    CLAIM_UNMEASURED = "watched-claim-unmeasured"
    TOO_FEW_RELEASES = "too-few-releases"
    FORECAST_TOO_WIDE = "forecast-too-wide"
    INDIFFERENCE_ZONE = "indifference-zone"
    BUDGET_SPENT = "budget-spent"
    INTERVAL_STRADDLES = "interval-straddles"

    @property
    def remedy(self) -> str:
        """One line: what would settle it."""
        return _REMEDIES[self]


_REMEDIES = {
    Reason.NO_SUBJECT: "name a model to test, for instance with --mesa-model",
    Reason.CONTROL_MISSED: (
        "sharpen the instrument until it detects every must-detect control; "
        "until then its silence about the subject means nothing"
    ),
    Reason.CONTROL_FALSE_ALARM: (
        "tighten the instrument until every must-not-detect control is conclusively clear; "
        "until then its alarm about the subject means nothing"
    ),
    Reason.NOT_COMPETENT: "test a subject that solves the task, or train this one further",
    Reason.SCORES_DRIFT: (
        "draw the scores in random order: they changed level along the way, "
        "so that no single mean fits them"
    ),
    Reason.RIVAL_EXPLAINS: (
        "measure on instances where the rival predicts another answer, "
        "or register the rival as the claim"
    ),
    Reason.BASELINE_EXPLAINS: (
        "measure on instances that the experiment's baseline does not explain, or on more of them: "
        "what is plain to see ranks them as the subject does"
    ),
    Reason.ASPECT_UNSEEN: (
        "probe other aspects, or more instances: nothing of what the claim says is there "
        "could be decoded beyond the baselines"
    ),
    Reason.NOTHING_TO_TRANSFER: (
        "fit the probe where it works: at home it reads too little to have anything to lose"
    ),
    Reason.CIRCUIT_UNFAITHFUL: (
        "register larger circuits, or more positions to find them with: alone, they bring back too "
        "little of what the net does"
    ),
    Reason.CIRCUIT_UNSTABLE: (
        "register more games in a batch, or more batches that set the scale: two halves of one "
        "setting don't reach what they must on a scale that is their own"
    ),
    Reason.STRATA_DISAGREE: "register one prediction per stratum: more scores will not settle it",
    Reason.BREAKTHROUGHS: (
        "follow single nets: seeds of one size part, so that their mean says neither that "
        "nets jump nor that they grow"
    ),
    Reason.CLAIM_UNMEASURED: (
        "settle the watched claim first: its controls were not read right, so that what it reads "
        "on this release means nothing"
    ),
    Reason.TOO_FEW_RELEASES: "record more releases: a forecast takes some to go by",
    Reason.FORECAST_TOO_WIDE: (
        "record more releases: those there are vary so much that the leap which the claim denies "
        "would have gone unnoticed"
    ),
    Reason.NO_GROWTH: (
        "follow a measure that changes, or a longer ladder: from the smallest size to the largest "
        "next to nothing grew, neither by degrees nor at once"
    ),
    Reason.LADDER_TOO_COARSE: "add sizes between the rungs around the transition",
    Reason.INDIFFERENCE_ZONE: (
        "nothing more to draw: the estimate lies between the regions, "
        "where the prediction takes no side"
    ),
    Reason.BUDGET_SPENT: (
        "register a larger budget, or more nets where bounds are over nets: the interval still "
        "reaches across an edge"
    ),
    Reason.INTERVAL_STRADDLES: "draw more scores: the budget is not spent yet",
}
