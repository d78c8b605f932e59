"""Knapsack decoders of one's own, saved by ``save_pretrained``: ``--mesa-model knapsack:DIR``.

A net that reads the knapsack's own tokens has no tokenizer, so it is no language model; what it
is asked is what the nets trained here are asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.runs.cells import Cell, Json, Result
from pytest_mesa.subjects.content import file_sha, joint_sha, model_files, stamp
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle, Scheme

if TYPE_CHECKING:
    from pytest_mesa.subjects.base import Subject

# What of a configuration decides how a net looks before training.
SHAPE = ("n_embd", "n_layer", "n_head", "n_inner", "n_positions", "activation_function")
MODULE = "pytest_mesa.subjects.knapsack_nets"


def net_handles(spec: SubjectSpec) -> tuple[Handle, ...]:
    """The net in a directory, by the hash of its files.

    Raises:
        SubjectError: there is no such directory, or no net in it.
    """
    if spec.seeds > 1 or spec.options or spec.untrained:
        raise SubjectError(f"{spec.ref}: a saved net takes neither seeds, options nor untrained")
    folder = Path.cwd() / Path(str(spec.ref).partition(":")[2]).expanduser()
    if not folder.is_dir():
        raise SubjectError(f"cannot load model {spec.ref!r}: there is no directory {folder}")
    weights, settings = model_files(folder)
    files = {path.name: file_sha([path]) for path in (*weights, *settings)}
    checked = Cell(
        kind="weights",
        version=1,
        params={"scheme": "knapsack", "files": files},
        impl=f"{MODULE}:check",
        label=f"weights of {folder.name}",
        context={
            "folder": str(folder),
            "name": folder.name,
            "stamps": {str(path): stamp(path) for path in (*weights, *settings)},
        },
    )
    return (Handle(folder.name, {"scheme": "knapsack", "files": files}, (checked,)),)


def untrained_twin(handle: Handle) -> Handle:
    """A net of a saved one's shape before any training.

    Raises:
        SubjectError: its config.json names no shape.
    """
    (checked,) = handle.inputs
    path = Path(checked.context["folder"]) / "config.json"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        shape = {name: told.get(name) for name in SHAPE}
    except (OSError, ValueError, AttributeError) as error:
        raise SubjectError(f"{path} can't be read ({error})") from error
    return Handle(f"{handle.label}, untrained", {"scheme": "knapsack", "untrained": shape})


def check(params: Mapping[str, Json], inputs: tuple[Result, ...], _folder: Path) -> dict[str, Json]:
    """Load the net once, so that what is wrong with it is told before anything is measured.

    Raises:
        SubjectError: it is no knapsack decoder, or its files have changed.
    """
    del inputs
    weights = [Path(name) for name in params["stamps"] if name.endswith(".safetensors")]
    _load(params)
    return {"weights_sha": joint_sha({path.name: file_sha([path]) for path in weights})}


def net(params: Mapping[str, Json], inputs: tuple[Result, ...]) -> Subject:
    """The net of a handle.

    Raises:
        SubjectError: it is no knapsack decoder, or its files have changed.
    """
    if "untrained" in params:
        return _untrained(params["untrained"])
    (checked,) = inputs
    return _load(checked.context)


def _untrained(shape: Mapping[str, Json]) -> Subject:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from pytest_mesa.subjects.base import Subject
    from pytest_mesa.subjects.decoder import KnapsackDecoder
    from pytest_mesa.tasks.knapsack import tokens

    given = {name: value for name, value in shape.items() if value is not None}
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = GPT2LMHeadModel(GPT2Config(vocab_size=tokens.VOCABULARY, **given))
    except Exception as error:  # transformers raises whatever it meets in a foreign shape
        raise SubjectError(f"no net can be built of the shape {given} ({error})") from error
    return Subject("untrained", KnapsackDecoder(model, "full"))


def _load(context: Mapping[str, Json]) -> Subject:
    from transformers import GPT2LMHeadModel
    from transformers.utils import logging as transformers_logging

    from pytest_mesa.subjects.base import Subject
    from pytest_mesa.subjects.decoder import KnapsackDecoder
    from pytest_mesa.tasks.knapsack import tokens

    for name, before in context["stamps"].items():
        if stamp(Path(name)) != before:
            raise SubjectError(f"{name} changed during the run: run again")
    folder, label = context["folder"], context["name"]
    transformers_logging.disable_progress_bar()
    try:
        model = GPT2LMHeadModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except Exception as error:  # transformers raises whatever it meets in a foreign directory
        line = str(error).strip().partition("\n")[0][:300]
        raise SubjectError(f"cannot load model {label} ({type(error).__name__}: {line})") from error
    if model.config.vocab_size != tokens.VOCABULARY:
        raise SubjectError(
            f"{label} knows {model.config.vocab_size} tokens and a knapsack decoder "
            f"{tokens.VOCABULARY}: a model that reads text is named without 'knapsack:'"
        )
    return Subject(label, KnapsackDecoder(model, "full"))


KNAPSACK_NET = Scheme("knapsack", net_handles, f"{MODULE}:net")
