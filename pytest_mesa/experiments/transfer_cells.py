"""The work of the kind ``transfer``: probes and directions fitted at home, tried away.

Scores are shares of comparisons won, ties half: 0.5 for a probe or a direction that says
nothing, by symmetry, since a random one is as likely to point the other way. Layers are chosen
on positions apart, for each probe its best where it is tried, which favours transfer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pytest_mesa.experiments.transfer_reader import Plant, Reader, Squares, plants, split
from pytest_mesa.experiments.transfer_steering import Steering
from pytest_mesa.instruments.subspace import ridge
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.lc0.load import Lc0Subject
from pytest_mesa.subjects.load import load
from pytest_mesa.tasks.games import exchanges
from pytest_mesa.tasks.games.exchanges import Marked

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Directions = Float[Tensor, "layer d_model"]

STREAM = 0x73746565  # apart from other uses of the seed
UNIT = 4  # consecutive positions that make one score
MOST_CHOOSING = 40  # positions that a layer to steer at is chosen on


def positions(params: Mapping[str, Json], _inputs: tuple[Result, ...], _folder: Path) -> Any:
    """The cell of a setting's positions.

    Raises:
        SubjectError: the frozen games hold fewer of them than the spec asks for.
    """
    wanted = params["count"]
    found = [
        asdict(m) for m in islice(exchanges.positions(params["setting"], params["seed"]), wanted)
    ]
    if len(found) < wanted:
        raise SubjectError(
            f"the frozen games hold {len(found)} {params['setting']} positions, and the spec asks "
            f"for {wanted}; lower fit, choose or the budget"
        )
    return {"setting": params["setting"], "positions": found}


@dataclass
class Setting:
    """One setting as a subject sees it, part by part."""

    name: str
    parts: dict[str, Reader]

    @classmethod
    def of(
        cls,
        payload: Mapping[str, Any],
        sizes: Mapping[str, int],
        subject: Lc0Subject,
        plant: Plant | None,
    ) -> Setting:
        """From the payload of `positions`."""
        found = [
            Marked(row["fen"], *(tuple(row[name]) for name in ("squares", "kinds", "winnable")))
            for row in payload["positions"]
        ]
        parts = {part: Reader(subject, each, plant) for part, each in split(found, sizes)}
        return cls(payload["setting"], parts)

    def fitted(self, winnable: Int[np.ndarray, " square"] | None = None) -> tuple[Directions, ...]:
        """At each layer: the probe that tells winnable pieces, and the direction that goes with it.

        Everything among pieces of a kind, so that the kind tells nothing.
        """
        reader = self.parts["fit"]
        marks = reader.squares.winnable if winnable is None else winnable
        probes, moved = [], []
        for layer in reader.streams:
            rows, labels = within_kinds(layer, reader.squares.kind, marks)
            probes.append(ridge(rows, labels[:, None])[0][:, 0])
            moved.append(rows.T @ labels / labels.square().sum())
        return torch.stack(probes), torch.stack(moved)

    def decoded(self, part: str, probes: Directions) -> Float[np.ndarray, "layer unit"]:
        """How each layer's probe ranks a part's pieces."""
        reader = self.parts[part]
        scores = torch.einsum("lsd,ld->ls", reader.streams, probes)
        return ranked(reader.squares, scores.double().numpy())


def within_kinds(
    stream: Float[Tensor, "square d_model"],
    kinds: Int[np.ndarray, " square"],
    winnable: Int[np.ndarray, " square"],
) -> tuple[Float[Tensor, "row d_model"], Float[Tensor, " row"]]:
    """Rows and marks, less their means among pieces of the kind; kinds with one mark left out."""
    rows, labels = [], []
    for kind in np.unique(kinds):
        here = torch.from_numpy(np.flatnonzero(kinds == kind))
        label = torch.from_numpy(winnable)[here].float()
        if 0 < float(label.mean()) < 1:
            rows.append(stream[here] - stream[here].mean(0))
            labels.append(label - label.mean())
    return torch.cat(rows), torch.cat(labels)


def ranked(
    squares: Squares, scores: Float[np.ndarray, "layer square"]
) -> Float[np.ndarray, "layer unit"]:
    """The share of pairs of a kind in which the winnable piece scores higher, ties half.

    `UNIT` consecutive positions make one score; those without such a pair make none.
    """
    unit_of = squares.position // UNIT
    units = []
    for unit in np.unique(unit_of):
        shares = []
        for place in np.flatnonzero((unit_of == unit) & (squares.winnable == 1)):
            held = (
                (unit_of == unit) & (squares.winnable == 0) & (squares.kind == squares.kind[place])
            )
            if held.any():
                own, others = scores[:, place, None], scores[:, held]
                shares.append(((own > others) + 0.5 * (own == others)).mean(1))
        if shares:
            units.append(np.mean(shares, axis=0))
    return np.array(units).T if units else np.zeros((len(scores), 0))


def profile(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Any:
    """All scores of a subject. Inputs are its own, then the settings' positions."""
    names = params["settings"]
    own, sets = inputs[: -len(names)], inputs[-len(names) :]
    subject = load(params["subject"], own, Lc0Subject)
    planted = plants(params["subject"], subject, names)
    settings = {
        name: Setting.of(result.payload, params["sizes"], subject, planted[name])
        for name, result in zip(names, sets, strict=True)
    }
    fitted = {name: setting.fitted() for name, setting in settings.items()}
    rng = np.random.default_rng([params["seed"], STREAM])
    found: dict[str, Any] = {}
    for name, setting in settings.items():
        partners = [other for pair in params["pairs"] if name in pair for other in pair]
        tried = list(dict.fromkeys([name, *partners]))
        found[name] = {
            "decode": _decode(setting, {key: fitted[key][0] for key in tried}),
            "steer": _steer(setting, {key: fitted[key][1] for key in tried}, params, rng),
            "permuted": _permuted(setting, rng),
        }
    return {"weights_sha": subject.weights_sha, "detail": {"scores": found}}


def _decode(setting: Setting, probes: Mapping[str, Directions]) -> dict[str, Any]:
    rows = {}
    for name, each in probes.items():
        layer = _best(setting.decoded("choose", each))
        scores = setting.decoded("measure", each)[layer]
        rows[name] = {"layer": layer + 1, "scores": scores.round(5).tolist()}
    return rows


def _best(scores: Float[np.ndarray, "layer unit"]) -> int:
    """The place of the layer of the highest mean; the middle one where none can be chosen."""
    return int(scores.mean(1).argmax()) if scores.shape[1] else len(scores) // 2


def _steer(
    setting: Setting,
    moved: Mapping[str, Directions],
    params: Mapping[str, Any],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Each direction, made as long as the home direction, at the layer where it does most."""
    names, home = list(moved), moved[setting.name].norm(dim=1, keepdim=True)
    tried = torch.stack([each / each.norm(dim=1, keepdim=True) * home for each in moved.values()])
    random = _random_directions(setting, params["floors"], rng)
    random = random / random.norm(dim=2, keepdim=True) * home[:, None]
    choosing = setting.parts["choose"].open_to_choice()[:MOST_CHOOSING]
    measured = setting.parts["measure"].open_to_choice()[: params["steered"]]
    if not len(choosing) or not len(measured):
        return {name: {"layer": 0, "scores": []} for name in names}
    first = Steering(setting.parts["choose"], choosing)
    chosen = [steered(first, at, tried[:, at], random[at]).mean(1) for at in range(len(home))]
    best = np.stack(chosen).argmax(0)
    steering = Steering(setting.parts["measure"], measured)
    rows: dict[str, Any] = {}
    for layer in np.unique(best).tolist():  # directions at one layer share the random ones
        here = np.flatnonzero(best == layer)
        scores = steered(steering, layer, tried[here, layer], random[layer])
        for place, own in zip(here.tolist(), scores, strict=True):
            rows[names[place]] = {"layer": layer + 1, "scores": own.round(5).tolist()}
    return {name: rows[name] for name in names}


def steered(
    steering: Steering,
    layer: int,
    tried: Float[Tensor, "direction d_model"],
    floors: Float[Tensor, "floor d_model"],
) -> Float[np.ndarray, "direction chosen"]:
    """The share of random directions that each tried one outdoes in speaking for a capture.

    A direction's effect is the log-odds of taking the piece with it added at the piece's square
    behind a layer (0 the first), less those with it taken away.
    """
    both = torch.cat([tried, floors])
    odds = steering.log_odds(layer + 1, torch.cat([both, -both]))
    effects = (odds[: len(both)] - odds[len(both) :]).double().numpy()
    own, others = effects[: len(tried), None], effects[None, len(tried) :]
    return np.asarray(((own > others) + 0.5 * (own == others)).mean(1))


def _random_directions(
    setting: Setting, count: int, rng: np.random.Generator
) -> Float[Tensor, "layer floor d_model"]:
    """Directions in which the stream varies, among pieces of a kind, as often as it does."""
    reader = setting.parts["fit"]
    found = []
    for layer in reader.streams:
        rows, _ = within_kinds(layer, reader.squares.kind, reader.squares.winnable)
        found.append(torch.from_numpy(rng.normal(size=(count, len(rows)))).float() @ rows)
    return torch.stack(found)


def _permuted(setting: Setting, rng: np.random.Generator) -> float:
    """The mean score of a probe fitted on marks shuffled within kinds: a check on 0.5."""
    squares = setting.parts["fit"].squares
    shuffled = squares.winnable.copy()
    for kind in np.unique(squares.kind):
        shuffled[squares.kind == kind] = rng.permutation(shuffled[squares.kind == kind])
    probes, _ = setting.fitted(shuffled)
    layer = _best(setting.decoded("choose", probes))
    scores = setting.decoded("measure", probes)[layer]
    return round(float(scores.mean()), 4) if len(scores) else 0.5
