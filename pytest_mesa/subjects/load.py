"""From a handle to a net, in the process where a cell runs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any, TypeVar, overload

from transformers import GPT2LMHeadModel
from transformers.utils import logging as transformers_logging

from pytest_mesa.runs.cells import Json, Result, canonical
from pytest_mesa.subjects import plants
from pytest_mesa.subjects.base import Subject
from pytest_mesa.subjects.compiled import ITEMS, build
from pytest_mesa.subjects.decoder import KnapsackDecoder, untrained
from pytest_mesa.subjects.device import Precision
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.games_decoder import GamesSubject, rung_folder, saved
from pytest_mesa.subjects.games_decoder import untrained as untrained_games
from pytest_mesa.subjects.games_recipes import FAMILY, GamesRecipe
from pytest_mesa.subjects.recipes import from_params
from pytest_mesa.subjects.schemes import scheme

KEPT = 4  # small subjects in memory: a cell needs one or two

T = TypeVar("T")


def trained(params: Mapping[str, Json], inputs: tuple[Result, ...]) -> Subject | GamesSubject:
    """A recipe's net: from its training cell's files, or before its first step."""
    plants.refuse(params)
    if "untrained" in params:
        recipe, seed = from_params(params["untrained"])
        if isinstance(recipe, GamesRecipe):
            return GamesSubject("untrained", untrained_games(recipe, seed))
        return Subject("untrained", untrained(recipe, seed))
    transformers_logging.disable_progress_bar()
    (result,) = inputs
    if result.payload.get("family") == FAMILY:
        rung = params.get("rung")
        folder = result.folder if rung is None else result.folder / rung_folder(rung)
        return GamesSubject("trained" if rung is None else f"step {rung}", saved(folder))
    model = GPT2LMHeadModel.from_pretrained(
        result.folder, local_files_only=True, use_safetensors=True
    )
    return Subject("trained", KnapsackDecoder(model, result.payload["wiring"]))


def compiled(params: Mapping[str, Json], _inputs: tuple[Result, ...]) -> Subject:
    """A compiled net."""
    net = build(params["name"], params["seed"], params.get("items", ITEMS))
    return Subject(f"compiled {params['name']}", net)


@overload
def load(
    params: Mapping[str, Json], inputs: tuple[Result, ...], *, precision: Precision = "exact"
) -> Any: ...


@overload
def load(
    params: Mapping[str, Json],
    inputs: tuple[Result, ...],
    kind: type[T],
    *,
    precision: Precision = "exact",
) -> T: ...


def load(
    params: Mapping[str, Json],
    inputs: tuple[Result, ...],
    kind: type[Any] = object,
    *,
    precision: Precision = "exact",
) -> Any:
    """The subject that a handle describes.

    The last few nets trained here stay loaded, and the last released model, as cells share them.

    Args:
        params: the handle's parameters.
        inputs: the results of the handle's inputs.
        kind: what the caller can work with: `Subject`, `LanguageModel` or any class.
        precision: ``exact`` loads a language model in float32; ``fast`` in bfloat16 where the
            hardware computes in it, for callers that only read plain runs.

    Raises:
        SubjectError: no such scheme or net, or a subject of another kind.
    """
    told = {**params, "precision": precision, "device": os.environ.get("MESA_DEVICE", "")}
    names = tuple(str(result.context.get("name", "")) for result in inputs)
    keep = _small if scheme(params["scheme"]).reads == "tokens" else _large
    subject = keep(canonical(told), inputs, names)
    if not isinstance(subject, kind):
        raise SubjectError(
            f"{subject.label} is a {type(subject).__name__}, where the experiment works on a "
            f"{kind.__name__}"
        )
    return subject


@lru_cache(maxsize=KEPT)
def _small(encoded: bytes, inputs: tuple[Result, ...], _names: tuple[str, ...]) -> Any:
    return _loaded(encoded, inputs)


@lru_cache(maxsize=1)
def _large(encoded: bytes, inputs: tuple[Result, ...], _names: tuple[str, ...]) -> Any:
    _large.cache_clear()  # the one before must go first, or there may be no room for two
    return _loaded(encoded, inputs)


def _loaded(encoded: bytes, inputs: tuple[Result, ...]) -> Any:
    params = json.loads(encoded)
    module, function = scheme(params["scheme"]).loader.split(":")
    return getattr(import_module(module), function)(params, inputs)
