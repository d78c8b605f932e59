"""The work of the kind ``agreement``: answers where solvers differ, and aspects by probe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pytest_mesa.experiments.lineup import stratum
from pytest_mesa.instruments.probe import ProbeScore, Split, probe_layers
from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.base import CHUNK, Subject
from pytest_mesa.subjects.load import load
from pytest_mesa.tasks.knapsack import tokens
from pytest_mesa.tasks.knapsack.aspects import ASPECTS
from pytest_mesa.tasks.knapsack.contrasts import draw_disagreeing
from pytest_mesa.tasks.knapsack.exact import optimum
from pytest_mesa.tasks.knapsack.heuristics import SOLVERS, order_by, ratio_key
from pytest_mesa.tasks.knapsack.instances import Instances, concatenate, draw
from pytest_mesa.verdicts.confidence import lower_bound

if TYPE_CHECKING:
    from jaxtyping import Float, Int

ANSWERS_STREAM, ASPECTS_STREAM = 0x61677265, 0x61737065  # apart from other uses of the seed
MARGIN = 0.05  # least partial R² that counts: well above what an idle feature set reaches
RANDOM_FEATURES = 256

Answers: TypeAlias = 'Int[np.ndarray, " batch"]'


def answers(
    params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path
) -> dict[str, Any]:
    """One stratum a rival: ``[answer = exact] - [answer = rival]`` where those two differ."""
    subject = load(params["subject"], inputs)
    task = KnapsackTask.model_validate(params["task"])
    strata, detail = [], {}
    for index, rival in enumerate(params["rivals"]):
        rng = np.random.default_rng([params["seed"], ANSWERS_STREAM, index])
        names = (params["algorithm"], rival)
        instances = draw_disagreeing(task, names, params["count"], rng)
        given = subject.answers(instances)
        exact, other = (SOLVERS[name](instances) for name in names)
        strata.append(stratum(rival, (given == exact) * 1.0 - (given == other), -1.0, 1.0))
        detail[rival] = explained(given, exact, other)
    return {
        "strata": strata,
        "weights_sha": subject.weights_sha,
        "detail": {"answers": detail},
    }


def explained(given: Answers, exact: Answers, rival: Answers) -> dict[str, Any]:
    """Shares of the answers that either solver gives, and of the errors that the rival gives.

    ``chance`` is the share of errors that would equal the rival's answer if each instance's
    error were off by the amount of another's, over all pairs of errors.
    """
    wrong = given != exact
    off = given[wrong] - exact[wrong]
    would = exact[wrong][:, None] + off[None, :] == rival[wrong][:, None]
    errors = int(wrong.sum())
    return {
        "n": len(given),
        "exact": round(float((~wrong).mean()), 4),
        "rival": round(float((given == rival).mean()), 4),
        "neither": round(float((wrong & (given != rival)).mean()), 4),
        "errors": errors,
        "errors_explained": round(float((given == rival)[wrong].mean()), 4) if errors else None,
        "errors_by_chance": round(float(would.mean()), 4) if errors else None,
    }


def aspects(
    params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path
) -> dict[str, Any]:
    """What an optimiser computes on its way, decoded from the stream at the answer position.

    Beyond the raw inputs, the exact answer (with which everything here correlates) and the
    streams of an untrained twin. An aspect is decodable where its partial R² is conclusively
    above `MARGIN` and above the control task's, at the spec's alpha over all aspects.
    """
    subject = load(params["subject"], inputs)
    task = KnapsackTask.model_validate(params["task"])
    rng = np.random.default_rng([params["seed"], ASPECTS_STREAM])
    instances = distinct_instances(task, sum(params["counts"]), rng)
    streams = answer_streams(subject, instances)
    plain = plain_features(instances)
    if params["twin"] is None:
        # A subject without a twin is held against random features of its inputs instead.
        twin = random_features(plain, rng)
    else:
        # All layers at once: the twin may hold at one layer what the subject shows at another.
        twin = np.concatenate(answer_streams(load(params["twin"], ()), instances), axis=1)
    baseline = np.concatenate([plain, twin], axis=1)
    return {"detail": {"aspects": aspect_scores(params, instances, streams, baseline, rng)}}


def aspect_scores(
    params: Mapping[str, Json],
    instances: Instances,
    streams: Float[np.ndarray, "layer batch d_model"],
    baseline: Float[np.ndarray, "batch feature"],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Each aspect's best layer, beyond the baseline features."""
    names = params["aspects"]
    scores = probe_layers(
        list(streams),
        baseline,
        {name: ASPECTS[name](instances) for name in names},
        control_task(instances, rng),
        Split.of(*params["counts"]),
        MARGIN,
        rng,
    )
    alpha = params["alpha"] / len(names)
    return {name: _row(scores[name], alpha) for name in names}


def _row(score: ProbeScore, alpha: float) -> dict[str, Any]:
    low, high = score.interval
    return {
        "layer": score.layer,
        "partial_r2": round(score.partial_r2, 4),
        "interval": [round(low, 4), round(high, 4)],
        "baseline_r2": round(score.baseline_r2, 4),
        "full_r2": round(score.full_r2, 4),
        "selectivity": round(score.selectivity, 4),
        "threshold": round(score.threshold, 4),
        "decodable": lower_bound([float(g) for g in score.gains], alpha, -1.0, 1.0) > 0,
    }


def distinct_instances(task: KnapsackTask, count: int, rng: np.random.Generator) -> Instances:
    """Draw instances of which no two are the same set of items with the same capacity.

    A knapsack is a set: an instance and its reordering must not stand on two sides of a split.

    Raises:
        ValueError: the task has (almost) no further instances.
    """
    kept: list[Instances] = []
    seen: set[bytes] = set()
    for _ in range(100):
        block = draw(task, count, rng)
        item = np.sort(block.weights * (task.values[1] + 1) + block.values, axis=1)
        keys = np.concatenate([item, block.capacity[:, None]], axis=1)
        fresh = []
        for row, key in enumerate(keys):
            if len(seen) < count and (name := key.tobytes()) not in seen:
                seen.add(name)
                fresh.append(row)
        kept.append(block.take(np.array(fresh, dtype=np.int64)))
        if len(seen) == count:
            return concatenate(kept)
    raise ValueError(f"the task has only about {len(seen)} different instances; {count} are needed")


def answer_streams(
    subject: Subject, instances: Instances
) -> Float[np.ndarray, "layer batch d_model"]:
    """The residual stream at the answer position, at every layer."""
    place = tokens.answer_position(instances)
    ids = tokens.encode(instances)
    parts = [
        subject.stream.capture(ids[start : start + CHUNK])[:, :, place].numpy()
        for start in range(0, len(ids), CHUNK)
    ]
    return np.concatenate(parts, axis=1)


def plain_features(instances: Instances) -> Float[np.ndarray, "batch feature"]:
    """One-hot raw inputs, position by position, and the one-hot exact answer."""
    ids = tokens.encode(instances).numpy()
    columns = [*ids.T, optimum(instances)]
    return np.concatenate(
        [(column[:, None] == np.unique(column)[None, :]) * 1.0 for column in columns], axis=1
    )


def random_features(
    plain: Float[np.ndarray, "batch feature"], rng: np.random.Generator
) -> Float[np.ndarray, "batch random"]:
    """Rectified random mixtures of the inputs, for subjects without an untrained twin."""
    mixing = rng.standard_normal((plain.shape[1], RANDOM_FEATURES))
    return np.asarray(np.maximum(plain @ mixing, 0.0))


def control_task(instances: Instances, rng: np.random.Generator) -> Float[np.ndarray, "batch 1"]:
    """A random label for each pair of capacity and best item: a control task.

    As fixed by the inputs as an aspect is, and meaningless (Hewitt & Liang 2019).
    """
    best = order_by(ratio_key(instances))[:, :1]
    weight = np.take_along_axis(instances.weights, best, 1)[:, 0]
    value = np.take_along_axis(instances.values, best, 1)[:, 0]
    labels = rng.random((tokens.TOP_WEIGHT + 1, tokens.TOP_VALUE + 1, tokens.TOP_CAPACITY + 1))
    return np.asarray(labels[weight, value, instances.capacity][:, None])
