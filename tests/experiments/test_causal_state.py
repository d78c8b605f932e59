"""The instrument on nets with known ground truth, at a budget small enough for the suite."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pytest_mesa._paths import shipped
from pytest_mesa.experiments import causal_cells, spike_cells
from pytest_mesa.experiments.causal_state import PAIR_RIVALS, STUDY
from pytest_mesa.experiments.lineup import measurement, merge
from pytest_mesa.instruments.stream import Stream
from pytest_mesa.registry.kinds import CausalState, KnapsackTask, SiteSearch
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.load import load
from pytest_mesa.subjects.recipes import recipe
from pytest_mesa.tasks.knapsack import tokens
from pytest_mesa.tasks.knapsack.pairs import known_pair_rivals
from pytest_mesa.verdicts.decision import decide
from pytest_mesa.verdicts.evidence import Evidence, Measurement

TASK = KnapsackTask(kind="knapsack")
PAIR_FILTERS = ("single-item", "other-items", "level-shift", "greedy-ratio")
SEARCH = SiteSearch(screen_pairs=96, sites=2, steps=10, train_pairs=2000, batch=64)
torch.set_num_threads(1)  # as a worker does; two would only wait for each other
STAGE = {"prefix-dp": 3, "suffix-recursion": 2}
UNTRAINED = {"scheme": "recipe", "untrained": recipe("knapsack-decoder").params(0)}


def compiled(name: str) -> dict[str, Any]:
    return {"scheme": "compiled", "name": name, "seed": 3}


def params(subject: dict[str, Any], algorithm: str, pairs: int = 300) -> dict[str, Any]:
    return {
        "subject": subject,
        "task": TASK.model_dump(mode="json"),
        "algorithm": algorithm,
        "stage": STAGE[algorithm],
        "rivals": [*PAIR_FILTERS, "raw-items", "random-subspace"],
        "search": SEARCH.model_dump(mode="json"),
        "pairs": pairs,
        "seed": 11,
    }


@pytest.fixture(scope="module")
def read() -> Any:
    """Measure a state once for each subject and algorithm."""
    kept: dict[tuple[str, str], Measurement] = {}

    def measured(subject: dict[str, Any], algorithm: str) -> Measurement:
        key = (str(subject), algorithm)
        if key not in kept:
            part = causal_cells.measure_state(params(subject, algorithm), (), Path())
            body = merge({"label": key[0], "combine": "hull"}, (Result("", part, Path()),), Path())
            kept[key] = measurement(body)
        return kept[key]

    return measured


def score(measured: Measurement) -> float:
    return float(np.mean(measured.strata[0].scores))


@pytest.mark.parametrize("name", ["prefix-dp", "suffix-recursion"])
def test_finds_the_state_that_a_compiled_net_carries(read: Any, name: str) -> None:
    found = read(compiled(name), name)
    rivals = {rival.name.split("/")[0]: np.mean(rival.scores) for rival in found.rivals}
    assert score(found) >= 0.95
    assert rivals["random-subspace"] <= 0.2
    assert rivals["raw-items"] <= score(found) - 0.2
    (detail,) = (v for k, v in found.detail.items() if k.startswith("state-"))
    assert detail["written_state"] >= 0.8


@pytest.mark.parametrize(
    ("subject", "algorithm"),
    [
        (compiled("suffix-recursion"), "prefix-dp"),
        (compiled("prefix-dp"), "suffix-recursion"),
        (compiled("greedy-ratio"), "prefix-dp"),
        (UNTRAINED, "prefix-dp"),
    ],
    ids=["suffix net", "prefix net", "greedy net", "untrained"],
)
def test_finds_no_state_where_there_is_none(
    read: Any, subject: dict[str, Any], algorithm: str
) -> None:
    assert score(read(subject, algorithm)) <= 0.2


def test_raw_items_explain_what_a_brute_force_net_shows(read: Any) -> None:
    found = read(compiled("brute-force"), "prefix-dp")
    rivals = {rival.name.split("/")[0]: np.mean(rival.scores) for rival in found.rivals}
    assert rivals["raw-items"] >= score(found) - 0.05


def prediction(**changes: Any) -> Prediction:
    body: dict[str, Any] = {
        "prediction": "no-table",
        "title": "t",
        "claim": "c",
        "subjects": [{"compiled": "prefix-dp"}],
        "competence": {"at_least": 0.9},
        "experiment": {},
        "controls": {
            "must_detect": [{"compiled": "prefix-dp"}],
            "must_not_detect": [{"compiled": "greedy-ratio"}],
        },
        "verdict": {
            "estimand": "interchange-accuracy",
            "predicted": {"below": 0.25},
            "refuted": {"above": 0.5},
            "budget": 900,
        },
    }
    spec = Prediction.model_validate(body)
    kind = CausalState(kind="causal-state", task=TASK, algorithm="prefix-dp", **changes)
    return spec.model_copy(update={"experiment": kind})


def competent(found: Measurement) -> Measurement:
    return replace(found, competence=(1.0,) * 500)


def test_planted_subjects_and_a_swapped_control_decide_as_they_should(read: Any) -> None:
    table = read(compiled("prefix-dp"), "prefix-dp")
    greedy = read(compiled("greedy-ratio"), "prefix-dp")
    spec = prediction()

    def verdict(subject: Measurement, control: Measurement) -> tuple[str, str | None]:
        evidence = Evidence((competent(subject),), (control,), (greedy,))
        decided = decide(spec.verdict, spec.competence, evidence)
        return decided.outcome, decided.reason

    assert verdict(table, table) == ("fail", None)
    assert verdict(greedy, table) == ("pass", None)
    assert verdict(greedy, greedy) == ("inconclusive", "control-missed")
    alarm = Evidence((competent(greedy),), (table,), (table,))
    assert decide(spec.verdict, spec.competence, alarm).reason == "control-false-alarm"


def test_a_planted_effect_is_seen_and_an_absent_one_is_not() -> None:
    folder = shipped("fixtures") / "knapsack-decoder-seed0"
    manifest = json.loads((folder / "manifest.json").read_text())
    subject = load({"scheme": "recipe"}, (Result(manifest["key"], manifest["payload"], folder),))
    setting = causal_cells.Setting.of(params(UNTRAINED, "prefix-dp"))
    sample = tokens.encode(setting.pairs("select", 200).base)

    def planted(share: float) -> Stream:
        return spike_cells.spiked_stream(
            subject.stream, spike_cells.plant(setting, 2, share), sample
        )

    same = planted(0.0).logits(sample)[:, -1].argmax(-1) == subject.module(sample)[:, -1].argmax(-1)
    assert same.float().mean() >= 0.98  # the private channel itself disturbs nothing
    best = causal_cells.find(planted(1.0), setting).best
    fresh = setting.pairs("measure", 300)

    def reads(share: float) -> float:
        stream = planted(share)
        runs = causal_cells.captured(stream, fresh)
        accuracy = causal_cells.interchange_accuracy(stream, runs, best.site, best.subspace)
        return float(accuracy.mean())

    assert reads(1.0) >= 0.6
    assert reads(0.0) <= 0.15
    assert best.site.position == 3


def test_the_chosen_share_is_the_share_asked_for() -> None:
    ids = tokens.encode(
        causal_cells.Setting.of(params(UNTRAINED, "prefix-dp")).pairs("select", 400).base
    )
    for share in (0.0, 0.3, 1.0):
        chosen = spike_cells.chosen_share(share, 7)(ids)
        assert abs(float(chosen.float().mean()) - share) < 0.09
        assert torch.equal(chosen, spike_cells.chosen_share(share, 7)(ids))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rivals": ("greedy-luck",)}, "no rival is called 'greedy-luck'"),
        ({"states": (5,)}, "has no state 5"),
    ],
)
def test_what_cannot_be_planned_is_said(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SubjectError, match=words):
        STUDY.plan(prediction(**changes))


def test_an_unknown_algorithm_is_said() -> None:
    spec = prediction()
    kind = spec.experiment.model_copy(update={"algorithm": "simplex"})
    with pytest.raises(SubjectError, match="no algorithm is called 'simplex'"):
        STUDY.plan(spec.model_copy(update={"experiment": kind}))


def test_a_changed_threshold_changes_no_cell_and_a_changed_state_only_its_own() -> None:
    def keys(spec: Prediction) -> set[str]:
        return {part.key for cell in STUDY.plan(spec).cells for part in cell.inputs}

    spec = prediction()
    region = spec.verdict.predicted.model_copy(update={"below": 0.2})
    moved = spec.model_copy(
        update={"verdict": spec.verdict.model_copy(update={"predicted": region})}
    )
    assert keys(spec) == keys(moved)
    fewer = prediction(states=(2, 4))
    assert keys(spec) & keys(fewer)


def test_planning_and_pairs_name_the_same_rivals() -> None:
    assert set(PAIR_RIVALS) == set(known_pair_rivals())
