"""Legal moves are counted as they are, in tokens and in words; what is no move is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_mesa.experiments import games_competence
from pytest_mesa.experiments.games_competence import is_able, measure, setting_name
from pytest_mesa.runs.cells import Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.tasks.games import chess_text

pytest.importorskip("pyspiel")
pytest.importorskip("chess")
UCI = {"game": "chess", "plies": [2, 5], "templates": ["uci-position", "uci-story"]}
SGF = {"game": "go", "plies": [2, 5], "templates": ["sgf-short", "sgf-full"]}


class Speaker:
    """Writes a legal chess move, or what else it is told to say; of Go, always one point."""

    label, weights_sha = "a speaker", "ab"

    def __init__(self, says: Sequence[str | None]) -> None:
        self.says = says
        self.asked: list[str] = []

    def generate(self, prompts: Sequence[str], _tokens: int) -> list[str]:
        return [self._one(prompt) for prompt in prompts]

    def _one(self, prompt: str) -> str:
        self.asked.append(prompt)
        if not prompt.startswith(("position startpos", "A chess game")):
            return "ee]"
        said = self.says[len(self.asked) % len(self.says)]
        moves = prompt.replace(":", "").split(" moves")[-1].split("notation")[-1].split()
        return f" {next(iter(chess_text.board(moves).legal_moves)).uci()}" if said is None else said


def asked(monkeypatch: pytest.MonkeyPatch, model: Speaker, **more: Any) -> dict[str, Any]:
    monkeypatch.setattr(games_competence, "LanguageModel", Speaker)
    monkeypatch.setattr(games_competence, "load", lambda *_args, **_how: model)
    able = {"competence": {"metric": "legal-rate", "at_least": 0.85, "budget": 100}, "alpha": 0.05}
    params: dict[str, Any] = {"subject": {}, "own": 0, "seed": 3, "count": 100, "choose": 4}
    params |= {"settings": [UCI], "able": able} | more
    found: dict[str, Any] = measure(params, (), Path())
    return found


def test_a_model_that_plays_by_the_rules_is_able(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Speaker([None])
    found = asked(monkeypatch, model)
    assert found["competence"] == [1.0] * 100
    able = {"competence": {"metric": "legal-rate", "at_least": 0.85, "budget": 100}, "alpha": 0.05}
    assert is_able({"able": able}, Result("", found, Path()))
    assert len(model.asked) == 2 * 4 + 100  # every template is tried, and what is kept is asked


def test_what_is_written_instead_of_moves_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(monkeypatch, Speaker([None, "  ", " a1a8", " good move!"]))
    counts = found["detail"]["legal_moves"]["chess in uci"]["counts"]
    assert min(counts.values()) > 0
    assert set(counts) == {"legal", "illegal", "no move", "empty"}
    assert sum(counts.values()) == len(found["competence"])
    assert counts["legal"] == sum(found["competence"])


def test_a_model_that_clearly_cannot_is_asked_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(monkeypatch, Speaker(["mate"]))
    assert len(found["competence"]) == games_competence.BLOCK
    able = {"competence": {"metric": "legal-rate", "at_least": 0.85, "budget": 100}, "alpha": 0.05}
    assert not is_able({"able": able}, Result("", found, Path()))


def test_the_weaker_game_counts_and_the_better_templates_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = asked(monkeypatch, Speaker([None]), settings=[UCI, SGF])
    rates = {name: each["rate"] for name, each in found["detail"]["legal_moves"].items()}
    assert set(rates) == {"chess in uci", "go in sgf"}
    assert rates["chess in uci"] == 1.0
    assert sum(found["competence"]) / len(found["competence"]) == pytest.approx(
        rates["go in sgf"], abs=1e-3
    )
    assert [set(names) for names in found["kept"]] == [set(UCI["templates"]), set(SGF["templates"])]


def test_a_setting_without_templates_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SubjectError, match="'chess' names no templates to tell it in"):
        asked(monkeypatch, Speaker([None]), settings=[UCI | {"templates": []}])


def test_a_subject_that_continues_no_games_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(games_competence, "load", lambda *_args, **_how: Speaker([None]))
    with pytest.raises(SubjectError, match="a speaker is a Speaker, which continues no games"):
        measure({"subject": {}, "own": 0}, (), Path())


def test_settings_are_named_by_game_and_notation() -> None:
    assert setting_name({"game": "go", "templates": []}) == "go"
    assert setting_name(UCI) == "chess in uci"
