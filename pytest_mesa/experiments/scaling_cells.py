"""The work of the kind ``scaling``: what is followed along a ladder, net by net, or planted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pytest_mesa.experiments.agreement_cells import (
    answer_streams,
    control_task,
    distinct_instances,
    plain_features,
)
from pytest_mesa.instruments.probe import Split, probe_layers
from pytest_mesa.registry.kinds import KnapsackTask
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.base import Subject
from pytest_mesa.subjects.load import load
from pytest_mesa.tasks.knapsack.aspects import ASPECTS
from pytest_mesa.tasks.knapsack.exact import optimum
from pytest_mesa.tasks.knapsack.heuristics import SOLVERS
from pytest_mesa.tasks.knapsack.instances import Instances, draw
from pytest_mesa.verdicts.scaling.names import PLANTS
from pytest_mesa.verdicts.scaling.planted import DECADES, SEEDS, plant

if TYPE_CHECKING:
    from jaxtyping import Float, Int

BEHAVIOUR_STREAM, PROBE_STREAM, PLANT_STREAM = 0x73636265, 0x73637072, 0x7363706C
ANSWERED = 10_000  # instances that behaviour is scored on: a share's standard error is 0.005
FIT, CHOOSE, MEASURE = 2000, 700, 1000  # instances a probe is fitted, chosen and measured on
PROBED = ("lp-bound", "ratio-order", "best-item", "critical-ratio")
HEURISTIC = "greedy-ratio"  # what an optimiser has to improve on, for the regret it closes


def net(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> dict[str, Any]:
    """Every measure of one net, on instances of its own.

    On instances that all nets shared, an error of the draw would be common to all seeds, and no
    number of them would show or shrink it.
    """
    subject = load(params["subject"], inputs, Subject)
    twin = load(params["twin"], (), Subject)
    task = KnapsackTask.model_validate(params["task"])
    seed = (params["seed"], params["draw"])
    measures, right = behaviour(subject, task, params["paper"], seed)
    measures["decodability"] = decodability(subject, twin, task, seed)
    return {
        "measures": measures,
        "right": [float(r) for r in right[: params["shown"]]],
        "parameters": sum(p.numel() for p in subject.module.parameters()),
        "weights_sha": subject.weights_sha,
    }


def behaviour(
    subject: Subject, task: KnapsackTask, paper: int, seed: Sequence[int]
) -> tuple[dict[str, float], Float[np.ndarray, " batch"]]:
    """What a net's answers are worth, in several units, and 1.0 for each right one."""
    fresh = draw(task, ANSWERED, np.random.default_rng([*seed, BEHAVIOUR_STREAM]))
    return worth(subject.answer_logits(fresh), fresh, paper)


def worth(
    logits: Float[torch.Tensor, "batch answer"], fresh: Instances, paper: int
) -> tuple[dict[str, float], Float[np.ndarray, " batch"]]:
    """What answers are worth, in several units, and 1.0 for each right one.

    ``log-likelihood`` is in nats, of the optimum among all answers. ``regret-closed`` is 1
    where no value is missed or made up, and 0 where as much is as by `HEURISTIC`. ``papers``
    is the share of runs of ``paper`` instances that are right in every one.
    """
    best: Int[np.ndarray, " batch"] = optimum(fresh)
    log_likelihood = torch.log_softmax(logits, -1)[torch.arange(len(best)), torch.from_numpy(best)]
    answers = logits.argmax(-1).numpy()
    right = np.asarray(answers == best, dtype=np.float64)
    # Among few and small instances the heuristic may make no error: it counts as one then.
    missed = max(np.abs(SOLVERS[HEURISTIC](fresh) - best).sum(), 1)
    regret = np.abs(answers - best).sum() / missed
    whole = right[: len(right) // paper * paper].reshape(-1, paper)
    return {
        "log-likelihood": float(log_likelihood.mean()),
        "optimum-probability": float(log_likelihood.exp().mean()),
        "regret-closed": float(1.0 - regret),
        "accuracy": float(right.mean()),
        "papers": float(whole.all(axis=1).mean()),
    }, right


def decodability(subject: Subject, twin: Subject, task: KnapsackTask, seed: Sequence[int]) -> float:
    """Mean over an optimiser's intermediate quantities of what the stream adds to reading them.

    Partial R² of a linear probe at the answer position, beyond the raw inputs, the exact
    answer and the streams of the untrained twin, which is as wide: a wider net would else
    seem to hold more for its width alone. At the layer that is best on a split apart.
    """
    rng = np.random.default_rng([*seed, PROBE_STREAM])
    instances = distinct_instances(task, FIT + CHOOSE + MEASURE, rng)
    untrained = np.concatenate(answer_streams(twin, instances), axis=1)
    baseline = np.concatenate([plain_features(instances), untrained], axis=1)
    streams = answer_streams(subject, instances)
    return added(streams, baseline, instances, Split.of(FIT, CHOOSE, MEASURE), rng)


def added(
    streams: Float[np.ndarray, "layer batch feature"],
    baseline: Float[np.ndarray, "batch feature"],
    instances: Instances,
    split: Split,
    rng: np.random.Generator,
) -> float:
    """Mean partial R² of the quantities `PROBED`, each at its best layer, beyond a baseline."""
    scores = probe_layers(
        list(streams),
        baseline,
        {name: ASPECTS[name](instances) for name in PROBED},
        control_task(instances, rng),
        split,
        0.0,
        rng,
    )
    return fmean(score.partial_r2 for score in scores.values())


def gather(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> dict[str, Any]:
    """A ladder's nets in one table: measures by rung and seed. The largest nets must be able.

    The ladder's hash is that of its nets' hashes, smallest first.
    """
    seeds = params["seeds"]
    payloads = [result.payload for result in inputs]
    rows = [payloads[start : start + seeds] for start in range(0, len(payloads), seeds)]
    sizes = params.get("sizes") or [row[0]["parameters"] for row in rows]
    ladder = {
        "decades": [round(float(np.log10(size)), 4) for size in sizes],
        "measures": {
            name: [[round(one["measures"][name], 5) for one in row] for row in rows]
            for name in payloads[0]["measures"]
        },
    }
    return {
        "detail": {"ladder": ladder},
        "competence": [score for one in rows[-1] for score in one["right"]],
        "budget": len(payloads),
        "weights_sha": hashlib.sha256(
            "".join(each["weights_sha"] for each in payloads).encode()
        ).hexdigest(),
    }


def planted(
    params: Mapping[str, Json], _inputs: tuple[Result, ...], _folder: Path
) -> dict[str, Any]:
    """A ladder whose scores follow a known curve, each measure with noise of its own."""
    curve = params["planted"]
    rng = np.random.default_rng([*params["seed"], PLANT_STREAM, PLANTS.index(curve)])
    measures = plant(curve, params["measures"], params["sharp"], rng)
    table = {name: scores.tolist() for name, scores in measures.items()}
    return {
        "detail": {"ladder": {"decades": DECADES.tolist(), "measures": table}},
        "budget": DECADES.size * SEEDS,
    }
