"""What a model takes and what there is, counted before anything is loaded."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import model, save

from pytest_mesa.subjects import device, memory
from pytest_mesa.subjects.errors import SubjectError

CPU = torch.device("cpu")


def test_headers_tell_what_the_model_has(tmp_path: Path) -> None:
    folder = save(tmp_path / "whole")
    assert memory.parameters_in([folder / "model.safetensors"]) == model().num_parameters()
    model().save_pretrained(tmp_path / "shards", max_shard_size="50KB")
    shards = sorted((tmp_path / "shards").glob("*.safetensors"))
    assert len(shards) > 1
    assert memory.parameters_in(shards) == model().num_parameters()


@given(st.integers(1, 10**12), st.sampled_from([torch.float32, torch.bfloat16]))
def test_a_model_needs_more_than_its_weights(parameters: int, dtype: torch.dtype) -> None:
    weights = parameters * dtype.itemsize
    need = memory.needed(parameters, dtype)
    assert need >= weights + memory.GIB // 2
    assert need >= 1.09 * weights
    assert need <= 1.11 * weights + memory.GIB


def test_a_budget_decides_and_the_message_has_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESA_MEMORY", "2")
    memory.check("small", 2 * memory.GIB, CPU)
    with pytest.raises(SubjectError, match=r"big needs about 2\.50 GiB and 2\.00 GiB are free on"):
        memory.check("big", int(2.5 * memory.GIB), CPU)
    monkeypatch.setenv("MESA_MEMORY", "plenty")
    with pytest.raises(SubjectError, match="a positive number of GiB, not 'plenty'"):
        memory.check("any", 1, CPU)


def test_the_containers_limit_counts_as_well_as_the_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MESA_MEMORY", raising=False)
    monkeypatch.setattr(memory, "_proc_available", lambda: 8 * memory.GIB)
    monkeypatch.setattr(memory, "_cgroup_left", lambda: 3 * memory.GIB)
    assert memory.available(CPU) == 3 * memory.GIB
    monkeypatch.setattr(memory, "_cgroup_left", lambda: None)
    assert memory.available(CPU) == 8 * memory.GIB
    monkeypatch.setattr(memory, "_proc_available", lambda: None)
    assert (memory.available(CPU) or 1) > 0


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="there is no /proc here")
def test_free_memory_is_less_than_there_is() -> None:
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert 0 < (memory._proc_available() or 0) < total


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{}",
        struct.pack("<Q", 2**40) + b"{}",
        struct.pack("<Q", 2) + b"[]" + b"\0" * 8,
        struct.pack("<Q", 9) + b'{"a": {}}' + b"\0" * 8,
        struct.pack("<Q", 4) + b"\xff\xfe{}" + b"\0" * 8,
    ],
)
def test_what_is_no_safetensors_file(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(header)
    with pytest.raises(SubjectError, match="is no safetensors file"):
        memory.parameters_in([path])


def test_a_file_shorter_than_its_header_says(tmp_path: Path) -> None:
    told = {"a": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]}}
    text = json.dumps(told).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 63)
    with pytest.raises(SubjectError, match="is cut short"):
        memory.parameters_in([path])
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 64)
    assert memory.parameters_in([path]) == 16


def test_numbers_are_halved_only_where_purpose_and_hardware_allow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for computes in (True, False):
        monkeypatch.setattr(device, "_computes_bfloat16", lambda _device, c=computes: c)
        assert device.choose_dtype(CPU, "exact") is torch.float32
        fast = torch.bfloat16 if computes else torch.float32
        assert device.choose_dtype(CPU, "fast") is fast
        assert device.choose_dtype(CPU, "exact", "float16") is torch.float16
        assert device.choose_dtype(CPU, "fast", "float32") is torch.float32
    assert device.choose_device("cpu") == CPU
