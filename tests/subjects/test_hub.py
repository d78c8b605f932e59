"""Hub ids without a hub: the local cache, and what is said where it does not suffice."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors
from tiny_models import model, save

from pytest_mesa.registry.models import SubjectSpec
from pytest_mesa.subjects import hub
from pytest_mesa.subjects.content import file_sha
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.language import LanguageModel
from pytest_mesa.subjects.opening import open_model
from pytest_mesa.subjects.schemes import handles

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def unplugged(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_given: Any) -> None:
        raise OSError("the network is unplugged")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local hub cache with one model at one commit, as the hub's client lays it out."""
    root = tmp_path / "hub"
    repo = root / "models--org--tiny"
    folder = repo / "snapshots" / COMMIT
    save(folder)
    blob = repo / "blobs" / file_sha([folder / "model.safetensors"])
    blob.parent.mkdir()
    (folder / "model.safetensors").rename(blob)
    (folder / "model.safetensors").symlink_to(os.path.relpath(blob, folder))
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(huggingface_hub.constants, name, str(root), raising=False)
    return root


def test_what_is_cached_needs_no_hub(cache: Path, tmp_path: Path) -> None:
    (handle,) = handles(SubjectSpec(ref="org/tiny"))
    assert handle.params == {"scheme": "hf", "repo": "org/tiny", "commit": COMMIT}
    (pinned,) = handles(SubjectSpec(ref=f"hf:org/tiny@{COMMIT}"))
    assert pinned.inputs[0].key == handle.inputs[0].key
    loaded = open_model("org/tiny", tmp_path / "cells")
    assert isinstance(loaded, LanguageModel)
    assert loaded.provenance.revision == COMMIT
    weights = cache / "models--org--tiny/snapshots" / COMMIT / "model.safetensors"
    assert loaded.weights_sha == file_sha([weights])
    assert loaded.provenance.parameters == sum(w.numel() for w in model().parameters())


@pytest.mark.parametrize("reference", ["nosuch/model", "hf:nosuch/model@v1", "org/tiny@v9"])
def test_a_hub_out_of_reach_is_an_error_that_names_the_model(cache: Path, reference: str) -> None:
    name = reference.removeprefix("hf:")
    with pytest.raises(SubjectError, match=f"cannot load model {name}: it is not on") as caught:
        handles(SubjectSpec(ref=reference))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (errors.GatedRepoError, "access to it is restricted"),
        (errors.RepositoryNotFoundError, "the hub has no such model"),
        (errors.RevisionNotFoundError, "the model has no such revision"),
        (errors.OfflineModeIsEnabled, "HF_HUB_OFFLINE is set"),
        (TimeoutError, "the hub can't be reached .TimeoutError"),
    ],
)
def test_each_refusal_of_the_hub_in_plain_words(
    cache: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], message: str
) -> None:
    def refuse(*_args: Any, **_given: Any) -> None:
        error = kind.__new__(kind)
        error.args = ("first line\nsecond line",)
        raise error

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)
    with pytest.raises(SubjectError, match=f"cannot load model org/gated: .*{message}"):
        handles(SubjectSpec(ref="org/gated"))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["config.json", "pytorch_model.bin"], "its weights in pytorch_model.bin alone"),
        (["a.Q4.gguf"], "no .safetensors weights; download a.Q4.gguf and give its path"),
        (["README.md"], "no .safetensors weights$"),
    ],
)
def test_a_repository_without_safe_weights_is_refused_before_it_is_fetched(
    cache: Path, monkeypatch: pytest.MonkeyPatch, files: list[str], message: str
) -> None:
    info = SimpleNamespace(sha=COMMIT, siblings=[SimpleNamespace(rfilename=f) for f in files])
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *a, **k: info)
    with pytest.raises(SubjectError, match=message):
        hub.commit_of("org/other", "")


def test_files_that_are_only_partly_cached_and_cannot_be_had(cache: Path, tmp_path: Path) -> None:
    (cache / "models--org--tiny/snapshots" / COMMIT / "model.safetensors").unlink()
    with pytest.raises(SubjectError, match=f"cannot load model org/tiny@{COMMIT}: it is not on"):
        open_model("org/tiny", tmp_path / "cells")
