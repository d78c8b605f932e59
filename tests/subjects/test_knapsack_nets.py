"""Knapsack decoders that somebody saved: what they answer, and what is wrong with others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from transformers import GPT2Config, GPT2LMHeadModel

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.runs.cells import Result
from pytest_mesa.runs.execute import LocalExecutor
from pytest_mesa.runs.store import Store
from pytest_mesa.subjects.base import Subject
from pytest_mesa.subjects.decoder import untrained
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.load import load
from pytest_mesa.subjects.recipes import LADDERS, TASK
from pytest_mesa.subjects.schemes import handles
from pytest_mesa.tasks.knapsack.instances import draw


def saved(folder: Path, seed: int = 0) -> Path:
    untrained(LADDERS["knapsack-fixed-steps"][1], seed).model.save_pretrained(folder)
    return folder


def opened(folder: Path, cache: Path) -> Subject:
    (handle,) = handles(SubjectSpec(ref=f"knapsack:{folder}"))
    with LocalExecutor(Store(cache), workers=0) as executor:
        (outcome,) = executor.run(handle.inputs).values()
    if not isinstance(outcome, Result):
        raise SubjectError(outcome.root.message)
    known = replace(outcome, context=handle.inputs[0].context)  # as where a cell needs it
    return load(handle.params, (known,), Subject)


def test_a_saved_net_answers_as_it_did(tmp_path: Path) -> None:
    net = untrained(LADDERS["knapsack-fixed-steps"][1], 0)
    subject = opened(saved(tmp_path / "net"), tmp_path / "cache")
    fresh = draw(TASK, 50, np.random.default_rng(0))
    expected = Subject("as it was", net)
    assert (subject.answers(fresh) == expected.answers(fresh)).all()
    assert subject.label == "net"


def test_its_cell_is_of_its_weights_wherever_they_lie(tmp_path: Path) -> None:
    keys = [
        handles(SubjectSpec(ref=f"knapsack:{saved(tmp_path / name, seed)}"))[0].inputs[0].key
        for name, seed in (("one", 0), ("copy", 0), ("other", 1))
    ]
    assert keys[0] == keys[1] != keys[2]


def test_what_is_no_knapsack_net_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SubjectError, match="there is no directory"):
        handles(SubjectSpec(ref=f"knapsack:{tmp_path / 'nowhere'}"))
    with pytest.raises(SubjectError, match=r"no config\.json"):
        handles(SubjectSpec(ref=f"knapsack:{tmp_path}"))
    with pytest.raises(SubjectError, match="neither seeds, options"):
        handles(SubjectSpec(ref=f"knapsack:{saved(tmp_path / 'net')}", seeds=2))
    text = GPT2LMHeadModel(GPT2Config(vocab_size=11, n_positions=8, n_embd=4, n_layer=1, n_head=1))
    text.save_pretrained(tmp_path / "text")
    with pytest.raises(SubjectError, match="knows 11 tokens and a knapsack decoder 1"):
        opened(tmp_path / "text", tmp_path / "cache")
    weights = saved(tmp_path / "cut") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(SubjectError, match="cannot load model cut"):
        opened(tmp_path / "cut", tmp_path / "cache")
