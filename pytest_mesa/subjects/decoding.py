"""Greedy continuation, batched without padding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch

from pytest_mesa.subjects.scoring import keeps_cache, only_last

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROWS = 64


def continue_greedily(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    steps: int,
    ends: frozenset[int],
) -> list[list[int]]:
    """The most likely continuation of each prompt, at most ``steps`` tokens, without its end.

    Prompts of one length run together, so that nothing is padded and every architecture gives
    what it gives one prompt at a time.
    """
    written: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for _, group in groupby(order, key=lambda i: len(prompts[i])):
        same = list(group)
        for start in range(0, len(same), ROWS):
            batch = same[start : start + ROWS]
            rows = _batch(model, [prompts[i] for i in batch], steps, ends)
            for index, tokens in zip(batch, rows, strict=True):
                written[index] = tokens
    return written


def _batch(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], steps: int, ends: frozenset[int]
) -> list[list[int]]:
    ids = torch.tensor(prompts, device=model.device)
    mask = torch.ones_like(ids)
    cached = keeps_cache(model)
    state: dict[str, Any] = {"use_cache": cached}
    fed = ids
    written: list[list[int]] = [[] for _ in prompts]
    going = [True] * len(prompts)
    with torch.inference_mode():
        for _ in range(steps):
            out = model(input_ids=fed, attention_mask=mask, **state, **only_last(model, fed))
            chosen = out.logits[:, -1].argmax(-1)
            for row, token in enumerate(chosen.tolist()):
                going[row] = going[row] and token not in ends
                if going[row]:
                    written[row].append(token)
            if not any(going):
                break
            ids = torch.cat([ids, chosen[:, None]], 1)
            mask = torch.ones_like(ids)
            fed = chosen[:, None] if cached else ids
            if cached:
                state["past_key_values"] = out.past_key_values
    return written
