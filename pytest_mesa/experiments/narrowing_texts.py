"""Models that read text, asked for the first token of a move.

The options are the tokens with which a legal move begins in any of the positions; those with
which none does here are bad. A game is told under several templates, and its score is the
average over them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pytest_mesa.experiments.narrowing_games import moves_before
from pytest_mesa.experiments.narrowing_options import Rows, read_at
from pytest_mesa.instruments.lens import Readout, readout_of
from pytest_mesa.instruments.narrowing import Options
from pytest_mesa.subjects.language import LanguageModel
from pytest_mesa.subjects.scoring import Question, split_options
from pytest_mesa.tasks.games.prompts import TEMPLATES, Template

if TYPE_CHECKING:
    from jaxtyping import Float

TOGETHER = 8  # texts captured at once: a large model's streams are long


@dataclass(frozen=True)
class Texts:
    """A language model on one game's positions under one template."""

    model: LanguageModel
    template: Template
    stages: int
    to_fit: Sequence[Question]
    to_measure: Sequence[Question]
    units: list[int]

    @property
    def batch(self) -> int:
        """As many as make a step steady."""
        return 64

    @cached_property
    def options(self) -> list[int]:
        """The tokens with which a move begins in any position, fitted on or measured."""
        return sorted({token for each in (*self.to_fit, *self.to_measure) for token in first(each)})

    @property
    def readout(self) -> Readout:
        """The final norm and the options' rows of the output matrix."""
        whole, options = readout_of(self.model.stream), self.options

        def read(values: Float[Tensor, "row d_model"]) -> Float[Tensor, "row option"]:
            return whole(values)[:, options]

        return read

    def fitting(self) -> Iterator[Rows]:
        """Positions that a lens is fitted on."""
        return self._rows(self.to_fit, len(self.to_measure))

    def measured(self) -> Iterator[Rows]:
        """Positions that are measured."""
        return self._rows(self.to_measure, 0)

    def _rows(self, questions: Sequence[Question], number: int) -> Iterator[Rows]:
        stream = self.model.stream
        chosen = read_at(self.model.label, stream.layers, self.stages)
        place = {token: index for index, token in enumerate(self.options)}
        for start in range(0, len(questions), TOGETHER):
            part = questions[start : start + TOGETHER]
            lengths = torch.tensor([len(each.context) for each in part])
            ids = torch.full((len(part), int(lengths.max())), self.model.padding)
            for row, each in zip(ids, part, strict=True):
                row[: len(each.context)] = torch.tensor(each.context)
            mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
            whole = stream.capture(ids, mask)[chosen]
            legal = torch.zeros(len(part), len(place), dtype=torch.bool)
            for row, each in enumerate(part):
                legal[row, [place[token] for token in first(each)]] = True
            options = Options(torch.ones_like(legal), ~legal)
            at = torch.arange(len(part))
            numbers = torch.arange(number + start, number + start + len(part))
            yield Rows(
                whole[:, at, lengths - 1].float(), {str(self.template.game): options}, numbers
            )


def first(question: Question) -> set[int]:
    """The tokens with which its options begin."""
    return {option[0] for option in question.options}


def texts(model: LanguageModel, params: Mapping[str, Any], told: Mapping[str, Any]) -> list[Texts]:
    """The registered games, one reading a game and template."""
    found = []
    for game in params["games"]:
        for name in params["templates"].get(game, ()):
            asked: dict[str, list[Question]] = {}
            units: list[int] = []
            for part, count in (("fit", params["fit"]), ("measure", params["count"])):
                drawn = told[game][part]
                asked[part] = []
                for number in range(min(count, len(drawn["games"]))):
                    for moves in moves_before(game, part, drawn, number):
                        asked[part].append(question(model, TEMPLATES[name], moves))
                        units += [number] if part == "measure" else []
            found.append(
                Texts(
                    model, TEMPLATES[name], params["stages"], asked["fit"], asked["measure"], units
                )
            )
    return found


def question(model: LanguageModel, template: Template, moves: Sequence[str]) -> Question:
    """A position as the model's tokens, up to where the legal moves part."""
    prompt, options = template.prompt(moves), list(template.options(moves))
    ids, mask, _ = model.encode([prompt, *(prompt + option for option in options)])
    rows = [row[real].tolist() for row, real in zip(ids, mask, strict=True)]
    return split_options(rows[0], rows[1:], prompt, options)
