"""The kind ``agreement`` on nets whose algorithm is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from study_runs import means, prediction, results_of, run

from pytest_mesa.experiments import agreement, exhibits
from pytest_mesa.experiments.agreement import STUDY
from pytest_mesa.experiments.agreement_cells import distinct_instances, explained, plain_features
from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.tasks.knapsack.instances import Instances, draw
from pytest_mesa.verdicts.reasons import Outcome, Reason

SPEC = """\
prediction: planted
title: Planted
claim: Planted.
subjects: [{{compiled: {subject}}}]
competence: {{at_least: {able}, budget: 300}}
experiment:
  kind: agreement
  task: {{kind: knapsack}}
  rivals: [greedy-ratio, greedy-value, lp-rounded]
  probes: [{probes}]
controls:
  must_detect: [{{compiled: prefix-dp}}]
  must_not_detect: [{{compiled: greedy-ratio}}, {{recipe: knapsack-decoder, untrained: true}}]
verdict:
  estimand: exact-advantage
  predicted: {{below: 0.2}}
  refuted: {{above: 0.5}}
  budget: 600
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer instances than a subject is given: what is planted lies open."""
    for name, count in (("FIT", 2500), ("CHOOSE", 400), ("MEASURE", 600)):
        monkeypatch.setattr(agreement, name, count)
    monkeypatch.setattr(exhibits, "LOOKED_AT", 2000)


def spec(subject: str, able: float = 0.95, probes: str = "") -> Prediction:
    return prediction(SPEC.format(subject=subject, able=able, probes=probes))


@pytest.mark.parametrize("subject", ["prefix-dp", "suffix-recursion"])
def test_an_exact_net_refutes_a_claim_of_heuristics(subject: str, cache: Path) -> None:
    evidence, verdict = run(spec(subject), cache)
    assert means(evidence.subjects[0]) == dict.fromkeys(
        ("greedy-ratio", "greedy-value", "lp-rounded"), 1.0
    )
    assert verdict.outcome is Outcome.FAIL
    assert evidence.exhibit["departs_from"] != "exact"


def test_a_greedy_net_upholds_it(cache: Path) -> None:
    evidence, verdict = run(spec("greedy-ratio", 0.5, "greedy-answer, best-item"), cache)
    subject = evidence.subjects[0]
    assert means(subject)["greedy-ratio"] == -1.0
    assert min(means(subject).values()) == -1.0
    assert verdict.outcome is Outcome.PASS
    row = subject.detail["answers"]["greedy-ratio"]
    assert (row["exact"], row["rival"], row["errors_explained"]) == (0.0, 1.0, 1.0)
    assert row["errors_by_chance"] < 0.7
    found = subject.detail["aspects"]
    assert all(found[name]["decodable"] for name in ("greedy-answer", "best-item"))
    assert found["greedy-answer"]["partial_r2"] > 0.95
    assert evidence.exhibit["departs_from"] == "exact"


def test_a_greedy_net_is_not_able_where_that_is_asked(cache: Path) -> None:
    _, verdict = run(spec("greedy-ratio", 0.95), cache)
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, Reason.NOT_COMPETENT)


def test_a_wrong_control_voids_the_verdict(cache: Path) -> None:
    wrong = SPEC.replace(
        "must_detect: [{{compiled: prefix-dp}}]",
        "must_detect: [{{recipe: knapsack-decoder, untrained: true}}]",
    )
    text = wrong.format(subject="suffix-recursion", able=0.9, probes="")
    _, verdict = run(prediction(text), cache)
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, Reason.CONTROL_MISSED)


def test_the_tables_row_is_decodable_only_where_there_is_a_table(cache: Path) -> None:
    rows = {
        name: run(spec(name, probes="other-capacities, greedy-answer"), cache)[0]
        .subjects[0]
        .detail["aspects"]
        for name in ("prefix-dp", "brute-force")
    }
    assert rows["prefix-dp"]["other-capacities"]["partial_r2"] > 0.95
    assert rows["brute-force"]["other-capacities"]["partial_r2"] < 0.3
    assert not rows["prefix-dp"]["greedy-answer"]["decodable"]


def unread(evidence_result: Result) -> Result:
    """The same measurement, with no aspect decodable."""
    payload = dict(evidence_result.payload)
    aspects = {k: v | {"decodable": False} for k, v in payload["detail"]["aspects"].items()}
    payload["detail"] = payload["detail"] | {"aspects": aspects}
    return replace(evidence_result, payload=payload)


@pytest.mark.parametrize(
    ("subject", "withheld"), [("greedy-ratio", Reason.ASPECT_UNSEEN), ("prefix-dp", None)]
)
def test_no_aspect_withholds_what_would_uphold_and_nothing_else(
    subject: str, withheld: Reason | None, cache: Path
) -> None:
    given = spec(subject, 0.5, "best-item")
    plan = STUDY.plan(given)
    results = dict(results_of(plan, cache))
    results[plan.subjects[0]] = unread(results[plan.subjects[0]])
    assert STUDY.read(given, plan, results).subjects[0].withheld is withheld


def test_controls_are_not_probed_and_the_twin_is_the_subjects_own() -> None:
    text = SPEC.replace("[{{compiled: {subject}}}]", "[{{recipe: knapsack-decoder, seeds: 2}}]")
    plan = STUDY.plan(prediction(text.format(able=0.9, probes="lp-bound")))
    kinds = [[part.kind for part in cell.inputs] for cell in plan.subjects]
    assert kinds == [["competence", "agreement", "aspects"]] * 2
    for seed, cell in enumerate(plan.subjects):
        twin = cell.inputs[2].params["twin"]
        assert twin["untrained"]["seed"] == seed
    for cell in (*plan.must_detect, *plan.must_not_detect):
        assert [part.kind for part in cell.inputs] == ["agreement"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lp-rounded", "lp-round", "experiment.rivals: there is no 'lp-round'; there are exact"),
        ("probes: []", "probes: [luck]", "experiment.probes: there is no 'luck'; there are lp-"),
        ("rivals:", "algorithm: greedy-weight\n  rivals:", "the advantage of 'exact'"),
    ],
)
def test_unknown_names_are_refused_before_anything_runs(old: str, new: str, message: str) -> None:
    text = SPEC.format(subject="prefix-dp", able=0.9, probes="").replace(old, new)
    with pytest.raises(SubjectError, match=message):
        STUDY.plan(prediction(text))


def test_explained_counts_by_hand() -> None:
    exact = np.array([10, 10, 10, 10])
    rival = np.array([9, 8, 9, 9])
    row = explained(np.array([10, 8, 9, 11]), exact, rival)
    assert (row["exact"], row["rival"], row["neither"], row["errors"]) == (0.25, 0.5, 0.25, 3)
    assert row["errors_explained"] == pytest.approx(2 / 3, abs=1e-4)
    # Off by -2, -1, +1; the rival is off by -2, -1, -1: three of nine pairs match.
    assert row["errors_by_chance"] == pytest.approx(3 / 9, abs=1e-4)
    nothing = explained(exact, exact, rival)
    assert (nothing["errors"], nothing["errors_explained"]) == (0, None)


def keys(instances: Instances) -> list[tuple[object, ...]]:
    return [
        (int(c), *sorted(zip(w.tolist(), v.tolist(), strict=True)))
        for w, v, c in zip(instances.weights, instances.values, instances.capacity, strict=True)
    ]


def test_no_knapsack_stands_on_two_sides_of_a_split() -> None:
    task = KnapsackTask(kind="knapsack", items=2, weights=(1, 3), values=(1, 3))
    drawn = distinct_instances(task, 200, np.random.default_rng(0))
    assert len(drawn) == len(set(keys(drawn))) == 200
    repeated = draw(task, 200, np.random.default_rng(0))
    assert len(set(keys(repeated))) < 200
    with pytest.raises(ValueError, match="only about 360 different instances; 500 are needed"):
        distinct_instances(task, 500, np.random.default_rng(0))


def test_plain_features_hold_every_token_and_the_answer() -> None:
    instances = draw(KnapsackTask(kind="knapsack"), 3000, np.random.default_rng(0))
    features = plain_features(instances)
    # BOS and five items of 25 tokens and 8 capacities are one-hot; the rest is the answer.
    assert features[:, :1].all()
    assert (features[:, 1:126].sum(1) == 5).all()
    assert (features[:, 126:134].sum(1) == 1).all()
    assert (features[:, 134:].sum(1) == 1).all()
