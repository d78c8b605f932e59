"""The limit of detection of the kind ``causal-state``: the effect planted in the subject."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from pytest_mesa.experiments.causal_cells import SELECT_PAIRS, Setting, captured, find
from pytest_mesa.instruments.interchange import interchange_accuracy
from pytest_mesa.instruments.spike import Plant, chosen_share, spiked_stream
from pytest_mesa.instruments.stream import Site
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.base import Subject
from pytest_mesa.subjects.load import load
from pytest_mesa.tasks.knapsack import tokens
from pytest_mesa.verdicts.confidence import confidence_sequence

if TYPE_CHECKING:
    from jaxtyping import Float, Int

ROW_UNIT = 10.0  # row entries reach 25; divided by this the planted code has unit scale


def extended(
    row: Float[Tensor, "batch capacity"],
    weight: Int[Tensor, " batch"],
    value: Int[Tensor, " batch"],
) -> Float[Tensor, "batch capacity"]:
    """One differentiable step of the weight-indexed table."""
    start = torch.arange(row.shape[1])[None, :] - weight[:, None]
    taken = row.gather(1, start.clamp_min(0)) + value[:, None]
    return torch.maximum(row, torch.where(start >= 0, taken, torch.zeros_like(taken)))


def plant(setting: Setting, layer: int, share: float) -> Plant:
    """The table row of the state's items, written at the first position that can hold it.

    The planted answer is the algorithm's, with the base's own remaining items and capacity,
    as far as the channel still holds the row.
    """
    weight_value = torch.arange(tokens.FIRST_CAPACITY) - tokens.FIRST_ITEM
    weights, values = weight_value // tokens.TOP_VALUE + 1, weight_value % tokens.TOP_VALUE + 1
    capacities = setting.task.capacity[1]
    others = [c for c in range(setting.task.items) if c not in setting.columns]

    def item(ids: Tensor, column: int) -> tuple[Tensor, Tensor]:
        token = ids[:, column + 1].clamp(tokens.FIRST_ITEM, tokens.FIRST_CAPACITY - 1)
        return weights[token], values[token]

    def code(ids: Tensor) -> Tensor:
        row = torch.zeros(len(ids), capacities + 1)
        for column in setting.columns:
            row = extended(row, *item(ids, column))
        return row[:, 1:] / ROW_UNIT

    def answer(held: Tensor, ids: Tensor) -> Tensor:
        row = functional.pad(held * ROW_UNIT, (1, 0))
        for column in others:
            row = extended(row, *item(ids, column))
        capacity = (ids[:, -1] - tokens.FIRST_CAPACITY).clamp(0, capacities)
        best = row.gather(1, capacity[:, None])
        logits = torch.full((len(ids), tokens.VOCABULARY), -1e4)
        logits[:, tokens.FIRST_ANSWER :] = -0.5 * (torch.arange(tokens.TOP_ANSWER + 1) - best) ** 2
        return logits

    site = Site(layer, setting.first_position)
    return Plant(site, code, answer, chosen_share(share, setting.seed))


def spike_in(
    params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path
) -> dict[str, Any]:
    """The smallest planted share that the same search and measurement tell from nothing.

    Seen means: the lower confidence bound with the effect planted lies above the upper bound
    of the subject as it is.
    """
    setting = Setting.of(params)
    *needed, plain = inputs
    subject = load(params["subject"], tuple(needed), Subject)
    own = confidence_sequence(plain.payload["strata"][0]["scores"], params["alpha"]).final
    layer = max(1, subject.stream.layers // 2)
    sample = tokens.encode(setting.pairs("select", SELECT_PAIRS).base)
    fresh_pairs = setting.pairs("spike", params["pairs"])
    rows: list[dict[str, float | bool]] = []
    limit: float | None = None
    for strength in params["strengths"]:
        spiked = spiked_stream(subject.stream, plant(setting, layer, strength), sample)
        best = find(spiked, setting).best
        scores = interchange_accuracy(
            spiked, captured(spiked, fresh_pairs), best.site, best.subspace
        )
        bounds = confidence_sequence(scores.tolist(), params["alpha"]).final
        seen = bounds.lower > own.upper
        rows.append(
            {
                "strength": strength,
                "estimate": round(float(scores.mean()), 4),
                "lower": round(bounds.lower, 4),
                "seen": seen,
            }
        )
        if seen:
            limit = strength
            break
    return {
        "detection_limit": limit,
        "detail": {
            "spike_in": {
                "state": setting.stage,
                "upper_without": round(own.upper, 4),
                "tried": rows,
            }
        },
    }
