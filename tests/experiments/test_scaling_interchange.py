"""The measure ``interchange``: near 1 where a table drives answers, 0 where nothing is carried."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from study_runs import prediction, run

from pytest_mesa._paths import shipped
from pytest_mesa.experiments import causal_cells, scaling_cells, scaling_state_cells
from pytest_mesa.experiments.causal_cells import Setting
from pytest_mesa.experiments.scaling import STUDY
from pytest_mesa.experiments.scaling_frozen import freeze, gathered
from pytest_mesa.experiments.scaling_state_cells import WIDEST, Carried, carried
from pytest_mesa.registry.canonical import spec_sha
from pytest_mesa.registry.errors import SpecErrors
from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.runs.cells import Result
from pytest_mesa.runs.store import Store
from pytest_mesa.subjects.base import Subject
from pytest_mesa.subjects.decoder import untrained
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.ladders import ladder_handles
from pytest_mesa.subjects.load import load, trained
from pytest_mesa.subjects.recipes import LADDERS, recipe, training_cell
from pytest_mesa.verdicts.reasons import Reason
from pytest_mesa.verdicts.scaling.ladder import Ladder
from pytest_mesa.verdicts.scaling.reading import read_growth

torch.set_num_threads(1)  # as a worker does; two would only wait for each other
STAIRCASE = recipe("knapsack-staircase")
SPEC = """\
prediction: state
title: State
claim: What a state drives grows without a jump.
subjects: [{ref: "ladder:SUBJECT"}]
competence: {at_least: 0.01, budget: 720}
experiment:
  kind: scaling
  measures: [interchange]
  state:
    states: [3]
    rivals: [single-item, level-shift]
    search: {screen_pairs: 32, sites: 1, steps: 5, train_pairs: 300, batch: 32}
    pairs: 100
controls:
  must_detect: [{ref: "ladder:planted-step"}]
  must_not_detect: [{ref: "ladder:planted-smooth"}]
verdict:
  estimand: sharpest-window
  predicted: {below: 0.6}
  refuted: {above: 0.8}
"""
ALIKE = SPEC[: SPEC.index("  state:")] + SPEC[SPEC.index("controls:") :]
PLAIN = ALIKE.replace("interchange", "accuracy")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few pairs to choose on."""
    for module in (causal_cells, scaling_state_cells):
        monkeypatch.setattr(module, "SELECT_PAIRS", 150)


def setting(pairs: int = 400) -> Setting:
    """Row 3 of the table, at a budget small enough for the suite."""
    return Setting.of(
        {
            "task": {"kind": "knapsack"},
            "algorithm": "prefix-dp",
            "stage": 3,
            "rivals": ["single-item", "greedy-ratio", "raw-items", "random-subspace"],
            "search": {"screen_pairs": 48, "sites": 1, "steps": 8, "train_pairs": pairs}
            | {"rank": 10, "batch": 64},
            "seed": 11,
        }
    )


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("prefix-dp", 0.95, 1.0), ("brute-force", -0.1, 0.1), ("greedy-ratio", -0.1, 0.1)],
)
def test_compiled_nets_score_what_they_were_written_to(name: str, low: float, high: float) -> None:
    """A table drives all answers of one; raw items do in another, though it is exact."""
    net = load({"scheme": "compiled", "name": name, "seed": 3}, (), Subject)
    found = carried(net, setting(), 300)
    assert low <= found.beyond_rival <= high
    assert found.ceiling == pytest.approx(float(name != "greedy-ratio"), abs=0.1)
    if name == "brute-force":  # what a detector that forgets its rivals would report
        assert found.accuracy > 0.4


def test_an_untrained_decoder_carries_nothing() -> None:
    net = Subject("untrained", untrained(recipe("knapsack-decoder"), 0))
    assert abs(carried(net, setting(), 300).beyond_rival) < 0.05


@cache
def staircase() -> dict[str, torch.Tensor]:
    """The weights of the frozen net through which information can only flow as rows."""
    found = Store(Path("none"), (shipped("fixtures"),)).get(training_cell(STAIRCASE, 0))
    assert found is not None
    return dict(trained({}, (found,)).module.state_dict())


def on_the_way(share: float) -> Subject:
    """A net so far on the straight line from an untrained staircase to the trained one."""
    net, end = untrained(STAIRCASE, 0), staircase()
    net.load_state_dict({k: torch.lerp(v, end[k], share) for k, v in net.state_dict().items()})
    return Subject(f"{share:g} of the way", net)


def test_it_grows_where_rows_come_to_drive_answers() -> None:
    scores = [carried(on_the_way(share), setting(), 200).beyond_rival for share in (0, 0.9, 1)]
    assert abs(scores[0]) < 0.05
    assert scores == sorted(scores)
    assert 0.05 < scores[1] < scores[2] - 0.1
    assert scores[2] > 0.4


def test_a_subspace_takes_half_of_a_narrow_stream_at_most() -> None:
    for width, rank in ((4, 2), (31, 10)):
        (shape,) = (r for r in LADDERS["knapsack-fixed-steps"] if r.d_model == width)
        stream = Subject("untrained", untrained(shape, 0)).stream
        found = causal_cells.find(stream, setting(100), WIDEST)
        assert {c.subspace.shape for c in found.candidates if "read" not in c.origin} == {
            (width, rank)
        }
        assert max(c.subspace.shape[1] for c in found.candidates) <= rank


shares = st.floats(0, 1)


@given(shares, shares)
def test_the_score_is_nothing_at_the_rivals_and_one_at_the_top(
    accuracy: float, rival: float
) -> None:
    score = Carried(accuracy, rival, 1.0).beyond_rival
    assert np.sign(score) == np.sign(accuracy - rival) and score <= 1
    # A lead is stretched, but never to more than four times itself.
    assert abs(accuracy - rival) <= abs(score) <= 4 * abs(accuracy - rival) + 1e-12
    assert Carried(1.0, 0.75 * rival, 1.0).beyond_rival == pytest.approx(1.0)


def test_the_rival_that_counts_is_chosen_on_other_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The luckier of two on the pairs that are measured would pull the score below 0."""
    splits: Iterator[dict[str, float]] = iter(
        [{"raw-items": 0.2, "random-subspace": 0.1}, {"raw-items": 0.15, "random-subspace": 0.3}]
    )

    def told(*_: Any) -> dict[str, torch.Tensor]:
        return {name: torch.tensor([mean]) for name, mean in next(splits).items()}

    monkeypatch.setattr(scaling_state_cells, "rival_scores", told)
    net = Subject("untrained", untrained(LADDERS["knapsack-fixed-steps"][0], 0))
    assert carried(net, setting(100), 50).rival == pytest.approx(0.15)


def test_nets_are_measured_as_before_and_exchanged_in_cells_of_their_own() -> None:
    name = "knapsack-fixed-steps"
    plain, state = (STUDY.plan(prediction(text.replace("SUBJECT", name))) for text in (PLAIN, SPEC))
    (before,), (after,) = plain.subjects[0].inputs, state.subjects[0].inputs
    count = len(before.inputs)
    assert [net.key for net in after.inputs[:count]] == [net.key for net in before.inputs]
    assert before.key != after.key and {c.kind for c in after.inputs[count:]} == {"ladder-state"}
    assert [c.inputs for c in after.inputs[count:]] == [c.inputs for c in before.inputs]


def test_what_is_exchanged_is_part_of_a_spec_only_where_it_is_followed() -> None:
    plain, state, alike = (
        prediction(t.replace("SUBJECT", "planted-smooth")) for t in (PLAIN, SPEC, ALIKE)
    )
    assert "state" not in plain.experiment.model_dump()
    assert alike.experiment.model_dump()["state"]["algorithm"] == "prefix-dp"
    assert spec_sha(alike) != spec_sha(state)
    with pytest.raises(SpecErrors, match="exchanged only where 'interchange' is followed"):
        prediction(SPEC.replace("[interchange]", "[accuracy]"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("states: [3]", "states: [3], algorithm: dp", "no algorithm is called 'dp'"),
        ("states: [3]", "states: [5]", "has no state 5"),
        ("single-item", "greedy-ration", "no rival is called 'greedy-ration'"),
        ("single-item", "raw-items", "no rival is called 'raw-items'"),
    ],
)
def test_a_state_that_no_net_could_have_is_refused(old: str, new: str, said: str) -> None:
    text = SPEC.replace(old, new.replace(", ", "\n    ")).replace("SUBJECT", "knapsack-fixed-steps")
    with pytest.raises(SubjectError, match=said) as refused:
        STUDY.plan(prediction(text))
    assert refused.value.at == ("experiment", "state")


def test_a_table_holds_every_net_at_its_place() -> None:
    def told(value: int) -> tuple[Result, Result]:
        net = {"measures": {"accuracy": value / 10}, "right": [1.0], "weights_sha": "a"}
        state = {"measures": {"interchange": value / 100}, "weights_sha": "a"}
        exchanged = [
            {"accuracy": value / 100, "rival": 0.1, "ceiling": each} for each in (0.2, 0.4)
        ]
        return (
            Result("n", net | {"parameters": 10 ** (value // 3)}, Path()),
            Result("s", state | {"exchanged": exchanged}, Path()),
        )

    nets, states = zip(*(told(value) for value in range(18)), strict=True)
    found = scaling_state_cells.gather({"seeds": 3}, (*nets, *states), Path())
    table = found["detail"]["ladder"]["measures"]
    assert table["accuracy"][1] == [0.3, 0.4, 0.5]
    assert table["interchange"][1] == [0.03, 0.04, 0.05]
    assert found["detail"]["interchange"]["accuracy"][5] == [0.15, 0.16, 0.17]
    assert found["detail"]["interchange"]["ceiling"][0] == pytest.approx([0.3] * 3)
    assert found["budget"] == 18


def test_compiled_nets_make_a_ladder_that_jumps_in_what_rows_drive() -> None:
    """Each net is hidden behind a rotation of its own, or one rung would be all."""
    (cell,) = STUDY.plan(prediction(SPEC.replace("SUBJECT", "compiled-rows"))).subjects[0].inputs
    assert {each.kind for each in cell.inputs} == {"ladder-state"} and len(cell.inputs) == 24
    programs = [each.params["subject"]["name"] for each in cell.inputs]
    assert programs == ["brute-force"] * 12 + ["prefix-dp"] * 12
    assert sorted(each.params["subject"]["seed"] for each in cell.inputs) == list(range(24))
    exchanged = [{"accuracy": 0.6, "rival": 0.5, "ceiling": 1.0}] * 3
    results = [
        Result(str(place), {"measures": {"interchange": score}, "weights_sha": "a"}, Path())
        for place, score in enumerate([0.0, 0.001, -0.001] * 4 + [1.0, 0.999, 0.99] * 4)
    ]
    for each in results:
        each.payload["exchanged"] = exchanged
    found = scaling_state_cells.gather_states(cell.params, tuple(results), Path())
    ladder = found["detail"]["ladder"]
    steps = np.diff(ladder["decades"])
    assert found["budget"] == 24 and steps == pytest.approx(0.286, abs=1e-3)
    assert ladder["measures"]["interchange"][4] == [1.0, 0.999, 0.99]
    assert found["detail"]["interchange"]["accuracy"] == [[0.6] * 3] * 8
    jump = Ladder(np.array(ladder["decades"]), np.array(ladder["measures"]["interchange"]))
    assert read_growth(jump, 0.29, 0.05).window.lower > 0.8


@pytest.mark.parametrize(
    ("blind", "reason"), [(False, Reason.NOT_COMPETENT), (True, Reason.CONTROL_MISSED)]
)
def test_swaps_that_find_nothing_anywhere_miss_their_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blind: bool, reason: Reason
) -> None:
    """Or nothing would be said to grow by whatever could not have seen it."""

    def named(params: dict[str, Any], *_: Any) -> SimpleNamespace:
        return SimpleNamespace(label=params["name"], weights_sha=str(params["seed"]))

    def told(net: SimpleNamespace, *_: Any) -> Carried:
        return Carried(1.0 if net.label == "prefix-dp" and not blind else 0.5, 0.5, 1.0)

    monkeypatch.setattr(scaling_state_cells, "load", named)  # compiling 24 nets takes a minute
    monkeypatch.setattr(scaling_state_cells, "carried", told)
    controls = '{ref: "ladder:planted-step"}, {ref: "ladder:compiled-rows"}'
    text = SPEC.replace('{ref: "ladder:planted-step"}', controls)
    evidence, verdict = run(prediction(text.replace("SUBJECT", "planted-smooth")), tmp_path)
    assert [control.ok for control in verdict.controls] == [True, not blind, True]
    assert evidence.must_detect[1].withheld is (Reason.NO_GROWTH if blind else None)
    # A planted subject holds no nets that could be able at anything.
    assert verdict.reason is reason


@pytest.mark.parametrize("measures", ["[accuracy]", "[interchange, accuracy]"])
def test_of_compiled_nets_nothing_else_is_known(measures: str) -> None:
    text = SPEC.replace("SUBJECT", "compiled-rows").replace("[interchange]", measures)
    if "interchange" not in measures:
        text = PLAIN.replace("SUBJECT", "compiled-rows")
    with pytest.raises(SubjectError, match="known by 'interchange' alone"):
        STUDY.plan(prediction(text))
    with pytest.raises(SubjectError, match="3 nets of each size, and no seeds"):
        ladder_handles(SubjectSpec(ref="ladder:compiled-rows", seeds=2))


def test_saved_nets_are_exchanged_along_their_ladder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From ``--mesa-model`` to the verdict: the same nets at every step, so nothing can grow."""
    monkeypatch.setattr(scaling_cells, "ANSWERED", 200)
    for name in ("FIT", "CHOOSE", "MEASURE"):
        monkeypatch.setattr(scaling_cells, name, 100)
    shape, sizes = LADDERS["knapsack-fixed-steps"][1], {}
    for step in (1, 3, 10, 30, 100, 300):
        for seed in range(3):
            folder = tmp_path / "nets" / f"{step}-{seed}"
            untrained(shape, seed).model.save_pretrained(folder)
            sizes[folder.name] = step
    (tmp_path / "nets" / "ladder.json").write_text(json.dumps({"axis": "steps", "sizes": sizes}))
    spec = prediction(SPEC.replace('{ref: "ladder:SUBJECT"}', "{released: true}"))
    evidence, verdict = run(spec, tmp_path / "store", f"ladder:{tmp_path / 'nets'}")
    (subject,) = evidence.subjects
    rows = subject.detail["ladder"]["measures"]["interchange"]
    assert np.shape(rows) == (6, 3) and np.ptp(rows, axis=0) == pytest.approx(0, abs=1e-9)
    change = subject.detail["growth"]["interchange"]["change"]
    assert change["estimate"] == 0 and change["bounds"][0] == -change["bounds"][1]
    assert all(control.ok for control in verdict.controls)
    assert subject.withheld is Reason.NO_GROWTH


def test_a_frozen_ladder_names_each_net_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = prediction(SPEC.replace("SUBJECT", "knapsack-fixed-steps"))
    (cell,) = gathered(spec)
    kept: list[Any] = []
    monkeypatch.setattr(Store, "get", lambda *_: True)
    monkeypatch.setattr(Store, "freeze", lambda *told: kept.append(told[-1]) or tmp_path)
    freeze(spec, Store(tmp_path), tmp_path)
    assert len(kept[0]["nets"]) == 40 == len(cell.inputs) / 2
