"""The cells of the kind ``narrowing``: readings of a net and of its twins, and what they give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pytest_mesa.experiments.lineup import part_cell
from pytest_mesa.experiments.lookahead_plan import positions_sha
from pytest_mesa.registry.kinds_narrowing import Narrowing
from pytest_mesa.registry.models import Prediction
from pytest_mesa.runs.cells import Cell, Json
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.games_recipes import CHESS, FAMILY, GO
from pytest_mesa.subjects.handles import Handle
from pytest_mesa.subjects.plants import LADDERS, NARROWING, unplanted, with_narrowing
from pytest_mesa.subjects.schemes import reads_text, scheme

CELLS = "pytest_mesa.experiments.narrowing_cells"
READING = "narrowing-reading"  # the kind of cells that `narrowing_sharing` puts together
TWIN = 1000  # the first seed of twins: controls that are untrained count theirs from 0
SOURCES = {source.game: source for source in (CHESS, GO)}
PLIES = [4, 30]  # where competence is asked for
GLANCE = 2  # games of a model that can't play: enough to have an estimate to show


def reads_boards(handle: Handle) -> bool:
    """Whether a subject is a chess net."""
    return scheme(str(handle.params["scheme"])).reads == "board"


def competence(prediction: Prediction, handle: Handle) -> Cell:
    """How often the subject's own next move is legal."""
    spec: Narrowing = prediction.experiment
    params: dict[str, Json] = {
        "own": len(handle.inputs),
        "count": prediction.competence.budget,
        "seed": prediction.seed,
    }
    if reads_boards(handle):
        told = {"positions": positions_sha()}
        impl = f"{CELLS}:competence"
        return part_cell("legal-moves", 1, handle, params | told, impl, "competence")
    _require_games(handle)
    # Slow in words, where only those that decide are asked for.
    decide = [game for game in spec.games if game in spec.judged] or list(spec.games)
    games = decide if reads_text(handle) else list(spec.games)
    params |= {
        "settings": [
            {
                "game": game,
                "templates": list(spec.told.templates.get(game, ())) if reads_text(handle) else [],
                "plies": PLIES,
            }
            for game in games
        ],
        "archives": {game: SOURCES[game].sha for game in games},
        "choose": spec.told.choose,
        "able": _able(prediction),
    }
    impl = "pytest_mesa.experiments.games_competence:measure"
    return part_cell("games-competence", 1, handle, params, impl, "competence")


def _able(prediction: Prediction) -> dict[str, Json]:
    """What competence is read by."""
    rule = prediction.competence.model_dump(mode="json")
    return {"competence": rule, "alpha": prediction.verdict.alpha}


def _require_games(handle: Handle) -> None:
    """Refuse nets that play nothing.

    Raises:
        SubjectError: with the net and what is read instead.
    """
    recipe = handle.params.get("untrained") or next((dict(c.params) for c in handle.inputs), {})
    if not reads_text(handle) and recipe.get("family") != FAMILY:
        raise SubjectError(
            f"{handle.label} plays no games; the experiment 'narrowing' reads chess nets, nets "
            "that continue games, and models that read text"
        )


def positions(prediction: Prediction, *, text: bool) -> Cell:
    """The positions that nets which continue games, or models that read text, are asked about."""
    spec: Narrowing = prediction.experiment
    params: dict[str, Json] = {
        "archives": {game: SOURCES[game].sha for game in spec.games},
        "plies": {game: SOURCES[game].plies for game in spec.games},
        "fit": spec.told.games if text else spec.lens.rows,
        "measure": spec.told.games if text else prediction.verdict.budget,
        "batch": spec.batch,
        "seed": prediction.seed,
    }
    impl = "pytest_mesa.experiments.narrowing_games:positions"
    return Cell("narrowing-positions", 1, params, impl, (), f"positions of {', '.join(spec.games)}")


def reading(
    prediction: Prediction,
    handle: Handle,
    count: int,
    able: Cell | None = None,
    *,
    glanced: bool = True,
) -> Cell:
    """A net read at every depth; what its handle plants is planted in the reading.

    ``able`` is the competence of a model that reads text; where it has none it is glanced at.
    """
    spec: Narrowing = prediction.experiment
    bare, plant = unplanted(handle)
    params: dict[str, Any] = {
        "own": len(bare.inputs),
        "count": count,
        "batch": spec.batch,
        "stages": spec.stages,
        "lens": spec.lens.model_dump(mode="json"),
        "seed": prediction.seed,
        "plant": plant,
    }
    more: tuple[Cell, ...] = ()
    if reads_boards(bare):
        params |= {"positions": positions_sha(), "count": count * spec.batch}
    else:
        _require_games(bare)
        more = (positions(prediction, text=reads_text(bare)),)
        params["games"] = list(spec.games)
    if able is not None:
        more = (*more, able)
        params |= {
            "able": _able(prediction),
            "glance": GLANCE if glanced else 0,
            "judged": list(spec.judged),
            "fit": spec.told.games,
            "templates": {game: list(ways) for game, ways in spec.told.templates.items()},
        }
    if plant is not None and plant["name"] in LADDERS:
        raise SubjectError(
            f"{plant['name']!r} is planted in ladders, which the question 'skill' compares; in "
            f"single nets there are {', '.join(NARROWING)}"
        )
    label = "by depth" if plant is None else f"by depth, {plant['name']} planted"
    return part_cell(READING, 1, bare, params, f"{CELLS}:reading", label, more)


def twins(handle: Handle, count: int) -> list[Handle]:
    """Nets of the same shape that learned nothing."""
    bare, _ = unplanted(handle)
    return [untrained(bare, TWIN + number) for number in range(count)]


def untrained(handle: Handle, seed: int = 0) -> Handle:
    """One such net; with seed 0 it is none of those that others are held against."""
    label = f"{handle.label}, untrained" + (f" seed {seed}" if seed else "")
    if reads_text(handle):
        return replace(handle, label=label, params={**handle.params, "shuffled": seed})
    if reads_boards(handle):
        return replace(handle, label=label, params={**handle.params, "untrained": seed})
    _require_games(handle)
    recipe = handle.params.get("untrained") or dict(handle.inputs[0].params)
    return Handle(label, {"scheme": "recipe", "untrained": {**recipe, "seed": seed}})


def scores(
    prediction: Prediction,
    handle: Handle,
    count: int | None = None,
    able: Cell | None = None,
    *,
    glanced: bool = True,
) -> Cell:
    """What a net narrows beyond its twins, which are read once for all."""
    spec: Narrowing = prediction.experiment
    full = spec.told.games if able else prediction.verdict.budget
    own = reading(prediction, handle, count or full, able, glanced=glanced)
    floors = [reading(prediction, twin, full, able) for twin in twins(handle, spec.twins)]
    return Cell(
        kind="narrowing-scores",
        version=1,
        params={"judged": list(spec.judged)},
        impl=f"{CELLS}:scores",
        inputs=(own, *floors),
        label=f"narrowing · {handle.label}",
    )


def limit(prediction: Prediction, handle: Handle) -> Cell:
    """Narrowing planted in an untrained twin, at growing strengths."""
    control = prediction.experiment.control
    return limit_of(
        prediction,
        handle,
        lambda strength: scores(
            prediction, with_narrowing(untrained(handle), "stage-by-stage", strength), control
        ),
    )


def limit_of(prediction: Prediction, handle: Handle, planted: Callable[[float], Cell]) -> Cell:
    """The smallest strength at which what is planted is seen."""
    spec: Narrowing = prediction.experiment
    return Cell(
        kind="narrowing-limit",
        version=1,
        params={
            "strengths": list(spec.spike_in.strengths),
            "alpha": prediction.verdict.alpha,
            "edge": prediction.verdict.predicted.above,
        },
        impl=f"{CELLS}:limit",
        inputs=tuple(map(planted, spec.spike_in.strengths)),
        label=f"limit of detection · {handle.label}",
    )
