"""The kind ``narrowing``: planted truth is read through whole plans, and misuse is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from study_runs import prediction

from pytest_mesa.experiments import narrowing_cells, narrowing_games, narrowing_parts
from pytest_mesa.experiments.narrowing import STUDY
from pytest_mesa.experiments.narrowing_texts import texts
from pytest_mesa.instruments.lens import Lens
from pytest_mesa.instruments.narrowing_plants import Plant
from pytest_mesa.registry.errors import SpecErrors
from pytest_mesa.runs.cells import Cell, Result
from pytest_mesa.subjects import load as loading
from pytest_mesa.subjects.bundled import installed, locate
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.games_decoder import GamesSubject, untrained
from pytest_mesa.subjects.games_recipes import TWO_GAMES
from pytest_mesa.subjects.handles import Handle
from pytest_mesa.subjects.lc0.altered import untrained as shuffled_chess_net
from pytest_mesa.subjects.lc0.load import load_net
from pytest_mesa.subjects.plants import NARROWING, unplanted

torch.set_num_threads(1)
needs_maia = pytest.mark.skipif(not installed("maia-1900"), reason="the extra models")

needs_smollm2 = pytest.mark.skipif(not installed("smollm2-135m"), reason="the extra models")

SPEC = """\
prediction: narrows
title: t
claim: c
subjects: [{recipe: two-game-decoder}]
competence: {metric: legal-rate, at_least: 0.8}
experiment: {kind: narrowing}
controls:
  must_detect: [{recipe: two-game-decoder, untrained: true}]
  must_not_detect:
    - {recipe: two-game-decoder, untrained: true, options: {plant: stage-by-stage}}
verdict:
  estimand: narrowing-by-depth
  predicted: {above: 0.25}
  refuted: {below: 0.15}
"""
PARAMS: dict[str, Any] = {
    "seed": 3,
    "own": 0,
    "stages": 6,
    "batch": 4,
    "games": ["chess"],
    "count": 40,
    "lens": {"rows": 40, "steps": 15},
}


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """A few positions of chess and Go."""
    params = {"seed": 3, "batch": 4, "fit": 40, "measure": 40, "plies": {"chess": 12, "go": 10}}
    found: dict[str, Any] = narrowing_games.positions(params, (), Path())
    return found


def decoder(seed: int) -> GamesSubject:
    return GamesSubject("untrained", untrained(TWO_GAMES, seed))


def read(subject: Any, told: Any, plant: str | None = None, **changes: Any) -> Result:
    """A reading cell's result."""
    params, plants = PARAMS | changes, [Plant(plant, 0.5, 0) if plant else None]
    found: dict[str, Any] = {}
    for each in narrowing_cells.asked_of(subject, params, told):
        found |= narrowing_cells._read(each, plants, params)[0]
    return Result("", {"read": found, "weights_sha": "x"}, Path())


def means(own: Result, *twins: Result, judged: str = "chess") -> dict[str, float]:
    body = narrowing_cells.scores({"judged": [judged]}, (own, *twins), Path())
    return {each["name"]: float(np.mean(each["scores"])) for each in body["strata"]}


@pytest.fixture(scope="module")
def planted(told: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Scores of an untrained decoder with each plant, and with none."""
    twin = read(decoder(1000), told)
    return {
        name: means(read(decoder(0), told, None if name == "bare" else name), twin)
        for name in ("bare", *NARROWING)
    }


def test_only_narrowing_stage_by_stage_is_far_up_in_both_measures(
    planted: dict[str, dict[str, float]],
) -> None:
    least = {name: min(found.values()) for name, found in planted.items()}
    assert least.pop("stage-by-stage") > 0.35
    assert max(least.values()) < 0.15


def test_the_other_plants_fail_in_the_measure_that_is_theirs(
    planted: dict[str, dict[str, float]],
) -> None:
    assert planted["at-once"]["chess-fall"] > 0.4
    assert planted["at-once"]["chess-by-stage"] < 0.15
    assert abs(planted["from-start"]["chess-fall"]) < 0.1
    assert abs(planted["any"]["chess-fall"]) < 0.1


def test_an_instrument_that_reads_one_depth_everywhere_misses_what_is_planted(
    told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Lens.by_layer

    def stuck(self: Lens, values: torch.Tensor, *rest: Any) -> Any:
        return whole(self, values[-1:].expand_as(values), *rest)

    monkeypatch.setattr(Lens, "by_layer", stuck)
    found = means(read(decoder(0), told, "stage-by-stage"), read(decoder(1000), told))
    assert min(found.values()) < 0.15


def test_positions_are_apart_and_what_is_legal_there_is_legal(told: dict[str, Any]) -> None:
    for game, body in told.items():
        for part in ("fit", "measure"):
            assert len(set(body[part]["games"])) == len(body[part]["games"])
        for number in range(3):
            before = narrowing_games.moves_before(game, "measure", body["measure"], number)
            assert [len(moves) for moves in before] == body["measure"]["plies"][number]
            starts = [len(moves) for moves in before]
            width = 2 if game == "chess" else 1
            assert body["measure"]["places"][number] == [width * ply for ply in starts]
            assert all(body["measure"]["legal"][number])


@needs_maia
def test_a_chess_net_cuts_refuted_moves_and_its_shuffled_twin_does_not() -> None:
    def net(seed: int | None) -> Any:
        bare = load_net(locate("maia-1900")[0])
        return bare if seed is None else shuffled_chess_net(bare, seed)

    twin = read(net(1000), None, count=80, batch=8)
    own = means(read(net(None), None, count=80, batch=8), twin, judged="refuted")
    assert min(own.values()) > 0.35
    other = means(read(net(0), None, count=80, batch=8), twin, judged="refuted")
    assert min(other.values()) < 0.15


class Words:
    """A language model's tokenizer and net, as far as it is asked here: a token a character."""

    label, padding = "letters", 0

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.table = torch.randn(256, 8, generator=generator)

    def encode(self, texts: Any) -> Any:
        rows = [[ord(letter) % 256 for letter in text] for text in texts]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        return ids, torch.arange(width) < lengths[:, None], lengths

    @property
    def stream(self) -> Any:
        table = self.table

        class Still:
            layers = 3

            def capture(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
                return table[ids].expand(4, -1, -1, -1)

        return Still()


def test_words_are_read_where_the_move_stands_and_options_are_moves_first_tokens(
    told: dict[str, Any],
) -> None:
    params = PARAMS | {"templates": {"chess": ["uci-position"]}, "fit": 3, "count": 2, "stages": 2}
    model = Words()
    (asked,) = texts(model, params, told)  # type: ignore[arg-type]
    assert {chr(token) for token in asked.options} <= set(" abcdefgh")
    (rows,) = list(asked.measured())
    assert rows.streams.shape == (3, 8, 8)
    assert asked.units == [0] * 4 + [1] * 4
    first = asked.to_measure[0]
    assert torch.equal(rows.streams[0, 0], model.table[first.context[-1]])
    legal = {chr(option[0]) for option in first.options}
    bad = rows.options["chess"].bad[0]
    said = {chr(token) for token, out in zip(asked.options, bad, strict=True) if not out}
    assert said == legal


def test_a_model_that_cannot_play_is_glanced_at_and_controls_made_of_it_are_not_read(
    told: dict[str, Any],
) -> None:
    able = Result("", {"competence": [0.0] * 50, "weights_sha": "w"}, Path())
    rule = {"metric": "legal-rate", "at_least": 0.8, "budget": 100}
    params = PARAMS | {
        "able": {"competence": rule, "alpha": 0.05},
        "glance": 0,
        "judged": ["chess"],
        "games": ["chess", "go"],
        "templates": {"chess": ["uci-position", "pgn-bare"], "go": ["sgf-full"]},
        "fit": 30,
    }
    given = (Result("", told, Path()), able)
    assert narrowing_cells.reading(params, given, Path())["read"] == {}
    few = narrowing_cells.glancing(params | {"glance": 2})
    assert (few["fit"], few["count"], few["games"]) == (2, 2, ["chess"])
    (asked,) = texts(Words(), few, told)  # type: ignore[arg-type]
    assert asked.units == [0] * 4 + [1] * 4


@needs_smollm2
def test_a_model_that_reads_text_is_held_to_controls_made_of_itself() -> None:
    text = SPEC.replace("[{recipe: two-game-decoder}]", "[{released: true}]")
    made = STUDY.plan(prediction(text), "bundled:smollm2-135m")
    ((able, scored),) = (cell.inputs for cell in made.subjects)
    assert [each["game"] for each in able.params["settings"]] == ["chess"]
    glances = [each.params["glance"] for each in scored.inputs]
    assert glances == [narrowing_parts.GLANCE] * 3
    own = [c for cells in (made.must_detect, made.must_not_detect) for c in cells[1:]]
    assert len(own) == 3
    for control in own:
        asked, _ = planted_in(control.inputs[0].inputs[0])
        assert (asked["glance"], asked["subject"]["shuffled"]) == (0, 0)


def plan(text: str = SPEC) -> Any:
    return STUDY.plan(prediction(text))


def planted_in(reading: Cell) -> tuple[dict[str, Any], Any]:
    """What is asked of a net that is read once for all plants, and the plant of one reading."""
    assert reading.kind == "narrowing-one-reading"
    (several,) = reading.inputs
    return dict(several.params), several.params["plants"][reading.params["place"]]


def test_subjects_get_competence_and_a_limit_and_twins_are_no_controls() -> None:
    made = plan()
    (subject,), (control,), (other,) = made.subjects, made.must_detect, made.must_not_detect
    kinds = ["games-competence", "narrowing-scores", "narrowing-limit"]
    assert [part.kind for part in subject.inputs] == kinds
    (scores,) = control.inputs
    own, *twins = scores.inputs
    asked, bare = planted_in(own)
    seeds = [each["subject"]["untrained"]["seed"] for each in (asked, *(t.params for t in twins))]
    assert (seeds, bare) == ([0, narrowing_parts.TWIN, narrowing_parts.TWIN + 1], None)
    (scores,) = other.inputs
    asked, plant = planted_in(scores.inputs[0])
    assert (plant["name"], plant["strength"]) == ("stage-by-stage", 0.5)
    assert "plant" not in asked["subject"]
    assert scores.inputs[1:] == tuple(twins)


def test_a_net_is_run_once_for_all_that_is_planted_in_it() -> None:
    made = plan()
    limit = made.subjects[0].inputs[-1]
    readings = [cell.inputs[0] for cell in limit.inputs]
    readings += [role[0].inputs[0].inputs[0] for role in (made.must_detect, made.must_not_detect)]
    plants = [planted_in(reading)[1] for reading in readings]
    strengths = prediction(SPEC).experiment.spike_in.strengths
    assert [plant and plant["strength"] for plant in plants] == [*strengths, None, 0.5]
    assert len({reading.inputs for reading in readings}) == 1


def test_plants_read_together_are_read_as_if_alone(told: dict[str, Any], tmp_path: Path) -> None:
    plants = [*({"name": name, "strength": 0.3, "seed": 1} for name in NARROWING), None]
    recipe = {"scheme": "recipe", "untrained": TWO_GAMES.params(0)}
    params, given = PARAMS | {"subject": recipe}, (Result("", told, Path()),)
    made = narrowing_cells.readings(params | {"plants": plants}, given, tmp_path)
    together = (Result("", made, tmp_path),)
    picked = [narrowing_cells.one_of({"place": place}, together, Path()) for place in range(5)]
    for plant, each in zip(plants, picked, strict=True):
        assert each == narrowing_cells.reading(params | {"plant": plant}, given, Path())
    assert picked[0] != picked[1]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("narrowing-by-depth", "depth", "measures 'narrowing-by-depth'"),
        ("legal-rate", "accuracy", "measures 'legal-rate'"),
        (
            "subjects: [{recipe: two-game-decoder}]",
            "subjects: [{recipe: knapsack-decoder}]",
            "plays no",
        ),
        ("subjects: [{recipe: two-game-decoder}]", "subjects: [{compiled: prefix-dp}]", "plays no"),
        ("plant: stage-by-stage", "plant: nonsense", "there are stage-by-stage"),
        ("plant: stage-by-stage", "plant: any, strength: 1.5", "a share above 0"),
        (
            "predicted: {above: 0.25}\n  refuted: {below: 0.15}",
            "predicted: {below: 0.15}\n  refuted: {above: 0.25}",
            "give 'above'",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(old: str, new: str, says: str) -> None:
    assert old in SPEC
    with pytest.raises(SubjectError, match=says):
        plan(SPEC.replace(old, new))


@pytest.mark.parametrize("given", ["games: [draughts]", "judged: [silly]", "judged: [go, go]"])
def test_unknown_games_and_options_are_faults_of_the_spec(given: str) -> None:
    with pytest.raises(SpecErrors):
        prediction(SPEC.replace("{kind: narrowing}", f"{{kind: narrowing, {given}}}"))


def test_what_is_planted_is_refused_by_whoever_does_not_plant_it() -> None:
    with pytest.raises(SubjectError, match="only the experiment 'narrowing'"):
        loading.trained({"scheme": "recipe", "plant": "any", "untrained": TWO_GAMES.params(0)}, ())


def test_a_handle_without_narrowing_is_left_alone() -> None:
    handle = Handle("x", {"scheme": "lc0", "plant": "tree", "strength": 1.0})
    assert unplanted(handle) == (handle, None)


@pytest.mark.parametrize("lowers", [(0.1, 0.4), (0.4, 0.1), (0.1, 0.1)])
def test_the_limit_is_the_first_strength_beyond_the_edge(lowers: tuple[float, float]) -> None:
    parts = tuple(
        Result("", {"strata": [{"scores": [mean] * 300, "low": -1.0, "high": 1.0}]}, Path())
        for mean in lowers
    )
    params = {"strengths": [0.2, 0.4], "alpha": 0.05, "edge": 0.25}
    found = narrowing_cells.limit(params, parts, Path())["detection_limit"]
    assert found == {(0.1, 0.4): 0.4, (0.4, 0.1): 0.2, (0.1, 0.1): None}[lowers]
