"""The work of the kind ``narrowing`` on one net: read it at every depth, and score the readings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pytest_mesa.experiments.games_competence import is_able
from pytest_mesa.experiments.lineup import stratum
from pytest_mesa.experiments.lookahead_cells import past_board, rounded
from pytest_mesa.experiments.narrowing_options import STREAM, Asked, Rows, boards, sequences
from pytest_mesa.experiments.narrowing_texts import texts
from pytest_mesa.instruments.lens import Lens
from pytest_mesa.instruments.lens_training import Fit, tuned_lens
from pytest_mesa.instruments.narrowing import (
    Options,
    Read,
    by_stage,
    fall,
    least_spread,
    read_options,
)
from pytest_mesa.instruments.narrowing_plants import Plant, planted_readout, with_code
from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.games_decoder import GamesSubject
from pytest_mesa.subjects.language import LanguageModel
from pytest_mesa.subjects.lc0.load import Lc0Subject
from pytest_mesa.subjects.load import load
from pytest_mesa.subjects.shuffled import shuffled
from pytest_mesa.tasks.games import sets
from pytest_mesa.verdicts.confidence import confidence_sequence

if TYPE_CHECKING:
    from jaxtyping import Float

COMPETENCE_STREAM = 0x6C656761  # apart from other uses of the seed
DIGITS = 6  # of what a reading keeps

Payload = dict[str, Any]


def subject_of(params: Mapping[str, Json], inputs: tuple[Result, ...]) -> Any:
    """The net of a cell; a model that reads text may be asked for with its weights shuffled."""
    told = dict(params["subject"])
    seed = told.pop("shuffled", None)
    subject = load(told, inputs[: params["own"]])
    return subject if seed is None else shuffled(subject, seed)


def asked_of(subject: Any, params: Mapping[str, Json], told: Any) -> Sequence[Asked]:
    """The ways a net is asked.

    Raises:
        SubjectError: a net that plays none of these games.
    """
    if isinstance(subject, Lc0Subject):
        return (boards(subject, params),)
    if isinstance(subject, GamesSubject):
        return sequences(subject, params, told)
    if isinstance(subject, LanguageModel):
        return texts(subject, params, told)
    raise SubjectError(
        f"{subject.label} is a {type(subject).__name__}; the experiment 'narrowing' reads chess "
        "nets and nets that continue games"
    )


def reading(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Payload:
    """Bad mass at every depth, position by position, and where the choice settles."""
    (read,), sha = _readings(params, [params.get("plant")], inputs)
    return {"read": read, "weights_sha": sha}


def readings(params: Mapping[str, Json], inputs: tuple[Result, ...], folder: Path) -> Payload:
    """The same of one net with each of ``plants`` planted in it, or nothing; it is run once.

    Each reading is a file, so that whoever wants one need not parse them all.
    """
    found, sha = _readings(params, params["plants"], inputs)
    for place, read in enumerate(found):
        (folder / f"{place}.json").write_text(json.dumps(read), encoding="utf-8")
    return {"readings": len(found), "weights_sha": sha}


def one_of(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Payload:
    """One of the readings of a cell that made several."""
    text = inputs[0].file(f"{params['place']}.json").read_text(encoding="utf-8")
    return {"read": json.loads(text), "weights_sha": inputs[0].payload["weights_sha"]}


def _readings(
    params: Mapping[str, Json],
    plants: Sequence[Mapping[str, Any] | None],
    inputs: tuple[Result, ...],
) -> tuple[list[Payload], str]:
    """Readings, one a plant, and the net's hash.

    A model that reads text and can't play is only glanced at, to describe it, and controls made
    of it are not read: its verdict does not wait for them.
    """
    rest = inputs[params["own"] :]
    found: list[Payload] = [{} for _ in plants]
    if "able" in params and not is_able(params, rest[-1]):
        if not params["glance"]:
            return found, rest[-1].payload["weights_sha"]
        params = glancing(params)
    subject = subject_of(params, inputs)
    for asked in asked_of(subject, params, rest[0].payload if rest else None):
        reads = _read(asked, [Plant(**plant) if plant else None for plant in plants], params)
        for whole, part in zip(found, reads, strict=True):
            for name, read in part.items():
                before = whole.setdefault(name, {field: [] for field in read})
                for field, values in read.items():
                    before[field] += values
    return found, subject.weights_sha


def glancing(params: Mapping[str, Json]) -> dict[str, Any]:
    """What is asked of a model that can't play: a few games that decide, told in one way."""
    few = {"fit": params["glance"], "count": params["glance"]}
    ways = {game: ways[:1] for game, ways in params["templates"].items()}
    games = [game for game in params["games"] if game in params["judged"]] or params["games"][:1]
    return {**params, **few, "templates": ways, "games": games}


def _read(
    asked: Asked, plants: Sequence[Plant | None], params: Mapping[str, Json]
) -> list[Payload]:
    """One net on positions of one kind, through lenses fitted on others of that kind."""
    fitted = list(asked.fitting())
    lenses = [_lens(asked, fitted, plant, params) for plant in plants]
    parts: list[list[dict[str, Read]]] = [[] for _ in plants]
    for rows in asked.measured():
        for lens, plant, read in zip(lenses, plants, parts, strict=True):
            read.append(read_options(lens, _streams(rows, plant), rows.options))
    return [
        {
            name: {
                "mass": np.concatenate([part[name].mass for part in read]).round(DIGITS).tolist(),
                "choice": np.concatenate([part[name].choice for part in read]).tolist(),
                "commit": np.concatenate([part[name].commit for part in read]).round(4).tolist(),
                "units": asked.units,
            }
            for name in read[0]
        }
        for read in parts
    ]


def _lens(
    asked: Asked, fitted: Sequence[Rows], plant: Plant | None, params: Mapping[str, Json]
) -> Lens:
    readout = asked.readout
    if plant is not None:
        readout = planted_readout(readout, fitted[0].streams.shape[-1], plant.gain)
    return tuned_lens(
        readout,
        torch.cat([_streams(rows, plant) for rows in fitted], 1),
        torch.Generator().manual_seed(params["seed"] ^ STREAM),
        Fit(steps=params["lens"]["steps"], batch=asked.batch),
    )


def _streams(rows: Rows, plant: Plant | None) -> Float[torch.Tensor, "depth row *site d_model"]:
    """The positions' streams, with what is planted in them."""
    if plant is None:
        return rows.streams
    each = rows.options.values()
    every = Options(
        torch.stack([options.among for options in each]).any(0),
        torch.stack([options.bad for options in each]).any(0),
    )
    return with_code(rows.streams, plant.code(every, rows.numbers, len(rows.streams)))


def by_unit(
    mass: Sequence[Sequence[float]], units: Sequence[int]
) -> Float[np.ndarray, "unit depth"]:
    """The mean mass of each unit's positions, in the order of units."""
    found = np.zeros((max(units) + 1, len(mass[0])))
    np.add.at(found, units, np.array(mass))
    return np.asarray(found / np.bincount(units)[:, None])


def scores(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Payload:
    """What a net narrows beyond its untrained twins, averaged over them.

    Of the kinds of options, ``judged`` decide; the others are told beside.
    """
    own, *twins = (result.payload for result in inputs)
    strata, about = [], {}
    for name, read in own["read"].items():
        mass = by_unit(read["mass"], read["units"])
        floors = [by_unit(**_masses(twin["read"][name]))[: len(mass)] for twin in twins]
        found = {
            measure.__name__: np.mean([measure(mass, floor) for floor in floors], axis=0)
            for measure in (fall, by_stage)
        }
        if name in params["judged"]:
            strata.append(stratum(f"{name}-fall", found["fall"], -1.0))
            lowest = least_spread(mass.shape[1] - 1)
            strata.append(stratum(f"{name}-by-stage", found["by_stage"], lowest))
        about[name] = {
            "n": len(mass),
            **{measure: rounded(values.tolist()) for measure, values in found.items()},
            "mass": mass.mean(0).round(4).tolist(),
            "mass_of_twins": [each.mean(0).round(4).tolist() for each in floors],
            "commits": rounded(read["commit"]),
        }
    return {
        "strata": strata,
        "weights_sha": own["weights_sha"],
        "detail": {"narrowing": about},
    }


def _masses(read: Mapping[str, Any]) -> Payload:
    return {name: read[name] for name in ("mass", "units")}


def competence(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Payload:
    """How often a chess net's most likely move, of all that it can name, is legal."""
    subject = load(params["subject"], inputs, Lc0Subject)
    judged = sets.unfiltered()
    rng = np.random.default_rng([params["seed"], COMPETENCE_STREAM])
    drawn = [past_board(judged[n]) for n in rng.permutation(len(judged))[: params["count"]]]
    said = torch.cat([out.policy for out in subject.outputs(drawn)]).argmax(1).tolist()
    legal = [
        float(move in subject.legal(board).values())
        for move, board in zip(said, drawn, strict=True)
    ]
    return {
        "competence": legal,
        "weights_sha": subject.weights_sha,
        "detail": {"legal_moves": {"chess": {"rate": rounded(legal), "moves": len(legal)}}},
    }


def limit(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> Payload:
    """The smallest share ruled out in an untrained twin that lands beyond the edge.

    Inputs are the scores of planted twins, strength by strength.
    """
    tried, found = [], None
    for strength, result in zip(params["strengths"], inputs, strict=True):
        lower = min(
            confidence_sequence(
                part["scores"], params["alpha"], part["low"], part["high"]
            ).final.lower
            for part in result.payload["strata"]
        )
        seen = lower > params["edge"]
        tried.append({"strength": strength, "lower": round(lower, 4), "seen": seen})
        if seen and found is None:
            found = strength
    return {
        "detection_limit": found,
        "detail": {"spike_in": {"edge": params["edge"], "tried": tried}},
    }
