"""Training cells: a recipe and a seed in, safetensors out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.decoder import KnapsackDecoder, inputs, untrained
from pytest_mesa.subjects.recipes import Recipe, knapsack_params
from pytest_mesa.tasks.knapsack import tokens
from pytest_mesa.tasks.knapsack.exact import prefix_rows
from pytest_mesa.tasks.knapsack.heuristics import SOLVERS
from pytest_mesa.tasks.knapsack.instances import Instances, draw

if TYPE_CHECKING:
    from jaxtyping import Float, Int

REPLAYED = 50  # losses kept in a manifest: enough to tell recipes and seeds apart in seconds
ROW_SCALE = 10.0  # row entries are at most 25; scaled so that the auxiliary loss starts near 1
PROGRESS_EVERY = 250


def batches(recipe: Recipe, seed: int) -> Iterator[Instances]:
    """The recipe's training data: its task, and its anchors every so many batches."""
    rng = np.random.default_rng([seed, 0x7261696E])
    for step in range(recipe.steps):
        if recipe.anchors and step % recipe.anchor_every == recipe.anchor_every - 1:
            items = int(rng.integers(1, recipe.anchors.items, endpoint=True))
            few = recipe.anchors.model_copy(update={"items": items})
            yield draw(few, recipe.batch, rng)
        else:
            yield draw(recipe.task, recipe.batch, rng)


class _RowReader(nn.Module):
    """Reads the table row off each item's position at the layer where the staircase puts it."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.capacities = recipe.task.capacity[1]
        self.readers = nn.ModuleList(
            nn.Linear(recipe.d_model, self.capacities) for _ in range(recipe.layers - 1)
        )

    def loss(self, hidden: tuple[Tensor, ...], instances: Instances) -> Float[Tensor, ""]:
        """Mean squared error of the rows, in units of `ROW_SCALE`."""
        rows = torch.from_numpy(prefix_rows(instances, self.capacities)).float() / ROW_SCALE
        total = hidden[0].new_zeros(())
        for layer, reader in enumerate(self.readers):
            item = layer + 2
            read = reader(hidden[layer + 1][:, item])
            total = total + functional.mse_loss(read, rows[item, :, 1:])
        return total


class Trainer:
    """One training run, a step at a time, so that a replay can stop early."""

    def __init__(self, recipe: Recipe, seed: int) -> None:
        self.recipe = recipe
        self.decoder: KnapsackDecoder = untrained(recipe, seed)
        self.rows: _RowReader | None = None
        parameters = list(self.decoder.parameters())
        if recipe.row_supervision:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed + 1)
                self.rows = _RowReader(recipe)
            parameters += list(self.rows.parameters())
        self.parameters = parameters
        self.optimiser = torch.optim.AdamW(
            parameters,
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            betas=(0.9, 0.98),
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, recipe.learning_rate, total_steps=recipe.steps, pct_start=0.1
        )
        self.data = batches(recipe, seed)

    def step(self) -> float:
        """Take one step; the answer's cross-entropy in nats before it."""
        instances = next(self.data)
        target = torch.from_numpy(SOLVERS[self.recipe.target](instances))
        ids = tokens.encode(instances)
        body = self.decoder.model.transformer(
            **inputs(ids),
            output_hidden_states=self.rows is not None,
        )
        logits = self.decoder.model.lm_head(body.last_hidden_state[:, -1])
        loss = functional.cross_entropy(logits, tokens.FIRST_ANSWER + target)
        total = loss
        if self.rows is not None:
            row_loss = self.rows.loss(body.hidden_states, instances)
            total = loss + self.recipe.row_supervision * row_loss
        self.optimiser.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.schedule.step()
        return float(loss.detach())


def solved(
    decoder: nn.Module, instances: Instances, target: Int[np.ndarray, " batch"]
) -> Float[np.ndarray, " batch"]:
    """1.0 where the most likely answer is the target."""
    with torch.no_grad():
        logits = decoder(tokens.encode(instances))[:, -1, tokens.FIRST_ANSWER :]
    return np.asarray(logits.argmax(-1).numpy() == target, dtype=np.float64)


def train(
    params: Mapping[str, Json],
    _inputs: tuple[Result, ...],
    folder: Path,
    on_line: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Train a recipe's net and save it as Hugging Face safetensors in ``folder``.

    The payload holds the first `REPLAYED` losses (nats) and the accuracy on 4,000 instances
    drawn apart from all training data.
    """
    recipe, seed = knapsack_params(params)
    trainer = Trainer(recipe, seed)
    start = time.monotonic()
    losses: list[float] = []
    recent = 0.0
    for step in range(recipe.steps):
        recent = trainer.step()
        if step < REPLAYED:
            losses.append(round(recent, 6))
        if on_line and (step + 1) % PROGRESS_EVERY == 0:
            on_line(f"step {step + 1}/{recipe.steps}  loss {recent:.4f}")
    trainer.decoder.eval()
    fresh = draw(recipe.task, 4000, np.random.default_rng([seed, 0x76616C]))
    accuracy = solved(trainer.decoder, fresh, SOLVERS[recipe.target](fresh)).mean()
    trainer.decoder.model.save_pretrained(folder)
    return {
        "losses": losses,
        "final_loss": round(recent, 6),
        "accuracy": round(float(accuracy), 4),
        "target": recipe.target,
        "wiring": recipe.wiring,
        "parameters": sum(p.numel() for p in trainer.decoder.parameters()),
        "seconds": round(time.monotonic() - start, 1),
        "torch": torch.__version__,
    }
