"""The cells of the kind ``causal-state`` that search for a state and measure it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pytest_mesa.experiments.causal_state import PAIR_RIVALS
from pytest_mesa.experiments.lineup import stratum
from pytest_mesa.instruments.interchange import Runs, interchange_accuracy
from pytest_mesa.instruments.past import remember
from pytest_mesa.instruments.search import Budget, Candidate, Material, candidate_sites, search
from pytest_mesa.instruments.stream import Site, Stream
from pytest_mesa.instruments.subspace import random_subspace, ridge
from pytest_mesa.registry.kinds import KnapsackTask, SiteSearch
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.base import Subject
from pytest_mesa.subjects.load import load
from pytest_mesa.tasks.knapsack import tokens
from pytest_mesa.tasks.knapsack.algorithms import CausalAlgorithm, algorithm
from pytest_mesa.tasks.knapsack.exact import optimum
from pytest_mesa.tasks.knapsack.pairs import Pairs, draw_pairs

if TYPE_CHECKING:
    from jaxtyping import Float, Int

SELECT_PAIRS = 400  # to choose among a few dozen candidates: a standard error of 0.025
SPLITS = {"train": 1, "select": 2, "measure": 3, "spike": 4}  # separate streams of one seed
MEANT = 0.2  # accuracy on counterfactual instances under which no share of it means anything


@dataclass(frozen=True)
class Setting:
    """One state of one algorithm on one task, as a cell's parameters give it."""

    task: KnapsackTask
    algorithm: CausalAlgorithm
    stage: int
    rivals: tuple[str, ...]
    search: SiteSearch
    seed: int

    @classmethod
    def of(cls, params: Mapping[str, Json]) -> Setting:
        """Read a cell's parameters."""
        task = KnapsackTask.model_validate(params["task"])
        top = task.items * task.values[1]
        return cls(
            task,
            algorithm(params["algorithm"], task.capacity[1], top),
            params["stage"],
            tuple(params["rivals"]),
            SiteSearch.model_validate(params["search"]),
            params["seed"],
        )

    @property
    def columns(self) -> tuple[int, ...]:
        """The items that the state depends on."""
        return self.algorithm.columns(self.task.items, self.stage)

    @property
    def first_position(self) -> int:
        """The first position that has read all of these items."""
        return max(self.columns) + 1

    def pairs(self, split: str, count: int) -> Pairs:
        """Pairs of one split; splits never share a draw."""
        return _pairs(self, split, count)

    def generator(self, split: str) -> torch.Generator:
        """The torch generator of one split."""
        return torch.Generator().manual_seed(self.seed * 1000 + SPLITS[split] * 10 + self.stage)


@lru_cache(maxsize=16)  # subjects share their pairs, and drawing them takes seconds
def _pairs(setting: Setting, split: str, count: int) -> Pairs:
    rng = np.random.default_rng([setting.seed, SPLITS[split], setting.stage])
    filters = tuple(rival for rival in setting.rivals if rival in PAIR_RIVALS)
    return draw_pairs(setting.task, setting.algorithm, setting.stage, filters, count, rng)


def captured(stream: Stream, pairs: Pairs) -> Runs:
    """Runs on a set of pairs."""
    base, source = tokens.encode(pairs.base), tokens.encode(pairs.source)
    target = torch.from_numpy(pairs.counterfactual) + tokens.FIRST_ANSWER
    own, past = remember(stream, base)
    return Runs(base, own, stream.capture(source), target, past=past)


def run_ids(runs: Runs, pairs: Pairs) -> Int[Tensor, "run pos"]:
    """The inputs of all runs of the pairs: the sources, then the bases."""
    return torch.cat([tokens.encode(pairs.source), runs.ids])


def run_states(setting: Setting, pairs: Pairs) -> Int[np.ndarray, "run cell"]:
    """The states in all runs of the pairs: the sources, then the bases."""
    own = setting.algorithm.state(pairs.base, setting.stage)
    return np.concatenate([pairs.state, own])


def item_features(
    ids: Int[Tensor, "batch pos"], columns: tuple[int, ...]
) -> Float[Tensor, "batch feature"]:
    """Raw items, one-hot by token."""
    size = tokens.FIRST_CAPACITY
    parts = [functional.one_hot(ids[:, column + 1], size).float() for column in columns]
    return torch.cat([*parts, torch.zeros(len(ids), 0)], dim=1)


def raw_features(ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch feature"]:
    """The whole input, one-hot by token: all that a stream without any computing could hold."""
    capacity = functional.one_hot(ids[:, -1] - tokens.FIRST_CAPACITY, tokens.TOP_CAPACITY + 1)
    return torch.cat([item_features(ids, tuple(range(ids.shape[1] - 2))), capacity.float()], dim=1)


def nuisance_features(
    ids: Int[Tensor, "batch pos"], setting: Setting
) -> Float[Tensor, "batch feature"]:
    """What the stream may hold besides the state: the other items and the capacity."""
    raw = raw_features(ids)
    kept = torch.ones(raw.shape[1], dtype=torch.bool)
    for column in setting.columns:
        kept[column * tokens.FIRST_CAPACITY : (column + 1) * tokens.FIRST_CAPACITY] = False
    return raw[:, kept]


def state_features(state: np.ndarray) -> Float[Tensor, "batch feature"]:
    """A state, one-hot cell by cell, each cell by the values it takes."""
    parts = []
    for column in state.T:
        _, index = np.unique(column, return_inverse=True)
        parts.append(functional.one_hot(torch.from_numpy(index).reshape(-1)).float())
    return torch.cat(parts, dim=1)


@dataclass(frozen=True)
class Found:
    """What a search came to: candidates, best first, and what it was trained on."""

    candidates: list[Candidate]
    runs: Runs
    pairs: Pairs

    @property
    def best(self) -> Candidate:
        """The candidate to measure."""
        return self.candidates[0]


def find(stream: Stream, setting: Setting, widest: float = 1.0) -> Found:
    """Search a subject's stream for the state, in subspaces of at most this share of its width."""
    train_pairs = setting.pairs("train", setting.search.train_pairs)
    train = captured(stream, train_pairs)
    material = Material(
        train=train,
        select=captured(stream, setting.pairs("select", SELECT_PAIRS)),
        state=torch.from_numpy(run_states(setting, train_pairs)).float(),
        nuisance=nuisance_features(run_ids(train, train_pairs), setting),
        contrast=torch.from_numpy(optimum(train_pairs.base)) + tokens.FIRST_ANSWER,
    )
    sites = candidate_sites(stream.layers, setting.first_position, setting.task.items + 1)
    limits = setting.search
    rank = min(limits.rank, max(1, int(widest * train.base.shape[-1])))
    budget = Budget(rank, limits.screen_pairs, limits.sites, limits.steps, limits.batch)
    found = search(stream, material, sites, budget, setting.generator("train"))
    return Found(found, train, train_pairs)


def rebuilt(
    train: Runs, site: Site, features: Float[Tensor, "run feature"], fresh: Tensor
) -> Float[Tensor, "layer batch d_model"]:
    """What a linear map from features writes at the site, in the place of the source run.

    ``features`` belong to the training source runs, then to the base runs. The map is all but
    unpenalised: a rival held back by shrinkage would be beaten by that alone.
    """
    rows = []
    for layer in range(train.source.shape[0]):
        here = [whole[layer, :, site.position] for whole in (train.source, train.base)]
        slope, intercept = ridge(features, torch.cat(here), penalty=1e-6)
        rows.append(fresh @ slope + intercept)
    return torch.stack(rows)


def rival_scores(
    stream: Stream,
    setting: Setting,
    found: Found,
    runs: Runs,
    pairs: Pairs,
    generator: torch.Generator,
) -> dict[str, Float[Tensor, " pair"]]:
    """Interchange accuracy of what else might answer so at the best site, on runs of ``pairs``.

    ``random-subspace`` has the rank of the one found. ``raw-items`` writes into the same
    subspace what a linear map from the source's raw input gives: where that does as well, what
    the subspace carries is the items, not the table.
    """
    best, scores = found.best, {}
    if "random-subspace" in setting.rivals:
        chance = random_subspace(best.subspace.shape[0], best.subspace.shape[1], generator)
        scores["random-subspace"] = interchange_accuracy(stream, runs, best.site, chance)
    if "raw-items" in setting.rivals:
        known = raw_features(run_ids(found.runs, found.pairs))
        donor = rebuilt(found.runs, best.site, known, raw_features(tokens.encode(pairs.source)))
        score = interchange_accuracy(stream, runs, best.site, best.subspace, donor)
        scores["raw-items"] = score
    return scores


def measure_state(
    params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path
) -> dict[str, Any]:
    """Interchange accuracy of the best site and subspace, on fresh pairs, with its rivals."""
    setting = Setting.of(params)
    subject = load(params["subject"], inputs, Subject)
    stream = subject.stream
    found = find(stream, setting)
    best, train, train_pairs = found.best, found.runs, found.pairs
    fresh_pairs = setting.pairs("measure", params["pairs"])
    fresh = captured(stream, fresh_pairs)
    name = f"state-{setting.stage}"
    scores = interchange_accuracy(stream, fresh, best.site, best.subspace)
    generator = setting.generator("measure")
    beside = rival_scores(stream, setting, found, fresh, fresh_pairs, generator)
    states = [run_states(setting, train_pairs), fresh_pairs.state]
    both = state_features(np.concatenate(states))
    donor = rebuilt(train, best.site, both[: 2 * len(train)], both[2 * len(train) :])
    written = interchange_accuracy(stream, fresh, best.site, best.subspace, donor)
    ceiling = ceiling_of(subject, fresh_pairs)
    return {
        "strata": [stratum(name, scores)],
        "rivals": [stratum(f"{rival}/{name}", score) for rival, score in beside.items()],
        "weights_sha": subject.weights_sha,
        "detail": {
            name: {
                "site": _site(best.site),
                "subspace": best.origin,
                "selection_score": round(best.score, 4),
                "ceiling": round(ceiling, 4),
                **_share(float(scores.mean()), ceiling),
                "written_state": round(float(written.mean()), 4),
                "runners_up": [
                    {"site": _site(c.site), "subspace": c.origin, "score": round(c.score, 4)}
                    for c in found.candidates[1:4]
                ],
            }
        },
    }


def ceiling_of(subject: Subject, pairs: Pairs) -> float:
    """The subject's own accuracy on the instances whose optimum the counterfactuals are."""
    return float((subject.answers(pairs.hybrid) == pairs.counterfactual).mean())


def _share(score: float, ceiling: float) -> dict[str, float]:
    """The score as a share of its ceiling, where the subject has one to speak of."""
    return {"share_of_ceiling": round(score / ceiling, 4)} if ceiling > MEANT else {}


def _site(site: Site) -> str:
    return f"layer {site.layer}{' onward' if site.onward else ''}, position {site.position}"
