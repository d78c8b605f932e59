"""Training cells of the two-game decoder: games and a seed in, safetensors out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.utils import logging as transformers_logging

from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.games_decoder import GamesDecoder, rung_folder, save, untrained
from pytest_mesa.subjects.games_legality import legal_rates
from pytest_mesa.subjects.games_optimiser import Muon
from pytest_mesa.subjects.games_recipes import FAMILY, GamesRecipe, Source, from_params
from pytest_mesa.tasks.games import extra, tokens
from pytest_mesa.tasks.games.archive import frozen, frozen_path
from pytest_mesa.tasks.games.symmetry import turned_points
from pytest_mesa.tasks.games.tokens import Tag

if TYPE_CHECKING:
    from jaxtyping import Float, Int

REPLAYED = 50
WARM_UP = 50  # steps
DECAY = 0.5  # the share of the run, at its end, in which the rates fall to zero
PROGRESS_EVERY = 100


def tag_of(source: Source) -> Tag:
    """The token that names the source's game."""
    return Tag[source.game.upper().replace("-", "_")]


class _Stream:
    """One game's training sequences, in passes of fresh order, a batch at a time."""

    def __init__(self, source: Source, rng: np.random.Generator) -> None:
        path = frozen_path(source.archive)
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
        if found != source.sha:
            raise SubjectError(
                f"{path} is not the file that the recipe names ({found[:12]} instead of "
                f"{source.sha[:12]}); restore it, or update the recipe"
            )
        self.source, self.rng = source, rng
        self.tag = tag_of(source)
        training, _ = frozen(source.archive).split()
        self.ids = tokens.encode(self.tag, training, source.plies)
        self.queue: Int[np.ndarray, " game"] = np.empty(0, dtype=np.int64)

    def batch(self) -> Int[Tensor, "game pos"]:
        """The next games; those of Go turned or mirrored at random."""
        while len(self.queue) < self.source.batch:
            self.queue = np.concatenate([self.queue, self.rng.permutation(len(self.ids))])
        chosen, self.queue = np.split(self.queue, [self.source.batch])
        ids = self.ids[chosen]
        if self.tag is Tag.GO:
            ids = turned_points(ids, self.rng.integers(0, 8, len(ids)))
        longest = int((ids != tokens.PAD).sum(1).max())
        return torch.from_numpy(ids[:, :longest].copy())


def batches(recipe: GamesRecipe, seed: int) -> Iterator[list[Int[Tensor, "game pos"]]]:
    """The recipe's training data: at each step, games of every source."""
    streams = [
        _Stream(source, np.random.default_rng([seed, number, 0x67616D65]))
        for number, source in enumerate(recipe.sources)
    ]
    for _ in range(recipe.steps):
        yield [stream.batch() for stream in streams]


def token_losses(decoder: nn.Module, ids: Int[Tensor, "game pos"]) -> tuple[Float[Tensor, ""], int]:
    """Summed cross-entropy (nats) of every token after the tag, and how many there are."""
    targets = ids[:, 1:]
    logits = decoder(ids)[:, :-1]
    total = functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=tokens.PAD, reduction="sum"
    )
    return total, int((targets != tokens.PAD).sum())


def _rate(step: int, steps: int) -> float:
    """The share of the full learning rate at a step: warm-up, plateau, linear decay."""
    return min(1.0, (step + 1) / WARM_UP, (steps - step) / (DECAY * steps))


class Trainer:
    """One training run, a step at a time, so that a replay can stop early."""

    def __init__(self, recipe: GamesRecipe, seed: int) -> None:
        self.recipe = recipe
        self.decoder = untrained(recipe, seed)
        matrices = {
            name: parameter
            for name, parameter in self.decoder.model.transformer.h.named_parameters()
            if parameter.ndim == 2
        }
        inside = {id(matrix) for matrix in matrices.values()}
        others = [p for p in self.decoder.parameters() if id(p) not in inside]
        # c_attn holds queries, keys and values side by side.
        parts = [(matrix, 3 if "c_attn" in name else 1) for name, matrix in matrices.items()]
        self.optimisers: tuple[torch.optim.Optimizer, ...] = (
            Muon(parts, recipe.matrix_rate, recipe.weight_decay),
            torch.optim.AdamW(others, lr=recipe.learning_rate, weight_decay=0.0, betas=(0.9, 0.98)),
        )
        self.schedules = [
            torch.optim.lr_scheduler.LambdaLR(o, lambda step: _rate(step, recipe.steps))
            for o in self.optimisers
        ]
        self.data = batches(recipe, seed)

    def step(self) -> float:
        """Take one step; the mean cross-entropy of a token, in nats, before it."""
        total = torch.zeros(())
        count = 0
        for ids in next(self.data):
            loss, number = token_losses(self.decoder, ids)
            total, count = total + loss, count + number
        mean = total / count
        mean.backward()
        nn.utils.clip_grad_norm_(self.decoder.parameters(), 1.0)
        for optimiser, schedule in zip(self.optimisers, self.schedules, strict=True):
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
        return float(mean.detach())


def _keep(decoder: GamesDecoder, folder: Path) -> GamesDecoder:
    """Save a copy, so that rounding to half precision leaves the training as it is."""
    copy = deepcopy(decoder)
    save(copy, folder)
    return copy


def train(
    params: Mapping[str, Json],
    _inputs: tuple[Result, ...],
    folder: Path,
    on_line: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Train a recipe's net and save it as Hugging Face safetensors in ``folder``.

    The payload holds the first `REPLAYED` losses (nats a token) and, for each game, the share
    of legal moves in unseen games; ``accuracy`` is the lowest of these.
    """
    recipe, seed = from_params(params)
    extra.pyspiel()  # measures the net at the end: better missed now than after the training
    transformers_logging.disable_progress_bar()
    trainer = Trainer(recipe, seed)
    rungs = recipe.rungs if seed == recipe.ladder_seed else ()
    start = time.monotonic()
    losses: list[float] = []
    ladder: dict[str, dict[str, float]] = {}
    recent = 0.0
    for step in range(recipe.steps):
        recent = trainer.step()
        if step < REPLAYED:
            losses.append(round(recent, 6))
        if on_line and (step + 1) % PROGRESS_EVERY == 0:
            on_line(f"step {step + 1}/{recipe.steps}  loss {recent:.4f}")
        if step + 1 in rungs:
            kept = _keep(trainer.decoder, folder / rung_folder(step + 1))
            rates = legal_rates(kept, recipe)
            ladder[str(step + 1)] = {game: rate.overall for game, rate in rates.items()}
    rates = legal_rates(_keep(trainer.decoder, folder), recipe)
    return {
        "family": FAMILY,
        "losses": losses,
        "final_loss": round(recent, 6),
        "accuracy": min(rate.overall for rate in rates.values()),
        "legal": {game: rate.overall for game, rate in rates.items()},
        "legal_by_ply": {game: list(rate.by_ply) for game, rate in rates.items()},
        "ladder": ladder,
        "parameters": sum(p.numel() for p in trainer.decoder.parameters()),
        "seconds": round(time.monotonic() - start, 1),
        "torch": torch.__version__,
    }
