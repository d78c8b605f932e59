"""Ladders of saved nets: what a directory says, and what is wrong with one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.numpy import save_file

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.subjects import knapsack_nets, ladders
from pytest_mesa.subjects.decoder import configuration
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.recipes import TASK, Recipe
from pytest_mesa.subjects.saved_ladders import INDEX, saved_ladder
from pytest_mesa.subjects.schemes import handles

WIDTHS = (4, 6, 8, 10, 12, 14)


def save(folder: Path, width: int, seed: int = 0) -> Path:
    """An untrained knapsack decoder, as save_pretrained leaves it."""
    import torch
    from transformers import GPT2LMHeadModel

    recipe = Recipe("net", d_model=width, layers=1, heads=1, d_mlp=width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        GPT2LMHeadModel(configuration(recipe)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six sizes of three seeds."""
    root = tmp_path_factory.mktemp("nets")
    for width in WIDTHS:
        for seed in range(3):
            save(root / f"w{width}-{seed}", width, seed)
    return root


def spec(folder: Path) -> SubjectSpec:
    return SubjectSpec(ref=f"ladder:{folder}")


def test_nets_are_ordered_by_what_their_headers_count(nets: Path) -> None:
    found = saved_ladder(str(nets))
    assert [path.name for path in found.rungs[1]] == ["w6-0", "w6-1", "w6-2"]
    assert found.axis == "parameters"
    (handle,) = ladders.ladder_handles(spec(nets))
    assert handle.label == f"ladder {nets.name}" and handle.params["sizes"] is None
    rungs = ladders.nets(handle)
    counted = []
    for rung in rungs:
        module = knapsack_nets._load(rung[0].inputs[0].context).module
        counted.append(sum(p.numel() for p in module.parameters()))
    assert tuple(counted) == found.sizes
    assert ladders.task(handle) == TASK
    shas = {str(net.params["files"]) for rung in rungs for net in rung}
    assert len(shas) == 18, "each net is known by its own bytes"


def test_twins_have_the_shape_of_their_nets(nets: Path) -> None:
    (handle,) = handles(SubjectSpec(released=True), f"ladder:{nets}")
    net = ladders.nets(handle)[2][1]
    twin = knapsack_nets.untrained_twin(net)
    made = knapsack_nets.net(twin.params, ())
    saved = knapsack_nets._load(net.inputs[0].context)
    shapes = [[p.shape for p in each.module.parameters()] for each in (made, saved)]
    assert shapes[0] == shapes[1]
    assert twin.params["untrained"]["n_embd"] == 8


def test_an_index_makes_a_ladder_of_checkpoints(tmp_path: Path) -> None:
    steps = {}
    for step in (10, 20, 50, 100, 200, 500):
        for seed in range(3):
            steps[save(tmp_path / f"step{step}-{seed}", 4, seed).name] = step
    (tmp_path / INDEX).write_text(json.dumps({"axis": "steps", "sizes": steps}))
    (handle,) = ladders.ladder_handles(spec(tmp_path))
    assert handle.params["sizes"] == [10, 20, 50, 100, 200, 500]
    assert handle.label.endswith("by steps")
    assert all(path.startswith(str(tmp_path / "step50-")) for path in handle.params["saved"][2])


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ("{", "can't be read"),
        ("[]", 'expected {"axis"'),
        ('{"axis": "steps", "sizes": {}}', 'expected {"axis"'),
        ('{"axis": 3, "sizes": {"w4-0": 1}}', 'expected {"axis"'),
        ('{"axis": "steps", "sizes": {"w4-00": 1}}', "no folder 'w4-00' beside it; did you mean"),
        ('{"axis": "steps", "sizes": {"w4-0": 0}}', "a number above 0, found 0"),
        ('{"axis": "steps", "sizes": {"w4-0": "1"}}', "a number above 0, found '1'"),
        ('{"axis": "steps", "sizes": {"w4-0": true}}', "a number above 0, found True"),
        ('{"axis": "steps", "sizes": {"w4-0": NaN}}', "a number above 0, found nan"),
    ],
)
def test_a_wrong_index_is_explained(tmp_path: Path, index: str, said: str) -> None:
    (tmp_path / "w4-0").mkdir()
    (tmp_path / INDEX).write_text(index)
    with pytest.raises(SubjectError, match=said):
        saved_ladder(str(tmp_path))


def test_too_small_a_ladder_says_what_it_has(nets: Path, tmp_path: Path) -> None:
    for width in WIDTHS[:4]:
        (tmp_path / f"a{width}").symlink_to(nets / f"w{width}-0")
    with pytest.raises(SubjectError, match=r"has 4 sizes \(\d+, \d+, .* parameters\); 6 are the"):
        saved_ladder(str(tmp_path))
    for width in WIDTHS[4:]:
        (tmp_path / f"a{width}").symlink_to(nets / f"w{width}-0")
    with pytest.raises(SubjectError, match=r"1 of \d+, .*as many nets of each size.*3 at least"):
        saved_ladder(str(tmp_path))
    for width in WIDTHS:
        for seed in (1, 2):
            (tmp_path / f"b{width}-{seed}").symlink_to(nets / f"w{width}-{seed}")
    assert len(saved_ladder(str(tmp_path)).rungs) == 6
    save(tmp_path / "odd", 4, 9)
    with pytest.raises(SubjectError, match=r"has 4 of \d+, 3 of"):
        saved_ladder(str(tmp_path))


@pytest.mark.parametrize("damage", [b"", b"\x08\0\0\0\0\0\0\0notjson!", b"\xff" * 16])
def test_a_damaged_net_is_named(tmp_path: Path, damage: bytes) -> None:
    net = tmp_path / "net"
    net.mkdir()
    (net / "config.json").write_text("{}")
    with pytest.raises(SubjectError, match="holds no weights"):
        saved_ladder(str(tmp_path))
    (net / "model.safetensors").write_bytes(damage)
    with pytest.raises(SubjectError, match=r"model.safetensors is no safetensors file"):
        saved_ladder(str(tmp_path))


def test_a_header_that_is_no_table_of_tensors_is_named(tmp_path: Path) -> None:
    import numpy as np

    net = tmp_path / "net"
    net.mkdir()
    (net / "config.json").write_text("{}")
    save_file({"a": np.zeros((3, 5), dtype=np.float32)}, net / "model.safetensors", {"by": "me"})
    with pytest.raises(SubjectError, match=r"has 1 sizes \(15 parameters\)"):
        saved_ladder(str(tmp_path))
    body = b'{"a": [1]}'
    (net / "model.safetensors").write_bytes(len(body).to_bytes(8, "little") + body)
    with pytest.raises(SubjectError, match="no safetensors file"):
        saved_ladder(str(tmp_path))


def test_what_is_no_ladder_of_saved_nets_is_refused(nets: Path, tmp_path: Path) -> None:
    with pytest.raises(SubjectError, match="there is no directory"):
        ladders.ladder_handles(SubjectSpec(ref="ladder:./nowhere"))
    with pytest.raises(SubjectError, match="or a directory of saved nets"):
        ladders.ladder_handles(SubjectSpec(ref="ladder:knapsack"))
    with pytest.raises(SubjectError, match="neither seeds nor options"):
        ladders.ladder_handles(SubjectSpec(ref=f"ladder:{nets}", seeds=2))
    with pytest.raises(SubjectError, match="0 sizes"):
        saved_ladder(str(tmp_path))
