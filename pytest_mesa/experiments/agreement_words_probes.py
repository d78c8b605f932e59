"""What an optimiser computes on its way, decoded from a language model that is able."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pytest_mesa.experiments.agreement_cells import (
    ASPECTS_STREAM,
    aspect_scores,
    distinct_instances,
    plain_features,
    random_features,
)
from pytest_mesa.experiments.agreement_words_asking import is_able, rng_of, subject_of, task_of
from pytest_mesa.runs.cells import Json, Result

if TYPE_CHECKING:
    from jaxtyping import Float

AT_ONCE = 8  # prompts whose stream at every position is held in memory
COMPONENTS = 256  # of a layer's stream; a probe of thousands would fit its instances by heart
NARROW = 1e-4  # of the widest component; float32 resolves little less


def aspects(
    params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path
) -> dict[str, Any]:
    """What an optimiser computes on its way, decoded where the best wording's prompt ends.

    Beyond the raw inputs, the exact answer and random features of both, as for every subject
    without an untrained twin.
    """
    if not is_able(params, inputs[-1]):  # before anything is loaded
        return {"detail": {"aspects": {}, "aspects_skipped": "the subject is not competent"}}
    model, ways, _ = subject_of(params, inputs)
    if not hasattr(model, "stream"):
        return {"detail": {"aspects": {}, "aspects_skipped": "the subject has no inside"}}
    rng = rng_of(params, ASPECTS_STREAM)
    instances = distinct_instances(task_of(params), sum(params["counts"]), rng)
    plain = plain_features(instances)
    baseline = np.concatenate([plain, random_features(plain, rng)], axis=1)
    fit, *_ = params["counts"]
    streams = compressed(ending_streams(model, ways[0].prompts(instances)), fit)
    return {"detail": {"aspects": aspect_scores(params, instances, streams, baseline, rng)}}


def ending_streams(model: Any, prompts: Sequence[str]) -> Float[np.ndarray, "layer batch d_model"]:
    """The residual stream at the last token of each prompt, at every layer."""
    parts = []
    for start in range(0, len(prompts), AT_ONCE):
        ids, mask, lengths = model.encode(prompts[start : start + AT_ONCE])
        stream = model.stream.capture(ids, mask)
        parts.append(stream[:, torch.arange(len(ids)), lengths - 1].float().cpu().numpy())
    return np.concatenate(parts, axis=1)


def compressed(
    streams: Float[np.ndarray, "layer batch d_model"], fit: int
) -> Float[np.ndarray, "layer batch component"]:
    """Each layer on its first principal components, found on the fitting rows alone.

    Dimensions are brought to one scale before: a few in most models are hundreds of times as
    large as the rest, and would be all that the first components hold.
    """
    if streams.shape[2] <= COMPONENTS:
        return streams
    parts = []
    for layer in streams:
        centred = (layer - layer[:fit].mean(0)) / np.maximum(layer[:fit].std(0), 1e-6)
        _, spread, axes = np.linalg.svd(centred[:fit], full_matrices=False)
        # Along what hardly varies where it is fitted, other rows would lie far outside.
        axes[spread < NARROW * spread[0]] = 0.0
        parts.append(centred @ axes[:COMPONENTS].T)
    return np.stack(parts)
