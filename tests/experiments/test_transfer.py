"""Power is kept where one code serves all settings, lost where each has its own, and counted so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pytest_mesa.experiments import transfer, transfer_cells
from pytest_mesa.experiments.transfer_cells import ranked, within_kinds
from pytest_mesa.experiments.transfer_reader import Reader, Squares, plants
from pytest_mesa.experiments.transfer_scores import LEAST, MOST, interval, kept, ratio, surely
from pytest_mesa.experiments.transfer_steering import Steering
from pytest_mesa.registry.kinds_transfer import Transfer
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Result
from pytest_mesa.subjects.bundled import installed, locate
from pytest_mesa.subjects.errors import SubjectError, UnsuitedError
from pytest_mesa.subjects.lc0.altered import untrained
from pytest_mesa.subjects.lc0.load import Lc0Subject, load_net
from pytest_mesa.tasks.games.exchanges import Marked
from pytest_mesa.verdicts.decision import decide
from pytest_mesa.verdicts.evidence import Evidence
from pytest_mesa.verdicts.reasons import Outcome, Reason

torch.set_num_threads(1)
needs_maia = pytest.mark.skipif(not installed("maia-1900"), reason="the extra models")
SIZES = {"fit": 120, "choose": 24, "measure": 120}


def scores(mean: float, n: int, rng: np.random.Generator) -> list[float]:
    return rng.binomial(4, mean, size=n).astype(float).__truediv__(4).tolist()


def test_bounds_of_a_ratio_hold_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(60):
        bounds = kept(scores(0.9, 60, rng), scores(0.7, 60, rng), 0.1)
        missed += not bounds.lower <= 0.5 <= bounds.upper
    assert missed <= 6  # one in ten at most; betting bounds miss less


def test_bounds_narrow_around_the_ratio() -> None:
    rng = np.random.default_rng(1)
    home, away = scores(0.9, 2000, rng), scores(0.6, 2000, rng)
    bounds = kept(home, away, 0.05)
    assert 0.1 < bounds.lower < 0.25 < bounds.upper < 0.4
    assert ratio(home, away, bounds) == pytest.approx(0.25, abs=0.05)


def test_without_power_at_home_nothing_is_known() -> None:
    rng = np.random.default_rng(2)
    bounds = kept(scores(0.5, 200, rng), scores(0.5, 200, rng), 0.05)
    assert (bounds.lower, bounds.upper) == (LEAST, MOST)
    assert kept([], [], 0.05) == bounds
    assert surely(scores(0.5, 200, rng), 0.05) < 0.05 < surely([0.9] * 50, 0.05)


def table(decode: tuple[float, float], steer: tuple[float, float]) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    rows = {
        way: {
            "b": {"layer": 1, "scores": scores(home, 400, rng)},
            "a": {"layer": 1, "scores": scores(away, 400, rng)},
        }
        for way, (home, away) in (("decode", decode), ("steer", steer))
    }
    return {"b": rows}


def test_the_lesser_of_probe_and_direction_counts() -> None:
    both, _ = interval(table((0.9, 0.9), (0.9, 0.9)), "a", "b", 0.1, 0.01)
    assert both.lower > 0.7
    probe_alone, _ = interval(table((0.9, 0.9), (0.9, 0.5)), "a", "b", 0.1, 0.01)
    assert probe_alone.upper < 0.3
    direction_alone, _ = interval(table((0.9, 0.5), (0.9, 0.9)), "a", "b", 0.1, 0.01)
    assert direction_alone.upper < 0.3


def test_a_direction_that_does_nothing_at_home_is_left_out_and_a_probe_is_not() -> None:
    silent, told = interval(table((0.9, 0.9), (0.5, 0.5)), "a", "b", 0.1, 0.01)
    assert silent.lower > 0.7
    assert "kept" not in told["steer"]
    weak, _ = interval(table((0.5, 0.5), (0.9, 0.5)), "a", "b", 0.1, 0.01)
    assert (weak.lower, weak.upper < 0.3) == (LEAST, True)
    none, _ = interval(table((0.5, 0.5), (0.5, 0.5)), "a", "b", 0.1, 0.01)
    assert (none.lower, none.upper) == (LEAST, MOST)


def test_only_pieces_of_a_kind_are_compared() -> None:
    squares = Squares(
        position=np.array([0, 0, 1, 5]),
        square=np.array([1, 2, 3, 4]),
        kind=np.array([1, 2, 1, 1]),
        winnable=np.array([1, 0, 0, 0]),
    )
    lost = ranked(squares, np.array([[0.0, -9.0, 1.0, -9.0]]))
    won = ranked(squares, np.array([[2.0, 9.0, 1.0, 9.0]]))
    assert lost.tolist() == [[0.0]]  # the other kind and the other unit don't count
    assert won.tolist() == [[1.0]]
    rows, labels = within_kinds(
        torch.tensor([[1.0], [7.0], [3.0], [5.0]]), squares.kind, squares.winnable
    )
    assert rows[:, 0].tolist() == [-2.0, 0.0, 2.0]  # kind 2 has one mark alone
    assert labels.tolist() == pytest.approx([2 / 3, -1 / 3, -1 / 3])


def payload(name: str, seed: int = 11) -> Result:
    params = {"setting": name, "seed": seed, "count": sum(SIZES.values())}
    return Result("", transfer_cells.positions(params, (), Path()), Path())


@pytest.fixture(scope="module")
def sets() -> tuple[Result, ...]:
    return payload("early"), payload("random")


@pytest.fixture(scope="module")
def maia() -> Lc0Subject:
    return load_net(locate("maia-1900")[0])


@pytest.fixture(scope="module")
def twin() -> Lc0Subject:
    return untrained(load_net(locate("maia-1900")[0]), 0)


def measured(
    subject: Lc0Subject, sets: tuple[Result, ...], told: dict[str, Any], patch: pytest.MonkeyPatch
) -> dict[str, Any]:
    patch.setattr(transfer_cells, "load", lambda *_: subject)
    params = {
        "subject": told,
        "settings": ["early", "random"],
        "pairs": [["early", "random"]],
        "sizes": SIZES,
        "steered": 24,
        "floors": 3,
        "seed": 5,
    }
    found: dict[str, Any] = transfer_cells.profile(params, sets, Path())["detail"]["scores"]
    return found


def mean(found: dict[str, Any], way: str, source: str, target: str) -> float:
    return float(np.mean(found[target][way][source]["scores"]))


@needs_maia
@pytest.mark.parametrize("code", ["shared-code", "codes-opposed"])
def test_a_planted_code_is_read_and_steered_by_as_it_was_planted(
    code: str, twin: Lc0Subject, sets: tuple[Result, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"code": code, "strength": 4.0, "code_seed": 0}
    found = measured(twin, sets, told, monkeypatch)
    for source, target in (("early", "random"), ("random", "early")):
        assert mean(found, "decode", target, target) > 0.75
        assert mean(found, "steer", target, target) > 0.85
        if code == "shared-code":
            assert mean(found, "decode", source, target) > 0.75
            assert mean(found, "steer", source, target) > 0.8
        else:
            assert mean(found, "decode", source, target) < 0.7
            assert mean(found, "steer", source, target) < 0.8


@needs_maia
def test_an_untrained_net_has_next_to_nothing_and_a_trained_one_something(
    twin: Lc0Subject,
    maia: Lc0Subject,
    sets: tuple[Result, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = measured(twin, sets, {}, monkeypatch)
    trained = measured(maia, sets, {}, monkeypatch)
    assert mean(trained, "steer", "early", "early") > 0.9 > mean(plain, "steer", "early", "early")
    assert mean(trained, "decode", "early", "early") > mean(plain, "decode", "early", "early")


def told(sets: tuple[Result, ...], count: int) -> list[Marked]:
    return [
        Marked(row["fen"], tuple(row["squares"]), tuple(row["kinds"]), tuple(row["winnable"]))
        for row in sets[0].payload["positions"][:count]
    ]


@needs_maia
def test_directions_steered_together_and_positions_picked_out_are_as_if_alone(
    maia: Lc0Subject, sets: tuple[Result, ...]
) -> None:
    planted = plants({"code": "shared-code", "strength": 2.0, "code_seed": 0}, maia, ["early"])
    reader = Reader(maia, told(sets, 12), planted["early"])
    chosen = reader.open_to_choice()
    assert len(chosen) > 3
    picked = reader.captured(np.array([1, 4, 9]))
    torch.testing.assert_close(picked, reader.captured(np.arange(12))[:, [1, 4, 9]])
    entered = reader.captured(np.arange(12))[reader.middle]
    marked = torch.zeros(12, 64, dtype=torch.bool)
    marked[reader.squares.position, reader.squares.square] = True
    plain = maia.stream.capture(maia.planes(reader.boards))[reader.middle]
    assert ((entered - plain).abs().sum(-1) > 0).equal(marked)
    added = torch.randn(3, maia.module.width, generator=torch.Generator().manual_seed(0))
    together = Steering(reader, chosen).log_odds(2, added)
    for place, each in enumerate(chosen):
        for variant in range(len(added)):
            (alone,) = Steering(reader, np.array([each])).log_odds(2, added[variant : variant + 1])
            torch.testing.assert_close(together[variant, place], alone[0], rtol=1e-4, atol=1e-4)


@needs_maia
def test_nothing_added_changes_nothing_and_a_run_from_the_middle_is_the_run(
    maia: Lc0Subject, sets: tuple[Result, ...]
) -> None:
    reader = Reader(maia, told(sets, 12))
    chosen = reader.open_to_choice()
    zero = torch.zeros(1, maia.module.width)
    steering = Steering(reader, chosen)
    plain = [steering.log_odds(layer, zero)[0] for layer in (1, maia.stream.layers)]
    torch.testing.assert_close(plain[0], plain[1], rtol=1e-4, atol=1e-4)
    moves = maia.policy(reader.boards)
    for place, value in zip(chosen.tolist(), plain[0].tolist(), strict=True):
        board = reader.boards[int(reader.squares.position[place])]
        taken = sum(
            share
            for move, share in moves[int(reader.squares.position[place])].items()
            if maia.square(board, move.to_square) == reader.squares.square[place]
        )
        assert np.log(taken / (1 - taken)) == pytest.approx(value, abs=1e-3)
    assert plants({}, maia, ["early"]) == {"early": None}


def spec(**changes: Any) -> Prediction:
    body: dict[str, Any] = {
        "prediction": "p",
        "title": "t",
        "claim": "c",
        "subjects": [{"ref": "bundled:maia-1900"}, {"released": True}],
        "competence": {"metric": "sound-move-rate", "at_least": 0.8},
        "experiment": {},
        "controls": {
            "must_detect": [
                {"ref": "bundled:maia-1900", "options": {"plant": "shared-code", "strength": 2.0}}
            ],
            "must_not_detect": [{"ref": "bundled:maia-1900", "untrained": True}],
        },
        "verdict": {
            "estimand": "kept-power",
            "predicted": {"below": 0.4},
            "refuted": {"above": 0.6},
            "budget": 1000,
        },
    }
    made = Prediction.model_validate(body | changes)
    kind = Transfer(kind="transfer", pairs=(("early", "late"),))
    return made.model_copy(update={"experiment": kind})


@needs_maia
def test_a_plan_measures_subject_twin_and_limit_on_one_set_of_positions() -> None:
    plan = transfer.STUDY.plan(spec())
    assert [len(role) for role in (plan.subjects, plan.must_detect, plan.must_not_detect)] == [
        1
    ] * 3
    kinds = [part.kind for part in plan.subjects[0].inputs]
    assert kinds == ["board-competence", "transfer", "transfer-limit", "transfer-twin"]


def test_what_the_kind_cannot_measure_is_refused() -> None:
    rule = {"predicted": {"below": 0.4}, "refuted": {"above": 0.6}, "budget": 1000}
    with pytest.raises(SubjectError, match="measures 'kept-power', not 'accuracy'"):
        transfer.STUDY.plan(spec(verdict={**rule, "estimand": "accuracy"}))
    upside_down = {"estimand": "kept-power", "predicted": {"above": 0.6}, "refuted": {"below": 0.4}}
    with pytest.raises(SubjectError, match="refuted 'above'"):
        transfer.STUDY.plan(spec(verdict={**upside_down, "budget": 1000}))


@pytest.mark.skipif(not installed("smollm2-135m"), reason="the extra models")
@needs_maia
def test_a_language_model_is_no_subject_here_and_no_error() -> None:
    with pytest.raises(UnsuitedError, match="reads text, and the experiment 'transfer' asks in b"):
        transfer.STUDY.plan(spec(), "bundled:smollm2-135m")


def evidence(home: float, away: float, plain: float) -> Evidence:
    """What `read` makes of a subject with these means of probe and direction."""
    rng = np.random.default_rng(9)

    def rows(own: float, other: float) -> dict[str, Any]:
        return {
            target: {
                way: {
                    name: {"layer": 1, "scores": scores(own if name == target else other, 400, rng)}
                    for name in ("early", "late")
                }
                for way in ("decode", "steer")
            }
            | {"permuted": 0.5}
            for target in ("early", "late")
        }

    def payload(detail: dict[str, Any]) -> Any:
        return transfer._read(
            spec(), _measurement({"scores": detail} | extra), 0.05, subject=bool(extra)
        )

    extra: dict[str, Any] = {"twin": rows(plain, plain)}
    subject = payload(rows(home, away))
    extra = {}
    return Evidence((subject,), (payload(rows(0.95, 0.95)),), (payload(rows(0.95, 0.5)),))


def _measurement(detail: dict[str, Any]) -> Any:
    from pytest_mesa.verdicts.evidence import Measurement

    return Measurement("m", (), "greatest", competence=(1.0,) * 400, detail=detail)


@pytest.mark.parametrize(
    ("means", "outcome", "reason"),
    [
        ((0.95, 0.95, 0.5), Outcome.FAIL, None),
        ((0.95, 0.55, 0.5), Outcome.PASS, None),
        ((0.95, 0.95, 0.95), Outcome.INCONCLUSIVE, Reason.BASELINE_EXPLAINS),
        ((0.5, 0.5, 0.5), Outcome.INCONCLUSIVE, Reason.NOTHING_TO_TRANSFER),
    ],
)
def test_verdicts_follow_from_what_is_kept(
    means: tuple[float, float, float], outcome: Outcome, reason: Reason | None
) -> None:
    prediction = spec()
    verdict = decide(prediction.verdict, prediction.competence, evidence(*means))
    assert (verdict.outcome, verdict.reason) == (outcome, reason)


def test_the_limit_is_the_weakest_code_that_is_seen() -> None:
    faint, loud = table((0.9, 0.55), (0.9, 0.55)), table((0.9, 0.9), (0.9, 0.9))
    inputs = tuple(Result("", {"detail": {"scores": each}}, Path()) for each in (faint, loud, loud))
    params = {
        "strengths": [0.25, 0.5, 1.0],
        "edge": 0.6,
        "level": 0.05,
        "power": 0.1,
        "pairs": [["a", "b"]],
    }
    assert transfer.limit(params, inputs, Path())["detection_limit"] == 0.5
    assert (
        transfer.limit({**params, "strengths": [0.25]}, inputs[:1], Path())["detection_limit"]
        is None
    )
