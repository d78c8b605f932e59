"""From a handle to a net, in the process where a cell runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module

from transformers import GPT2LMHeadModel
from transformers.utils import logging as transformers_logging

from pytest_mesa.runs.cells import Json, Result, canonical
from pytest_mesa.subjects.base import Subject
from pytest_mesa.subjects.compiled import ITEMS, build
from pytest_mesa.subjects.decoder import KnapsackDecoder, untrained
from pytest_mesa.subjects.recipes import from_params
from pytest_mesa.subjects.schemes import scheme

KEPT = 4  # subjects in memory: a cell needs one or two


def trained(params: Mapping[str, Json], inputs: tuple[Result, ...]) -> Subject:
    """A recipe's net: from its training cell's files, or before its first step."""
    if "untrained" in params:
        recipe, seed = from_params(params["untrained"])
        return Subject("untrained", untrained(recipe, seed))
    transformers_logging.disable_progress_bar()
    (result,) = inputs
    model = GPT2LMHeadModel.from_pretrained(
        result.folder, local_files_only=True, use_safetensors=True
    )
    return Subject("trained", KnapsackDecoder(model, result.payload["wiring"]))


def compiled(params: Mapping[str, Json], _inputs: tuple[Result, ...]) -> Subject:
    """A compiled net."""
    net = build(params["name"], params["seed"], params.get("items", ITEMS))
    return Subject(f"compiled {params['name']}", net)


def load(params: Mapping[str, Json], inputs: tuple[Result, ...]) -> Subject:
    """The subject that a handle describes; the last few stay loaded, as cells share them.

    Raises:
        SubjectError: no such scheme or net.
    """
    return _loaded(canonical(dict(params)), inputs)


@lru_cache(maxsize=KEPT)
def _loaded(encoded: bytes, inputs: tuple[Result, ...]) -> Subject:
    params = json.loads(encoded)
    module, function = scheme(params["scheme"]).loader.split(":")
    loaded: Subject = getattr(import_module(module), function)(params, inputs)
    return loaded
