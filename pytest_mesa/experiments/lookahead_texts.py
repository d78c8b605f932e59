"""Look-ahead read from models that are told boards in words.

A square's site are its tokens, in both tellings of a listing at once. The choice is between the
line's first move and what is best in the corrupted position, both legal in both, each written
after the same prompt: all other legal moves would cost many runs more a patch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pytest_mesa.experiments.lookahead_readers import TOGETHER
from pytest_mesa.instruments.stream import Stream
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.language import LanguageModel
from pytest_mesa.subjects.listed import Lister
from pytest_mesa.subjects.load import load
from pytest_mesa.subjects.scoring import kept_logits, log_probabilities, split_options
from pytest_mesa.tasks.games.line_squares import LineSites
from pytest_mesa.tasks.games.listings import LISTINGS

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

HELD = 512 * 2**20  # bytes of all layers' streams that are held at once
RUN = 256 * 2**20  # bytes of what one layer computes in a patched run
ACTIVATIONS = 24  # numbers that a block computes for each one of the stream


class _Ends(nn.Module):
    """A causal model's logits where answers are read, and nowhere else."""

    def __init__(self, model: nn.Module, kept: Int[Tensor, " kept"]) -> None:
        super().__init__()
        self.model = model
        self.kept = kept

    def forward(
        self, ids: Int[Tensor, "batch pos"], mask: Int[Tensor, "batch pos"]
    ) -> Float[Tensor, "batch kept vocabulary"]:
        return kept_logits(self.model, ids, mask, self.kept)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Texts:
    """Positions in words, each twice: with the first move written behind it, then the other.

    ``places`` are the squares' tokens; an answer's own tokens start at ``starts``.
    """

    model: LanguageModel
    ids: Int[Tensor, "text pos"]
    mask: Int[Tensor, "text pos"]
    places: Int[Tensor, "batch 64 telling"]
    starts: Int[Tensor, " text"]

    @classmethod
    def of(
        cls, lister: Lister, model: LanguageModel, told: Sequence[tuple[str, str, str]]
    ) -> Texts:
        """From positions as FEN, each with its two moves."""
        prompts, places = zip(*(lister.prompt(fen) for fen, _, _ in told), strict=True)
        texts = [
            f"{prompt} {moves[which]}"
            for which in (1, 2)
            for prompt, moves in zip(prompts, told, strict=True)
        ]
        ids, mask, _ = model.encode(texts)
        rows = [row[real].tolist() for row, real in zip(ids, mask, strict=True)]
        starts = []
        for number, (prompt, moves) in enumerate(zip(prompts, told, strict=True)):
            plain = model.encode([prompt])[0][0].tolist()
            pair = [rows[number], rows[number + len(told)]]
            starts.append(len(split_options(plain, pair, prompt, moves[1:]).context))
        twice = torch.tensor(starts).repeat(2)
        return cls(model, ids, mask.long(), torch.stack(places), twice.to(ids.device))

    @cached_property
    def first(self) -> int:
        """The first position at which something of an answer is foretold."""
        return int(self.starts.min()) - 1

    @cached_property
    def stream(self) -> Stream:
        """The model's, with logits from `first` on."""
        kept = torch.arange(self.first, self.ids.shape[1] - 1, device=self.ids.device)
        return Stream(_Ends(self.model.model, kept))

    def capture(self) -> Float[Tensor, "layer text pos d_model"]:
        """The stream at every layer."""
        return self.stream.capture(self.ids, self.mask)

    def log_odds(
        self, layer: int, stream: Float[Tensor, "run pos d_model"], rows: Int[Tensor, " run"]
    ) -> Float[Tensor, " half"]:
        """Of each position's first move against the other, run on from a layer.

        ``rows`` are texts: some positions' with the first move, then the same ones' with the
        other.
        """
        ids, mask = self.ids[rows], self.mask[rows]
        with torch.no_grad():
            logits = self.stream.resume(ids, stream, layer, mask=mask)
        answers = ids[:, self.first + 1 :]
        position = torch.arange(self.first + 1, ids.shape[1], device=ids.device)
        own = (position >= self.starts[rows, None]) & mask[:, self.first + 1 :].bool()
        found = (log_probabilities(logits, answers) * own).sum(1).cpu()
        return found[: len(found) // 2] - found[len(found) // 2 :]


@dataclass(frozen=True)
class TextBatch:
    """A batch as a model reads it. ``whole`` are the clean runs' streams at every token."""

    sites: Sequence[LineSites]
    texts: Texts
    whole: Mapping[int, Float[Tensor, "text pos d_model"]]
    clean: Mapping[int, Float[Tensor, "batch 64 wide"]]
    corrupted: Mapping[int, Float[Tensor, "batch 64 wide"]]
    before: Float[Tensor, " batch"]
    fall: Float[Tensor, " batch"]

    @property
    def plays(self) -> Bool[Tensor, " batch"]:
        """Whether the first move is preferred to the other."""
        return self.before > 0

    def at(self, row: int, square: int) -> int:
        """Squares are in the board's own order."""
        del row
        return square

    def patched(
        self,
        layer: int,
        rows: Int[Tensor, " run"],
        at: Int[Tensor, " run"],
        donor: Float[Tensor, "run wide"],
    ) -> Float[Tensor, " run"]:
        """Log-odds after each run's patch, as many runs at a time as fit."""
        whole, places = self.whole[layer], self.texts.places
        _, length, width = whole.shape
        together = max(1, RUN // (2 * 4 * ACTIVATIONS * length * width))
        scores = []
        for part in torch.arange(len(rows)).split(together):
            texts = torch.cat([rows[part], rows[part] + len(self.sites)])
            here = whole[texts]
            tokens = places[rows[part], at[part]].repeat(2, 1)
            given = donor[part].unflatten(1, (-1, width)).repeat(2, 1, 1)
            here[torch.arange(len(texts))[:, None], tokens] = given
            scores.append(self.texts.log_odds(layer, here, texts))
        return torch.cat(scores)


@dataclass(frozen=True)
class TextReader:
    """A language model, told boards by some kinds of listing in turn, read at some layers."""

    model: LanguageModel
    listers: tuple[Lister, ...]
    layers: tuple[int, ...]

    @property
    def weights_sha(self) -> str:
        """Hash of the model's weights."""
        return self.model.weights_sha

    def batches(self, sites: Sequence[LineSites]) -> Iterator[TextBatch]:
        """The positions, `TOGETHER` at a time or as many as fit; each takes the next listing."""
        together = self._together(sites[0]) if sites else 1
        for number, start in enumerate(range(0, len(sites), together)):
            lister = self.listers[number % len(self.listers)]
            yield self._batch(lister, sites[start : start + together])

    def _together(self, site: LineSites) -> int:
        texts = self._texts(self.listers[0], [site], [site.puzzle.fen])
        return max(1, min(TOGETHER, HELD // (2 * 4 * texts.capture().numel())))

    def _batch(self, lister: Lister, sites: Sequence[LineSites]) -> TextBatch:
        texts = self._texts(lister, sites, [each.puzzle.fen for each in sites])
        whole, before = self._run(texts, slice(None))
        changed = self._texts(lister, sites, [each.corruption.fen for each in sites])
        corrupted, after = self._run(changed, slice(len(sites)))
        return TextBatch(
            sites,
            texts,
            whole,
            {layer: at_places(each, texts.places) for layer, each in whole.items()},
            {layer: at_places(each, changed.places) for layer, each in corrupted.items()},
            before,
            before - after,
        )

    def _run(self, texts: Texts, kept: slice) -> tuple[dict[int, Tensor], Tensor]:
        """The kept texts' streams at the layers that are read, and all log-odds."""
        streams = texts.capture()
        end = len(streams) - 1
        odds = texts.log_odds(end, streams[end], torch.arange(streams.shape[1]))
        return {layer: streams[layer, kept].clone() for layer in self.layers}, odds

    def _texts(self, lister: Lister, sites: Sequence[LineSites], fens: Sequence[str]) -> Texts:
        told = [
            (fen, each.puzzle.line[0], each.corruption.best)
            for fen, each in zip(fens, sites, strict=True)
        ]
        return Texts.of(lister, self.model, told)


def at_places(
    stream: Float[Tensor, "text pos d_model"], places: Int[Tensor, "batch 64 telling"]
) -> Float[Tensor, "batch 64 wide"]:
    """The stream at the squares' tokens, a square's tellings side by side."""
    rows = torch.arange(len(places))[:, None, None]
    return stream[rows, places].flatten(2)


def spaced(layers: int, count: int | None) -> tuple[int, ...]:
    """Layers from the first on, evenly spaced, all where no fewer are asked for.

    Where some are left out so is the last: nothing at a square is read any more behind it.
    """
    if count is None or count >= layers:
        return tuple(range(1, layers + 1))
    return tuple(1 + place * (layers - 1) // count for place in range(count))


def text_reader(
    subject: Mapping[str, Json], words: Mapping[str, Any], inputs: tuple[Result, ...]
) -> TextReader:
    """A model that is asked in words, under the template that suits it best where that is known.

    Raises:
        SubjectError: it can't be loaded, or reads no text.
        SiteError: reading or writing its stream does not mean what it should.
    """
    own, able = inputs[: words["own"]], inputs[words["own"] :]
    model = load(subject, own, LanguageModel)
    names = able[0].payload["kept"][:1] if able else words["templates"]
    layers = spaced(model.stream.layers, words["layers"])
    return TextReader(model, tuple(Lister.of(model, LISTINGS[name]) for name in names), layers)
