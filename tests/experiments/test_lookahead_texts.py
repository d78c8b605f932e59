"""What is read in words is what is read from boards, and what a patched run by hand gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import chess
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from pytest_mesa._paths import shipped
from pytest_mesa.experiments import (
    lookahead_cells,
    lookahead_operation,
    lookahead_profile,
    lookahead_readers,
    lookahead_sites,
    lookahead_texts,
    lookahead_words,
)
from pytest_mesa.experiments.lookahead import STUDY
from pytest_mesa.experiments.lookahead_profile import effects
from pytest_mesa.experiments.lookahead_readers import BoardReader
from pytest_mesa.experiments.lookahead_sites import measured_sites
from pytest_mesa.experiments.lookahead_texts import TextBatch, TextReader, spaced
from pytest_mesa.registry.canonical import spec_sha
from pytest_mesa.registry.kinds_lookahead import ListedBoards, LookAhead
from pytest_mesa.registry.loader import load
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Result
from pytest_mesa.session import find_study
from pytest_mesa.subjects.bundled import installed, locate
from pytest_mesa.subjects.errors import SubjectError, UnsuitedError
from pytest_mesa.subjects.language import LanguageModel
from pytest_mesa.subjects.lc0.altered import planted, untrained
from pytest_mesa.subjects.lc0.load import Lc0Subject, load_net
from pytest_mesa.subjects.listed import Lister
from pytest_mesa.subjects.provenance import Provenance
from pytest_mesa.subjects.told import ToldModel
from pytest_mesa.subjects.told_tokens import VOCABULARY, ToldTokenizer
from pytest_mesa.tasks.games import sets
from pytest_mesa.tasks.games.line_squares import LineSites
from pytest_mesa.tasks.games.listings import LISTINGS
from pytest_mesa.tasks.games.prompts import Outcome

torch.set_num_threads(1)
needs_maia = pytest.mark.skipif(not installed("maia-1900"), reason="the extra models")
RULE = {"metric": "sound-move-rate", "at_least": 0.8, "budget": 1000}
ABLE = {"competence": RULE, "alpha": 0.05}


@given(st.integers(1, 100), st.one_of(st.none(), st.integers(2, 20)))
def test_layers_are_spaced_evenly_from_the_first(layers: int, count: int | None) -> None:
    found = spaced(layers, count)
    assert found[0] == 1
    assert len(found) == min(layers, count or layers)
    assert set(found) <= set(range(1, layers + 1))
    assert (layers in found) == (len(found) == layers)
    gaps = np.diff(found)
    assert not len(gaps) or gaps.max() - gaps.min() <= 1


def sites(count: int, matched: int = 2) -> list[LineSites]:
    told = ({"l": ["mate-3", "other"]}, {"l": count}, matched, 5, [3, 5])
    return [each[0] for each in measured_sites(*told, paired=True)["l"]]


def test_the_other_move_is_legal_in_both_positions() -> None:
    for each in sites(20):
        other = chess.Move.from_uci(each.corruption.best)
        assert other in chess.Board(each.puzzle.fen).legal_moves
        assert other in chess.Board(each.corruption.fen).legal_moves


def maia(kind: str) -> Lc0Subject:
    bare = load_net(locate("maia-1900")[0])
    twin, _, plant = kind.rpartition(" ")
    subject = untrained(bare, 0) if twin else bare
    return subject if plant == "bare" else planted(subject, plant, 1.0, 0)


def reader(model: LanguageModel, layers: int | None = None) -> TextReader:
    listers = tuple(Lister.of(model, listing) for listing in LISTINGS.values())
    return TextReader(model, listers, spaced(model.stream.layers, layers))


@needs_maia
@pytest.mark.parametrize("kind", ["bare", "tree"])
def test_effects_in_words_are_those_from_boards(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, taken = maia(kind), sites(6)
    monkeypatch.setattr(lookahead_texts, "TOGETHER", 3)  # one batch a template
    told = reader(ToldModel(net))
    words = [run for batch in told.batches(taken) for run in effects(told.layers, batch)]
    board = BoardReader(net)
    (batch,) = board.batches(taken)
    batch.legal[:] = False  # but for the two moves that a choice in words is between
    for row, each in enumerate(taken):
        legal = net.legal(batch.boards[row])
        for move in (each.puzzle.line[0], each.corruption.best):
            batch.legal[row, legal[chess.Move.from_uci(move)]] = True
    for found, wanted in zip(words, effects(board.layers, batch), strict=True):
        assert found["fall"] == pytest.approx(wanted["fall"], abs=1e-3)
        assert found["plays"] == wanted["plays"]
        for ply, rows in wanted["effects"].items():
            np.testing.assert_allclose(found["effects"][ply], rows, atol=1e-3)


class Words(ToldTokenizer):
    """As of a tokenizer that puts a token before each text."""

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, list[int]]:
        opening = [1] if add_special_tokens else []
        return {"input_ids": opening + super().__call__(text)["input_ids"]}


@pytest.fixture(scope="module")
def tiny() -> LanguageModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        initializer_range=0.5,
    )
    known = Provenance("tiny", "", "sha", "cpu", "float32", remote_code=False, parameters=1)
    tokenizer: Any = Words()
    return LanguageModel("tiny", LlamaForCausalLM(config), tokenizer, known)


@pytest.fixture(scope="module")
def batch(tiny: LanguageModel) -> TextBatch:
    (found,) = reader(tiny).batches(sites(2))
    return found


def test_log_odds_are_of_one_whole_move_against_the_other(
    tiny: LanguageModel, batch: TextBatch
) -> None:
    for row, each in enumerate(batch.sites):
        moves = [f" {each.puzzle.line[0]}", f" {each.corruption.best}"]
        scores = []
        for fen in (each.puzzle.fen, each.corruption.fen):
            first, other = tiny.option_logprobs([LISTINGS["diagram"].prompt(fen)], moves)[0]
            scores.append(float(first - other))
        assert float(batch.before[row]) == pytest.approx(scores[0], abs=1e-4)
        assert float(batch.fall[row]) == pytest.approx(scores[0] - scores[1], abs=1e-4)


def test_a_patch_with_the_runs_own_stream_changes_nothing(batch: TextBatch) -> None:
    rows, at = torch.tensor([0, 1, 1]), torch.tensor([3, 40, 63])
    for layer in (1, 2, 3):
        after = batch.patched(layer, rows, at, batch.clean[layer][rows, at])
        assert torch.allclose(after, batch.before[rows], atol=1e-4)


def test_a_patch_is_of_all_tokens_of_one_square_and_of_nothing_else(
    tiny: LanguageModel, batch: TextBatch
) -> None:
    """Against a run whose stream is edited as it goes, on the whole net."""
    row, layer = 1, 2
    site = batch.sites[row]
    generator = torch.Generator().manual_seed(0)
    for at in (27, 0):
        donor = 9 * torch.randn(batch.clean[layer].shape[-1], generator=generator)
        places = batch.texts.places[row, at]

        def edit(
            stream: torch.Tensor,
            donor: torch.Tensor = donor,
            places: torch.Tensor = places,
        ) -> torch.Tensor:
            edited = stream.clone()
            edited[:, places] = donor.view(len(places), -1)
            return edited

        odds = []
        prompt = LISTINGS["diagram"].prompt(site.puzzle.fen)
        for move in (site.puzzle.line[0], site.corruption.best):
            ids, mask, _ = tiny.encode([f"{prompt} {move}"])
            logits = tiny.stream.edited(ids, {layer: edit}, mask.long()).log_softmax(-1)[0]
            start = len(tiny.encode([prompt])[0][0])
            scored = logits[start - 1 : -1].gather(1, ids[0, start:, None])
            odds.append(float(scored.sum()))
        one = torch.tensor([row])
        after = batch.patched(layer, one, torch.tensor([at]), donor[None])
        assert float(after) == pytest.approx(odds[0] - odds[1], abs=1e-4)
        assert abs(float(after - batch.before[row])) > 1e-3


def test_memory_bounds_what_runs_at_once(
    tiny: LanguageModel, batch: TextBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, at = torch.tensor([0, 1, 1]), torch.tensor([3, 40, 63])
    donors = batch.corrupted[1][rows, at]
    whole = batch.patched(1, rows, at, donors)
    monkeypatch.setattr(lookahead_texts, "RUN", 1)
    monkeypatch.setattr(lookahead_texts, "HELD", 1)
    assert torch.allclose(batch.patched(1, rows, at, donors), whole, atol=1e-5)
    assert [len(each.sites) for each in reader(tiny).batches(batch.sites)] == [1, 1]


def measured(kind: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    told = reader(ToldModel(maia(kind)))
    params = {
        "subject": {},
        "strata": {"lines": ["mate-3", "mate-4", "other"]},
        "counts": {"lines": 24},
        "matched": 4,
        "seed": 5,
        "plies": [3, 5],
        "paired": True,
        "choose": 8,
        "rank": 4,
        "floors": 5,
        "words": {"own": 0},
    }
    for module in (lookahead_profile, lookahead_operation):
        monkeypatch.setattr(module, "reader", lambda *_args: told)
    chosen = Result("", lookahead_sites.choose(params, (), Path()), Path())
    profile = Result("", lookahead_profile.profile(params, (chosen,), Path()), Path())
    strata = lookahead_cells.search(params, (profile,), Path())["strata"]
    strata += lookahead_operation.operation(params, (chosen, profile), Path())["strata"]
    return {each["name"]: float(np.mean(each["scores"])) for each in strata}


@needs_maia
def test_a_planted_search_shows_in_words_in_all_four_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured("untrained tree", monkeypatch)
    assert set(found) == {"third-ply", "fifth-ply", "later-layers", "same-operation"}
    assert min(found.values()) >= 0.7


@needs_maia
@pytest.mark.parametrize(
    ("kind", "lacks"), [("look-ahead", "later-layers"), ("unlike", "same-operation")]
)
def test_what_falls_short_of_a_search_does_in_words(
    kind: str, lacks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = measured(f"untrained {kind}", monkeypatch)
    assert min(found["third-ply"], found["fifth-ply"]) >= 0.8
    assert found[lacks] <= 0.7


class Writer(LanguageModel):
    """Writes one text under each template, whatever the position."""

    def __init__(self, says: Callable[[str], str]) -> None:
        self.label = "writer"
        self.says = says
        self.provenance = Provenance("w", "", "sha", "cpu", "x", remote_code=False, parameters=1)

    def generate(self, prompts: Any, max_new_tokens: int) -> list[str]:
        del max_new_tokens
        return [self.says(prompt) for prompt in prompts]


def competence(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    monkeypatch.setattr(lookahead_words, "load", lambda *_args, **_kwargs: model)
    words = {"templates": list(LISTINGS), "choose": 5}
    params = {"subject": {}, "seed": 5, "count": 60, "words": words, "able": ABLE}
    found: Mapping[str, Any] = lookahead_words.competence(params, (), Path())
    return found


def test_a_hopeless_model_is_asked_no_further_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    found = competence(Writer(lambda _prompt: " a1a1"), monkeypatch)
    about = found["detail"]["legal_moves"]["chess from a listed board"]
    assert found["competence"] == [0.0] * 25
    assert about["counts"] == {"legal": 0, "illegal": 25, "no move": 0, "empty": 0}
    assert about["rate"] == about["sound"] == 0.0


def test_a_sound_player_is_able_and_asked_under_its_better_template(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    best = {each.fen.rsplit(" ", 1)[0]: each.best for each in sets.unfiltered()}

    def says(prompt: str) -> str:
        if not prompt.startswith(LISTINGS["ranks"].opening):
            return "  "
        fen, _ = LISTINGS["ranks"].read(prompt)
        return f" {best[fen.rsplit(' ', 1)[0]]}\n"

    found = competence(Writer(says), monkeypatch)
    assert found["kept"] == ["ranks", "diagram"]
    assert found["competence"] == [1.0] * 60
    tried = found["detail"]["legal_moves"]["chess from a listed board"]["tried"]
    assert tried["diagram"] == {"sound": 0.0, "legal": 0.0}


def test_what_is_written_is_legal_sound_or_neither() -> None:
    judged = next(each for each in sets.unfiltered() if each.refuted())
    refuted, best = min(judged.refuted()), judged.best
    seen = [lookahead_words.judge(judged, text) for text in ("", " well", " a1a1", refuted, best)]
    assert [move.answer.outcome for move in seen] == [
        *(Outcome.EMPTY, Outcome.NO_MOVE, Outcome.ILLEGAL, Outcome.LEGAL, Outcome.LEGAL)
    ]
    assert [move.sound for move in seen] == [False] * 4 + [True]


@pytest.mark.parametrize(("scores", "glance"), [([0.0] * 25, True), ([1.0] * 100, False)])
def test_who_is_not_able_is_glanced_at(scores: list[float], glance: bool) -> None:
    params = {
        "strata": {"l": ["mate-3", "other"]},
        "counts": {"l": 90},
        "matched": 8,
        "seed": 5,
        "plies": [3, 5],
        "words": {"own": 1, "templates": [], "layers": 6, "able": ABLE},
    }
    inputs = (Result("", {}, Path()), Result("", {"competence": scores}, Path()))
    found = lookahead_words.glanced(params, inputs)
    assert (found != params) == glance
    assert lookahead_words.glanced(params, inputs[:1]) == params  # a control is never judged
    if glance:
        chosen = lookahead_sites.choose(params | {"paired": True}, (), Path())
        (together,) = lookahead_sites.chosen_sites(found, Result("", chosen, Path()))["l"]
        assert len(together) == 1
        assert {len(future.matched) for future in together[0].futures} == {1}


def spec(question: str = "search", **words: Any) -> Prediction:
    told = {"ref": "told:bundled:maia-1900"}
    aspects = question == "aspects"
    body = {
        "prediction": "in-words",
        "title": "t",
        "claim": "c",
        "subjects": [{"released": True}],
        "competence": RULE,
        "experiment": {},
        "controls": {
            "must_detect": [{**told, "options": {"plant": "tree"}}],
            "must_not_detect": [{**told, "untrained": True}],
        },
        "verdict": {
            "estimand": "future-square-superiority" if aspects else "search-likeness",
            "predicted": {"above": 0.6} if aspects else {"below": 0.5},
            "refuted": {"below": 0.5} if aspects else {"above": 0.6},
        },
    }
    kind = LookAhead(kind="look-ahead", question=question, words=ListedBoards(**words))
    return Prediction.model_validate(body).model_copy(update={"experiment": kind})


@needs_maia
def test_subjects_in_words_are_judged_by_what_they_write_and_then_patched() -> None:
    plan = STUDY.plan(spec(layers=4), "told:bundled:maia-1900")
    (subject,), (control,) = plan.subjects, plan.must_detect
    able, profile, operation = (
        next(part for part in subject.inputs if part.kind == kind)
        for kind in ("listing-competence", "look-ahead-search", "same-operation")
    )
    (read,) = profile.inputs
    assert read.inputs[-2:] == (able, operation.inputs[-2])
    assert read.inputs[-1].kind == "look-ahead-sites"
    assert read.params["words"]["layers"] == 4
    assert (operation.inputs[-3], operation.inputs[-1]) == (able, read)
    assert {part.kind for part in control.inputs} == {"look-ahead-search", "same-operation"}


@needs_maia
def test_a_net_that_reads_listings_alone_is_asked_nothing_else() -> None:
    """It is told so before anything runs, and leaves no record."""
    spec = load(shipped("predictions") / "lm-chess-from-data.yaml").prediction
    with pytest.raises(UnsuitedError, match="in words reads listed chess boards"):
        find_study("off-book").plan(spec, "told:bundled:maia-1900")


def test_a_net_that_sees_boards_is_no_subject_in_words() -> None:
    with pytest.raises(SubjectError, match=r"reads boards, and the experiment .* asks in text"):
        STUDY.plan(spec(), "bundled:maia-1900")


@pytest.mark.parametrize(
    ("question", "words", "says"),
    [
        ("aspects", {}, "of models that are told boards in words ask 'search'"),
        ("search", {"templates": ("haiku",)}, "no way to list a board is called 'haiku'"),
    ],
)
def test_words_that_can_not_be_asked_are_refused(
    question: str, words: dict[str, Any], says: str
) -> None:
    with pytest.raises(SubjectError, match=says) as caught:
        STUDY.plan(spec(question, **words))
    assert caught.value.at[:2] == ("experiment", "words")


def test_unset_words_leave_a_specs_hash_as_it_was_locked() -> None:
    plain = LookAhead(kind="look-ahead", question="search")
    assert "words" not in plain.model_dump(mode="json")
    told = spec()
    seen = told.model_copy(update={"experiment": plain})
    assert spec_sha(told) != spec_sha(seen)
    assert LookAhead.model_validate(told.experiment.model_dump(mode="json")) == told.experiment


def test_the_reader_of_boards_is_the_one_for_specs_without_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lookahead_readers, "load", lambda *_args: "net")
    assert isinstance(lookahead_readers.reader({"subject": {}}, ()), BoardReader)
