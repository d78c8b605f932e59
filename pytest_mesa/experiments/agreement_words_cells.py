"""The work of the kind ``agreement`` on subjects that read text.

An instance is posed under every wording that was kept, and its score is the average over them:
prompts of one wording are one cluster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pytest_mesa.experiments.agreement_cells import ANSWERS_STREAM, explained
from pytest_mesa.experiments.agreement_words_asking import (
    all_wordings,
    clearly_unable,
    is_able,
    rng_of,
    subject_of,
    task_of,
)
from pytest_mesa.experiments.competence import STREAM as COMPETENCE_STREAM
from pytest_mesa.experiments.exhibit_cells import size
from pytest_mesa.experiments.lineup import stratum
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.asked import Asked
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.load import load
from pytest_mesa.tasks.knapsack.contrasts import draw_disagreeing
from pytest_mesa.tasks.knapsack.exact import optimum
from pytest_mesa.tasks.knapsack.heuristics import SOLVERS
from pytest_mesa.tasks.knapsack.instances import Instances, draw
from pytest_mesa.tasks.knapsack.words import numbers

if TYPE_CHECKING:
    from jaxtyping import Int

CHOOSE_STREAM = 0x776F7264  # apart from other uses of the seed
BLOCK = 50  # instances between two looks at whether a subject is able

Payload = dict[str, Any]


def choose(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Payload:
    """Each template's best wording, and the best templates.

    The best one is where the right answer is held most probable, among the feasible ones:
    with few instances that tells more than how often it is the most probable.

    Raises:
        SubjectError: no wording reaches the model as it was meant.
    """
    model: Any = load(params["subject"], inputs, precision="fast")
    instances = draw(task_of(params), params["count"], rng_of(params, CHOOSE_STREAM))
    best = optimum(instances)
    tried: list[dict[str, Any]] = []
    garbled: list[str] = []
    for asked in all_wordings(params, model):
        if fault := asked.garbled(instances):
            garbled.append(f"{asked.label}: {fault}")
            continue
        logits = asked.answer_logits(instances)
        right = logits.softmax(-1)[torch.arange(len(best)), torch.from_numpy(best)]
        tried.append(
            {
                "phrasing": asked.phrasing.to_json(),
                "name": asked.label,
                "accuracy": round(float((logits.argmax(-1).numpy() == best).mean()), 4),
                "right": float(right.double().mean()),
            }
        )
    if not tried:
        raise SubjectError("no question reaches the model as it was meant; " + "; ".join(garbled))
    ranked = sorted(tried, key=lambda row: -row["right"])  # stable: earlier ways win ties
    by_template: dict[str, dict[str, Any]] = {}
    for row in ranked:
        by_template.setdefault(row["phrasing"]["template"], row)
    kept = [row["phrasing"] for row in list(by_template.values())[: params["keep"]]]
    return {"kept": kept, "tried": tried, "garbled": garbled, "count": params["count"]}


def every_wording(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Payload:
    """All wordings that a model has."""
    model: Any = load(params["subject"], inputs, precision="fast")
    return {"kept": [asked.phrasing.to_json() for asked in all_wordings(params, model)]}


def competence(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Payload:
    """The share of wordings under which each fresh instance is answered with the optimum.

    Asked in blocks, until all are answered or it is clear that the subject is not able: its
    bounds hold at every look. With it what scores without solving anything: always the same
    answer, and any feasible one.
    """
    model, ways, (chosen,) = subject_of(params, inputs)
    fresh = draw(task_of(params), params["count"], rng_of(params, COMPETENCE_STREAM))
    best = optimum(fresh)
    given = np.zeros((len(ways), 0), dtype=np.int64)
    for start in range(0, len(fresh), BLOCK):
        block = fresh.take(np.arange(start, min(start + BLOCK, len(fresh))))
        given = np.concatenate([given, [way.answers(block) for way in ways]], axis=1)
        right = given == best[: given.shape[1]]
        if clearly_unable(params, right.mean(0)):
            break
    asked = given.shape[1]
    common, often = Counter(best[:asked].tolist()).most_common(1)[0]
    wrong = np.flatnonzero(~right[0])
    words = {
        "wordings": {
            way.label: round(float(r.mean()), 4) for way, r in zip(ways, right, strict=True)
        },
        "chosen_on": chosen.payload["count"],
        "tried": {row["name"]: row["accuracy"] for row in chosen.payload["tried"]},
        "garbled": chosen.payload["garbled"],
        "same_answer": {"answer": common, "accuracy": round(often / asked, 4)},
        "any_answer": round(1 / len(ways[0].options), 4),
        "answers_given": {str(a): n for a, n in sorted(Counter(given.ravel().tolist()).items())},
        "written": written(ways, fresh.take(np.arange(min(params["written"], asked))), given),
    }
    provenance = getattr(model, "provenance", None)
    return {
        "competence": right.mean(0).tolist(),
        "unskilled": often / asked,
        "weights_sha": model.weights_sha,
        "detail": {"words": words} | ({"model": provenance.to_json()} if provenance else {}),
        "wrong": wrong[np.argsort(size(fresh)[wrong], kind="stable")].tolist(),
    }


def written(
    ways: Sequence[Asked], instances: Instances, scored: Int[np.ndarray, "wording batch"]
) -> dict[str, Any]:
    """What the model writes of its own accord, counted: empty, no number, the scored answer."""
    if not len(instances):
        return {"n": 0}
    texts = [text for way in ways for text in way.written(instances)]
    read = numbers(texts)
    best = np.tile(optimum(instances), len(ways)).tolist()
    same = scored[:, : len(instances)].ravel().tolist()
    return {
        "n": len(texts),
        "empty": sum(not text.strip() for text in texts),
        "no_number": sum(number is None for number in read),
        "as_scored": sum(a == b for a, b in zip(read, same, strict=True)),
        "right": sum(a == b for a, b in zip(read, best, strict=True)),
    }


def answers(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Payload:
    """One stratum a rival: ``[answer = exact] - [answer = rival]``, averaged over wordings.

    A subject that is not able is asked ``glance`` times a rival: enough to describe it.
    """
    model, ways, (_, *able) = subject_of(params, inputs)
    count = params["count"] if all(is_able(params, result) for result in able) else params["glance"]
    strata, detail = [], {}
    for index, rival in enumerate(params["rivals"]):
        names = (params["algorithm"], rival)
        instances = draw_disagreeing(
            task_of(params), names, count, rng_of(params, ANSWERS_STREAM, index)
        )
        given = np.stack([way.answers(instances) for way in ways])
        exact, other = (SOLVERS[name](instances) for name in names)
        scores = ((given == exact) * 1.0 - (given == other)).mean(0)
        strata.append(stratum(rival, scores, -1.0, 1.0))
        detail[rival] = explained(
            given.ravel(), np.tile(exact, len(ways)), np.tile(other, len(ways))
        )
    return {
        "strata": strata,
        "budget": count * len(params["rivals"]),
        "weights_sha": model.weights_sha,
        "detail": {"answers": detail},
    }


def exhibit(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Payload:
    """The smallest instance that the best wording gets wrong (any, where it gets none wrong)."""
    _, (way, *_), (_, able) = subject_of(params, inputs)
    scored, words = able.payload["competence"], able.payload["detail"]["words"]
    fresh = draw(task_of(params), params["count"], rng_of(params, COMPETENCE_STREAM))
    wrong = able.payload["wrong"]
    instance = fresh.take(np.array([wrong[0] if wrong else int(np.argmin(size(fresh)))]))
    chances = way.answer_logits(instance)[0].softmax(-1)
    top = chances.topk(min(3, len(chances)))
    shown = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    lines = [
        *way.prompts(instance)[0].splitlines(),
        "",
        f"most probable  {', '.join(f'{answer} ({p:.2f})' for answer, p in shown)}",
        f"goes on with   {way.written(instance)[0]!r}",
        *(f"{name:<15}{int(solve(instance)[0])}" for name, solve in SOLVERS.items()),
        "",
        *summary(scored, words),
    ]
    what = "Smallest instance answered wrongly" if wrong else "An instance"
    return {"title": f"{what}, {way.label}", "text": "\n".join(lines), "wrong": len(wrong)}


def summary(scored: Sequence[float], words: Mapping[str, Any]) -> list[str]:
    """Competence beside what needs no skill, in words."""
    same, wrote = words["same_answer"], words["written"]
    lines = [
        f"Right on {float(np.mean(scored)):.3f} of {len(scored)} fresh instances ("
        + "; ".join(f"{name}: {share:.3f}" for name, share in words["wordings"].items())
        + f"). Always answering {same['answer']} scores {same['accuracy']:.3f}, any feasible "
        f"answer {words['any_answer']:.3f}. Different answers given: "
        f"{len(words['answers_given'])}."
    ]
    if wrote["n"]:
        lines.append(
            f"Of {wrote['n']} answers written out, {wrote['empty']} are empty, "
            f"{wrote['no_number']} hold no number, {wrote['as_scored']} are the one scored, "
            f"{wrote['right']} are right."
        )
    return lines
