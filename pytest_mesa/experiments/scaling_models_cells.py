"""The work of the kind ``scaling`` on ladders of released models."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from math import log10
from pathlib import Path
from statistics import fmean
from typing import Any

from pytest_mesa.experiments.agreement_cells import distinct_instances
from pytest_mesa.experiments.agreement_words_asking import rng_of, subject_of, task_of
from pytest_mesa.experiments.agreement_words_probes import learned
from pytest_mesa.experiments.scaling_cells import BEHAVIOUR_STREAM, PROBE_STREAM, added, worth
from pytest_mesa.instruments.probe import Split
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.model_ladders import TAKES
from pytest_mesa.tasks.knapsack.instances import draw
from pytest_mesa.verdicts.scaling.names import LEAST_RUNGS, LEAST_SEEDS

# Models of one recipe differ by some embeddings or an adapter; neighbouring sizes of a ladder
# that could tell a jump from growth differ by far more.
ONE_SIZE = 1.02

Payload = dict[str, Any]


def behaviour(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Payload:
    """What a model's answers are worth, averaged over the wordings that were kept."""
    model, ways, _ = subject_of(params, inputs)
    fresh = draw(task_of(params), params["count"], rng_of(params, params["draw"], BEHAVIOUR_STREAM))
    scored = [worth(way.answer_logits(fresh), fresh, params["paper"])[0] for way in ways]
    measures = {name: fmean(score[name] for score in scored) for name in scored[0]}
    return {"measures": measures, "parameters": _parameters(model)}


def inside(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Payload:
    """What a model's stream adds to reading an optimiser's quantities, by its best wording.

    Beyond the raw inputs, the exact answer, random features of both, and all layers of shuffled
    twins, which are as wide.

    Raises:
        SubjectError: a model that can't be looked into.
    """
    model, ways, _ = subject_of(params, inputs)
    if not hasattr(model, "stream"):
        raise SubjectError(f"{model.label} has no inside that could be probed")
    rng = rng_of(params, params["draw"], PROBE_STREAM)
    instances = distinct_instances(task_of(params), sum(params["counts"]), rng)
    streams, baseline = learned(params, model, ways[0], instances, rng)
    split = Split.of(*params["counts"])
    return {
        "measures": {"decodability": added(streams, baseline, instances, split, rng)},
        "parameters": _parameters(model),
    }


def _parameters(model: Any) -> int:
    """Numbers that training found; what two layers share counts once."""
    return sum(weight.numel() for weight in model.model.parameters())


def gather(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Payload:
    """Models in one table, by size and seed. The largest must be able.

    Sizes within 2 % of each other are one. The ladder's hash is that of its models' hashes,
    smallest first.

    Raises:
        SubjectError: too few sizes, unequal numbers of models, or the same weights twice.
    """
    payloads = [result.payload for result in inputs]
    each = params["each"]
    models = [
        _joined(name, payloads[start : start + each])
        for name, start in zip(params["names"], range(0, len(payloads), each), strict=True)
    ]
    rungs = by_size(models)
    _refuse_uneven(rungs)
    _refuse_same(models)
    largest = rungs[-1]
    # As much of each: one that was clearly unable was not asked to the end.
    shown = min(params["shown"] // len(largest), *(len(one["right"]) for one in largest))
    return {
        "detail": {"ladder": _table(rungs)} | _loaded(models),
        "competence": [score for one in largest for score in one["right"][:shown]],
        "unskilled": max((one["unskilled"] for one in largest if one["unskilled"]), default=None),
        "budget": len(models),
        "weights_sha": hashlib.sha256(
            "".join(one["weights_sha"] for rung in rungs for one in rung).encode()
        ).hexdigest(),
    }


def by_size(models: Sequence[Payload]) -> list[list[Payload]]:
    """Models by size, smallest first; a size is all that is within 2 % of its smallest."""
    rungs: list[list[Payload]] = []
    for one in sorted(models, key=lambda model: model["parameters"]):
        if not rungs or one["parameters"] > ONE_SIZE * rungs[-1][0]["parameters"]:
            rungs.append([])
        rungs[-1].append(one)
    return rungs


def _joined(name: str, parts: Sequence[Payload]) -> Payload:
    """What the cells of one model found."""
    joined: Payload = {"name": name, "measures": {}, "right": [], "unskilled": None, "detail": {}}
    for part in parts:
        joined["measures"].update(part.get("measures", {}))
        joined["right"] = part.get("right") or part.get("competence") or joined["right"]
        for field in ("parameters", "weights_sha", "unskilled", "detail"):
            joined[field] = part.get(field, joined.get(field))
    return joined


def _refuse_uneven(rungs: Sequence[Sequence[Payload]]) -> None:
    counts = {len(rung) for rung in rungs}
    if len(rungs) >= LEAST_RUNGS and len(counts) == 1 and min(counts) >= LEAST_SEEDS:
        return
    told = "; ".join(
        f"{len(rung)} of {rung[0]['parameters']:,} parameters "
        f"({', '.join(one['name'] for one in rung)})"
        for rung in rungs
    )
    raise SubjectError(f"these models are no ladder: {TAKES}, and there are {told}")


def _refuse_same(models: Sequence[Payload]) -> None:
    """Stop at the same weights from two places, which would pass for two seeds."""
    names: dict[str, str] = {}
    for one in models:
        if (sha := one["weights_sha"]) in names:
            raise SubjectError(f"{names[sha]} and {one['name']} have the same weights")
        names[sha] = one["name"]


def _table(rungs: Sequence[Sequence[Payload]]) -> Payload:
    return {
        "decades": [round(fmean(log10(one["parameters"]) for one in rung), 4) for rung in rungs],
        "measures": {
            name: [[round(one["measures"][name], 5) for one in rung] for rung in rungs]
            for name in rungs[0][0]["measures"]
        },
        "models": [[_about(one) for one in rung] for rung in rungs],
    }


def _about(model: Payload) -> Payload:
    """Which model stands where, and in which words it was asked."""
    words = model["detail"].get("words", {})
    asked = {"wordings": list(words["wordings"])} if words else {}
    return {"name": model["name"], "parameters": model["parameters"]} | asked


def _loaded(models: Sequence[Payload]) -> Payload:
    """How language models were loaded, for the record; nothing of nets that read tokens."""
    told = [one["detail"]["model"] for one in models if "model" in one["detail"]]
    if not told:
        return {}
    how = {name: ", ".join(sorted({one[name] for one in told})) for name in ("device", "dtype")}
    return {"model": how | {"remote_code": any(one["remote_code"] for one in told)}}
