"""Twins of a language model that have its weights and none of what it has learned."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from pytest_mesa.subjects.language import LanguageModel


def shuffled(subject: LanguageModel, seed: int) -> LanguageModel:
    """The same model with the rows and the columns of every weight matrix in random order.

    Each matrix keeps its entries and singular values, so the twin mixes its inputs as strongly
    as the subject does; what one layer writes for another to read is lost. It stands in for
    the net before its first step, which nobody has of a released model. Needs as much memory
    again as the model.
    """
    generator = torch.Generator().manual_seed(seed)
    model = copy.deepcopy(subject.model)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim < 2:
                continue  # gains and biases
            mixed: torch.Tensor = weight
            for axis, size in enumerate(weight.shape):
                order = torch.randperm(size, generator=generator).to(weight.device)
                mixed = mixed.index_select(axis, order)
            weight.copy_(mixed)
    return replace(subject, label=f"{subject.label}, shuffled", model=model)
