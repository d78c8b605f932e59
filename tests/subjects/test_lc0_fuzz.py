"""Mutated weight files: a net or a clear refusal, in little time and memory, always."""

from __future__ import annotations

import gzip
import random
import resource
import time
from collections import Counter
from pathlib import Path

import lc0_nets
import pytest
import torch
from lc0_writer import net_bytes, write

from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.lc0.load import load_net

MUTANTS = 1000  # of each of two nets
SECONDS_EACH = 2.0  # the slowest takes some 30 ms alone; the rest is for a busy machine
MEGABYTES = 300  # that all of them may add to the process


def _small(kind: str) -> bytes:
    """A whole file of a few KB, so that mutations meet its structure and not just numbers."""
    declared = {"input": 1, "output": 2, "value": 2}
    if kind == "tower":
        weights = lc0_nets.tower(1, channels=1, blocks=2)
        return net_bytes(weights, declared | {"network": 4, "policy": 2})
    weights = lc0_nets.transformer(1, width=2, blocks=1, heads=2, smolgen=False)
    return net_bytes(weights, declared | {"network": 6, "policy": 3, "moves_left": 1})


def _mutated(content: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, cut out, doubled or moved."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
        at = rng.randrange(len(data))
        # Half of them near the start, where the header is.
        at = rng.randrange(min(len(data), 60)) if rng.random() < 0.3 else at
        size = rng.choice([1, 1, 2, 8, 64, 512])
        match rng.randrange(6):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                data[at] ^= 1 << rng.randrange(8)
            case 2:
                data[at : at + size] = rng.randbytes(size)
            case 3:
                del data[at : at + size]
            case 4:
                data[at:at] = data[at : at + size]
            case _:
                data[at : at + 1] = b"\xff" * rng.choice([1, 4, 9])
        if not data:
            break
    return bytes(data)


@pytest.mark.parametrize("kind", ["tower", "transformer"])
def test_mutants_load_or_are_refused(tmp_path: Path, kind: str) -> None:
    rng, whole = random.Random(kind), _small(kind)
    planes = torch.zeros(1, 112, 8, 8)
    path, ends = tmp_path / "mutant.pb.gz", Counter[str]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(MUTANTS):
        if number % 10:
            write(path, _mutated(whole, rng))
        else:
            path.write_bytes(_mutated(gzip.compress(whole, 1), rng))
        began = time.process_time()
        try:
            with torch.no_grad():
                load_net(path).module(planes)
            ends["loaded"] += 1
        except SubjectError as error:
            assert str(path) in str(error)
            ends["refused"] += 1
        assert time.process_time() - began < SECONDS_EACH
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (after - before) / 1024 < MEGABYTES
    assert min(ends["loaded"], ends["refused"]) > MUTANTS / 20, ends
