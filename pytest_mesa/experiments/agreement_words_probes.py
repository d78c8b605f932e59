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
from pytest_mesa.subjects.asked import Asked
from pytest_mesa.subjects.language import LanguageModel
from pytest_mesa.subjects.shuffled import shuffled
from pytest_mesa.tasks.knapsack.instances import Instances

if TYPE_CHECKING:
    from jaxtyping import Float

AT_ONCE = 8  # prompts whose stream at every position is held in memory
COMPONENTS = 256  # of a layer's stream; a probe of thousands would fit its instances by heart
# Of six random nets all showed some aspect beyond none of these, and none did beyond two.
TWINS = 4
NARROW = 1e-4  # of the widest component; float32 resolves little less


def aspects(
    params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path
) -> dict[str, Any]:
    """What an optimiser computes on its way, decoded where the best wording's prompt ends.

    Beyond the raw inputs, the exact answer, random features of both, and all layers of shuffled
    twins: a net that has learned nothing mixes its inputs, too, and shows aspects that no
    mixture of one layer does.
    """
    if not is_able(params, inputs[-1]):  # before anything is loaded
        return {"detail": {"aspects": {}, "aspects_skipped": "the subject is not competent"}}
    model, ways, _ = subject_of(params, inputs)
    if not hasattr(model, "stream"):
        return {"detail": {"aspects": {}, "aspects_skipped": "the subject has no inside"}}
    rng = rng_of(params, ASPECTS_STREAM)
    instances = distinct_instances(task_of(params), sum(params["counts"]), rng)
    streams, baseline = learned(params, model, ways[0], instances, rng)
    return {"detail": {"aspects": aspect_scores(params, instances, streams, baseline, rng)}}


def learned(
    params: Mapping[str, Json],
    model: Any,
    way: Asked,
    instances: Instances,
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "layer batch component"], Float[np.ndarray, "batch feature"]]:
    """A model's streams where a wording's prompts end, and all that is there without learning."""
    plain = plain_features(instances)
    prompts = way.prompts(instances)
    fit, *_ = params["counts"]
    twins = [
        twin_features(shuffled(model, params["seed"] + index), prompts, fit)
        for index in range(TWINS)
    ]
    baseline = np.concatenate([plain, random_features(plain, rng), *twins], axis=1)
    return compressed(ending_streams(model, prompts), fit), baseline


def ending_streams(model: Any, prompts: Sequence[str]) -> Float[np.ndarray, "layer batch d_model"]:
    """The residual stream at the last token of each prompt, at every layer."""
    parts = []
    for start in range(0, len(prompts), AT_ONCE):
        ids, mask, lengths = model.encode(prompts[start : start + AT_ONCE])
        stream = model.stream.capture(ids, mask)
        parts.append(stream[:, torch.arange(len(ids)), lengths - 1].float().cpu().numpy())
    return np.concatenate(parts, axis=1)


def twin_features(
    twin: LanguageModel, prompts: Sequence[str], fit: int
) -> Float[np.ndarray, "batch feature"]:
    """All layers at once: a twin may hold at one what the subject shows at another."""
    layers = ending_streams(twin, prompts)
    together = np.concatenate(list(layers), axis=1)[None]
    return np.asarray(compressed(together, fit, COMPONENTS // 2)[0])


def compressed(
    streams: Float[np.ndarray, "layer batch d_model"], fit: int, most: int = COMPONENTS
) -> Float[np.ndarray, "layer batch component"]:
    """Each layer on its first principal components, found on the fitting rows alone.

    Dimensions are brought to one scale before: a few in most models are hundreds of times as
    large as the rest, and would be all that the first components hold.
    """
    if streams.shape[2] <= most:
        return streams
    parts = []
    for layer in streams:
        centred = (layer - layer[:fit].mean(0)) / np.maximum(layer[:fit].std(0), 1e-6)
        _, spread, axes = np.linalg.svd(centred[:fit], full_matrices=False)
        # Along what hardly varies where it is fitted, other rows would lie far outside.
        axes[spread < NARROW * spread[0]] = 0.0
        parts.append(centred @ axes[:most].T)
    return np.stack(parts)
