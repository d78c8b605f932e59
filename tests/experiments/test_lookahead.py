"""Look-ahead is read where it was planted, in the way it was planted, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_mesa.experiments import (
    lookahead_cells,
    lookahead_operation,
    lookahead_probe,
    lookahead_profile,
    lookahead_readers,
    lookahead_sites,
    lookahead_static,
)
from pytest_mesa.experiments.lookahead import STUDY
from pytest_mesa.experiments.lookahead_cells import Profile, centre, lag_wins, share_beaten
from pytest_mesa.experiments.lookahead_readers import BoardReader
from pytest_mesa.registry.kinds_lookahead import LookAhead
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Result
from pytest_mesa.subjects.bundled import installed, locate
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.lc0.altered import planted, untrained
from pytest_mesa.subjects.lc0.load import Lc0Subject, load_net
from pytest_mesa.subjects.lc0.stream import Lc0Stream

torch.set_num_threads(1)
needs_maia = pytest.mark.skipif(not installed("maia-1900"), reason="the extra models")
KINDS = ["mate-2", "mate-3", "mate-4", "other"]
Read = Callable[..., dict[str, float]]

numbers = st.floats(0, 4, width=16)


@given(st.lists(numbers, min_size=1, max_size=8), numbers)
def test_a_share_and_its_reverse_make_one(others: list[float], own: float) -> None:
    beaten = share_beaten(np.array(own), np.array(others))
    reverse = share_beaten(-np.array(own), -np.array(others))
    assert float(beaten + reverse) == pytest.approx(1.0)


@given(st.lists(numbers, min_size=2, max_size=7), st.floats(0.5, 8))
def test_a_centre_lies_among_the_layers_and_has_no_scale(
    effects: list[float], factor: float
) -> None:
    place = float(centre(np.array(effects)))
    assert 0 <= place <= len(effects) - 1
    assert float(centre(factor * np.array(effects))) == pytest.approx(place, abs=1e-6)


def test_a_later_effect_lags_and_an_equal_one_does_not() -> None:
    early, late, middle = [0.0, 2, 2, 0, 0, 0], [0.0, 0, 0, 0, 2, 2], [1.0] * 6
    matched = [middle, [1.0, 1, 1, 1, 1, 2]]

    def row(third: list[float], fifth: list[float]) -> dict[str, Any]:
        return {"runs": [{"effects": {"3": [third, *matched], "5": [fifth, *matched]}}]}

    assert lag_wins(row(early, late)) == 1.0
    assert lag_wins(row(late, early)) == 0.0
    assert lag_wins(row(middle, middle)) == pytest.approx(0.5)


def test_the_rows_that_choose_are_not_measured() -> None:
    rows = [{"fen": str(number)} for number in range(30)]
    profile = Profile.of({"layers": [1], "rows": {"s": rows}}, choose=8)
    assert [row["fen"] for row in profile.choose["s"]] == [str(n) for n in range(8)]
    assert [row["fen"] for row in profile.measure["s"]] == [str(n) for n in range(8, 30)]
    assert len(Profile.of({"layers": [1], "rows": {"s": rows}}, choose=99).measure["s"]) == 20


def net(kind: str) -> Lc0Subject:
    bare = load_net(locate("maia-1900")[0])
    twin, _, plant = kind.rpartition(" ")
    subject = untrained(bare, 0) if twin else bare
    return planted(subject, plant, 1.0, 0) if plant != "bare" else subject


@pytest.fixture(scope="module")
def read() -> Read:
    """Means of all strata on a few frozen positions."""
    kept: dict[tuple[str, str], dict[str, float]] = {}

    def means(kind: str, question: str = "search") -> dict[str, float]:
        if (kind, question) not in kept:
            kept[kind, question] = measured(kind, question)
        return kept[kind, question]

    return means


def measured(kind: str, question: str) -> dict[str, float]:
    subject = net(kind)
    deep = question == "search"
    params = {
        "subject": {},
        "strata": {"lines": KINDS},
        "counts": {"lines": 45 if deep else 60},
        "matched": 4,
        "seed": 5,
        "plies": [3, 5] if deep else [3],
        "paired": False,
        "choose": 12,
        "ply": "3",
        "alpha": 0.05,
        "rank": 4,
        "floors": 5,
    }
    chosen = Result("", lookahead_sites.choose(params, (), Path()), Path())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookahead_readers, "load", lambda *_args: subject)
        profile = Result("", lookahead_profile.profile(params, (chosen,), Path()), Path())
        part = getattr(lookahead_cells, question)(params, (profile,), Path())
        strata = list(part["strata"])
        if deep:
            inputs = (chosen, profile)
            strata += lookahead_operation.operation(params, inputs, Path())["strata"]
    return {each["name"]: float(np.mean(each["scores"])) for each in strata}


@needs_maia
@pytest.mark.parametrize("host", ["", "untrained"])
def test_a_planted_search_shows_in_all_four_ways(read: Read, host: str) -> None:
    found = read(f"{host} tree")
    assert set(found) == {"third-ply", "fifth-ply", "later-layers", "same-operation"}
    assert min(found.values()) >= 0.75


@needs_maia
def test_look_ahead_all_at_once_is_no_search_by_its_order_alone(read: Read) -> None:
    found = read("untrained look-ahead")
    assert min(found["third-ply"], found["fifth-ply"], found["same-operation"]) >= 0.9
    assert found["later-layers"] <= 0.65


@needs_maia
def test_another_vector_is_no_search_by_its_operation_alone(read: Read) -> None:
    found = read("untrained unlike")
    assert min(found["third-ply"], found["fifth-ply"], found["later-layers"]) >= 0.75
    assert found["same-operation"] <= 0.65


@needs_maia
def test_aspects_are_seen_at_the_squares_they_were_planted_at(read: Read) -> None:
    assert read("untrained look-ahead", "aspects")["lines"] >= 0.95
    assert read("untrained elsewhere", "aspects")["lines"] <= 0.35
    assert 0.35 <= read("untrained bare", "aspects")["lines"] <= 0.65


@needs_maia
def test_an_instrument_that_patches_nothing_in_misses_the_control(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = BoardReader.batches

    def broken(reader: BoardReader, sites: Any) -> Any:
        for batch in whole(reader, sites):
            yield replace(batch, corrupted=batch.clean)

    monkeypatch.setattr(BoardReader, "batches", broken)
    found = measured("untrained tree", "aspects")
    assert found["lines"] == pytest.approx(0.5, abs=0.1)


@needs_maia
def test_an_instrument_that_patches_the_wrong_layer_misses_the_control(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = Lc0Stream.capture

    def stale(self: Lc0Stream, planes: torch.Tensor) -> torch.Tensor:
        streams = whole(self, planes)
        return streams[:1].expand_as(streams)

    monkeypatch.setattr(Lc0Subject, "stream", property(lambda self: Lc0Stream(self.module)))
    monkeypatch.setattr(Lc0Stream, "capture", stale)
    assert measured("untrained elsewhere", "aspects")["lines"] > 0.4


def spec(question: str = "aspects", **changes: Any) -> Prediction:
    aspects = question == "aspects"
    rule = {
        "estimand": "future-square-superiority" if aspects else "search-likeness",
        "predicted": {"above": 0.6} if aspects else {"below": 0.5},
        "refuted": {"below": 0.5} if aspects else {"above": 0.6},
    }
    maia = {"ref": "bundled:maia-1900"}
    body: dict[str, Any] = {
        "prediction": "sees-ahead",
        "title": "t",
        "claim": "c",
        "subjects": [maia],
        "competence": {"metric": "sound-move-rate", "at_least": 0.8},
        "experiment": {},
        "controls": {
            "must_detect": [{**maia, "untrained": True}],
            "must_not_detect": [{**maia, "options": {"plant": "tree"}}],
        },
        "verdict": rule | changes.pop("verdict", {}),
    }
    made = Prediction.model_validate(body | changes)
    kind = LookAhead(kind="look-ahead", question=question)
    return made.model_copy(update={"experiment": kind})


@needs_maia
@pytest.mark.parametrize("question", ["aspects", "search"])
def test_subjects_get_competence_and_a_limit_and_controls_the_same_reading(question: str) -> None:
    plan = STUDY.plan(spec(question))
    (subject,), (control,) = plan.subjects, plan.must_detect
    kinds = [part.kind for part in subject.inputs]
    assert kinds[0] == "board-competence"
    last = {"aspects": ["look-ahead-limit", "look-ahead-probe", "look-ahead-static"]}
    tail = last.get(question, ["look-ahead-limit"])
    assert kinds[-len(tail) :] == tail
    assert [part.kind for part in control.inputs] == kinds[1 : -len(tail)]
    assert len({cell.key for cell in plan.cells}) == 3


@needs_maia
@pytest.mark.parametrize(
    ("question", "rule", "says"),
    [
        ("aspects", {"estimand": "search-likeness"}, "measures 'future-square-superiority'"),
        (
            "search",
            {"predicted": {"above": 0.6}, "refuted": {"below": 0.5}},
            "predicts 'below' a number",
        ),
    ],
)
def test_a_rule_that_is_not_the_questions_is_refused(
    question: str, rule: dict[str, Any], says: str
) -> None:
    with pytest.raises(SubjectError, match=says):
        STUDY.plan(spec(question, verdict=rule))


@needs_maia
def test_a_refutation_is_withheld_where_one_distance_to_mate_shows_an_effect() -> None:
    prediction = spec()
    plan = STUDY.plan(prediction)

    def results(bounds: list[float]) -> dict[Any, Result]:
        payload = {
            "label": "x",
            "combine": "greatest",
            "strata": [{"name": "lines", "scores": [0.4] * 50, "low": 0.0, "high": 1.0}],
            "rivals": [],
            "competence": [1.0],
            "detail": {"look_ahead": {"kinds": {"mate-3": {"bounds": bounds}}}},
        }
        return {cell: Result("", payload, Path()) for cell in plan.cells}

    assert STUDY.read(prediction, plan, results([0.3, 0.9])).subjects[0].withheld is None
    shown = STUDY.read(prediction, plan, results([0.7, 0.9])).subjects[0].withheld
    assert shown is not None
    assert shown.value == "strata-disagree"


@needs_maia
@pytest.mark.parametrize(("lower", "withheld"), [(0.05, None), (-0.05, "baseline-explains")])
def test_upholding_takes_that_the_static_rival_is_beaten(
    lower: float, withheld: str | None
) -> None:
    prediction = spec()
    plan = STUDY.plan(prediction)
    payload = {
        "label": "x",
        "combine": "greatest",
        "strata": [{"name": "lines", "scores": [0.9] * 50, "low": 0.0, "high": 1.0}],
        "rivals": [],
        "competence": [1.0],
        "detail": {
            "look_ahead": {"kinds": {"other": {"bounds": [0.8, 1.0]}}},
            "static_rival": {"bounds": [lower, 0.5]},
        },
    }
    found = STUDY.read(prediction, plan, {c: Result("", payload, Path()) for c in plan.cells})
    assert found.subjects[0].withheld == withheld


def squares(count: int) -> list[tuple[Any, ...]]:
    params = ({"lines": KINDS}, {"lines": count}, 4, 5, [3])
    return lookahead_sites.measured_sites(*params)["lines"]


@pytest.mark.parametrize("paired", [False, True])
def test_players_are_read_at_the_first_positions_of_those_that_were_chosen(paired: bool) -> None:
    params = {
        "strata": {"deep": ["mate-3", "mate-4"], "other": ["other"]},
        "counts": {"deep": 9, "other": 7},
        "matched": 6,
        "seed": 3,
        "plies": [3, 5],
        "paired": paired,
    }
    chosen = Result("", lookahead_sites.choose(params, (), Path()), Path())
    json.dumps(chosen.payload)
    asked = params | {"counts": {"deep": 9, "other": 4}, "matched": 2}
    told = (asked[name] for name in ("strata", "counts", "matched", "seed", "plies"))
    direct = lookahead_sites.measured_sites(*told, paired=paired)
    assert lookahead_sites.chosen_sites(asked, chosen) == direct
    assert [len(part) for part in direct.values()] == [9, 4]


@needs_maia
def test_a_plant_in_a_share_of_positions_is_the_plain_net_in_the_others() -> None:
    params: dict[str, Any] = {
        "subject": {},
        "strata": {"lines": KINDS},
        "counts": {"lines": 24},
        "matched": 3,
        "seed": 5,
        "plies": [3],
        "paired": False,
    }
    chosen = Result("", lookahead_sites.choose(params, (), Path()), Path())
    twin = untrained(load_net(locate("maia-1900")[0]), 0)

    def read(subject: Lc0Subject) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lookahead_readers, "load", lambda *_args: subject)
            return Result("", lookahead_profile.profile(params, (chosen,), Path()), Path())

    strongest = read(planted(twin, "elsewhere", 0.9, 0))
    plant = {"strength": 0.5, "plant_seed": 0}
    mixed = lookahead_profile.mixed(plant, (read(twin), strongest), Path())
    straight = read(planted(twin, "elsewhere", 0.5, 0)).payload
    pairs = list(zip(mixed["rows"]["lines"], straight["rows"]["lines"], strict=True))
    for got, want in pairs:
        assert got["fen"] == want["fen"]
        effects = [[run["effects"]["3"] for run in row["runs"]] for row in (got, want)]
        assert np.allclose(*(np.concatenate(each) for each in effects), atol=1e-5)
    planted_rows = strongest.payload["rows"]["lines"]
    assert 0 < sum(g == p for (g, _), p in zip(pairs, planted_rows, strict=True)) < len(pairs)


def test_a_static_effect_is_explained_by_the_static_rival_and_a_planted_one_is_not() -> None:
    sites = squares(70)
    rng = np.random.default_rng(0)
    static, ahead = [], []
    for together in sites:
        runs: list[list[float]] = []
        for each in together:
            worth = lookahead_static.seen(each)[:, 12].numpy()  # of the piece that stands there
            runs.append(list(np.exp(worth + 0.01 * rng.random(len(worth)))))
        static.append({"runs": [{"effects": {"3": [[e] for e in run]}} for run in runs]})
        flat = [[[9.0], *([float(e)] for e in rng.random(len(run) - 1))] for run in runs]
        ahead.append({"runs": [{"effects": {"3": run}} for run in flat]})
    for rows, least, most in ((static, -0.15, 0.05), (ahead, 0.3, 0.8)):
        rival = lookahead_static.predicted(rows, sites)
        own = [lookahead_cells.overall(row, "3") for row in rows]
        assert least <= float(np.mean(own)) - float(np.mean(rival)) <= most


def test_the_probe_reads_what_is_written_at_the_square_and_nothing_from_noise() -> None:
    sites = [each[0] for each in squares(90)]
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, len(sites), 64, 6, generator=generator)
    written = noise.clone()
    for row, each in enumerate(sites):
        written[1, row, lookahead_operation.required(each, 3).square, 0] += 6.0
    index = {id(each): row for row, each in enumerate(sites)}

    def held(whole: torch.Tensor) -> Any:
        return lambda given: whole[:, [index[id(each)] for each in given]]

    parts = sites[:45], sites[45:60], sites[60:]
    layer, scores = lookahead_probe.fitted(held(written), *parts)
    assert layer == 1
    assert float(np.mean(scores)) >= 0.95
    _, scores = lookahead_probe.fitted(held(noise), *parts)
    assert 0.2 <= float(np.mean(scores)) <= 0.8


@pytest.mark.parametrize(("pick", "found"), [("least", 0.6), ("greatest", 0.3)])
def test_the_limit_is_the_smallest_strength_that_is_seen(pick: str, found: float) -> None:
    def part(*means: float) -> Result:
        strata = [
            {"name": str(place), "scores": [mean] * 200, "low": 0.0, "high": 1.0}
            for place, mean in enumerate(means)
        ]
        return Result("", {"strata": strata}, Path())

    inputs = (part(0.5, 0.95), part(0.95, 0.95), part(1.0, 1.0))
    params = {"strengths": [0.3, 0.6, 0.9], "alpha": 0.05, "edge": 0.7, "pick": pick}
    body = lookahead_cells.limit(params, inputs, Path())
    assert body["detection_limit"] == found
    params["edge"] = 1.0
    assert lookahead_cells.limit(params, inputs, Path())["detection_limit"] is None


@needs_maia
def test_a_trained_net_plays_sound_moves_and_a_shuffled_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def able(kind: str) -> dict[str, Any]:
        monkeypatch.setattr(lookahead_cells, "load", lambda *_args: net(kind))
        params = {"subject": {}, "seed": 5, "count": 100}
        body: dict[str, Any] = lookahead_cells.competence(params, (), Path())
        return body

    trained, shuffled = able("bare"), able("untrained bare")
    assert float(np.mean(trained["competence"])) >= 0.8
    assert (
        float(np.mean(shuffled["competence"])) <= trained["detail"]["play"]["any_legal"] + 0.2 < 0.8
    )
