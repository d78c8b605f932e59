"""Released weights: checked and prepared once in a cell of their own, then loaded from it.

A GGUF file is slow to read (transformers parses each of its tokens, three times over), so the
cell keeps it as safetensors and later loads take what a Hugging Face directory takes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pytest_mesa.runs.cells import Json, Result
from pytest_mesa.subjects import hub, memory, plants, pretrained
from pytest_mesa.subjects.content import model_files, stamp
from pytest_mesa.subjects.device import choose_device, choose_dtype
from pytest_mesa.subjects.errors import SubjectError
from pytest_mesa.subjects.gguf_header import read_header
from pytest_mesa.subjects.language import LanguageModel
from pytest_mesa.subjects.provenance import Provenance

if TYPE_CHECKING:
    from pytest_mesa.subjects.lc0.load import Lc0Subject

KEPT_AS_SAFETENSORS = 10**9  # parameters, 4 bytes each; larger files are read anew each time
# transformers holds a GGUF file's numbers twice while it reads them, and its tokens as objects.
GGUF_COPIES = 2
GGUF_TOKEN_BYTES = 6000
COPY_BLOCK = 2**24


def prepare(
    params: Mapping[str, Json], _inputs: tuple[Result, ...], folder: Path
) -> dict[str, Any]:
    """Check a model's files, fetch them where a hub has them, and convert them where that pays.

    Raises:
        SubjectError: files that have changed, are damaged, or can't be had; no memory for it.
    """
    _unchanged(params)
    if params["scheme"] == "hf":
        place = _folder(params)
        weights, _ = model_files(place)
        sha = params.get("weights_sha") or hub.weights_sha(place)
        return {"weights_sha": sha, "parameters": memory.parameters_in(weights)}
    if params["scheme"] == "gguf":
        return _prepare_gguf(params, folder)
    return {"weights_sha": params["weights_sha"]}


def _prepare_gguf(params: Mapping[str, Json], folder: Path) -> dict[str, Any]:
    parts = [Path(part) for part in params["parts"]]
    header = read_header(parts, params["name"])
    converted = header.parameters <= KEPT_AS_SAFETENSORS
    if converted:
        with _whole(parts) as path:
            _check_gguf(params["name"], path)
            model, tokenizer = pretrained.from_gguf(path, torch.float32)
            pretrained.keep(model, tokenizer, folder)
    return {
        "weights_sha": params["weights_sha"],
        "parameters": header.parameters,
        "architecture": header.architecture,
        "converted": converted,
    }


def language_model(params: Mapping[str, Json], inputs: tuple[Result, ...]) -> LanguageModel:
    """The language model of a handle, on the device and in the numbers that suit the purpose.

    Raises:
        SubjectError: it can't be read, or there is no memory for it.
    """
    (prepared,) = inputs
    name = prepared.context["name"]
    device = choose_device(params["device"])
    dtype = choose_dtype(device, params["precision"], params.get("dtype", ""))
    parameters = prepared.payload["parameters"]
    memory.check(name, memory.needed(parameters, dtype), device)
    model, tokenizer = _read(params, prepared, dtype, device)
    return LanguageModel(
        name,
        pretrained.placed(model, device),
        tokenizer,
        Provenance(
            ref=name,
            revision=params.get("commit", ""),
            weights_sha=prepared.payload["weights_sha"],
            device=pretrained.where(model),
            dtype=str(dtype).removeprefix("torch."),
            remote_code=bool(params.get("code")),
            parameters=parameters,
        ),
    )


def _read(
    params: Mapping[str, Json], prepared: Result, dtype: torch.dtype, device: torch.device
) -> pretrained.Loaded:
    """The model and its tokenizer, from wherever the weights are by now."""
    name, code = prepared.context["name"], bool(params.get("code"))
    if prepared.payload.get("converted"):
        return pretrained.from_folder(prepared.folder, name, dtype, device, code=code)
    _unchanged(prepared.context)
    if params["scheme"] == "gguf":
        with _whole([Path(part) for part in prepared.context["parts"]]) as path:
            _check_gguf(name, path)
            return pretrained.from_gguf(path, dtype)
    place = _folder({**params, **prepared.context})
    return pretrained.from_folder(place, name, dtype, device, code=code)


def chess_net(params: Mapping[str, Json], inputs: tuple[Result, ...]) -> Lc0Subject:
    """The lc0 net of a handle, altered where that says so; on the CPU: such nets are small.

    Raises:
        SubjectError: the file is none, or is damaged.
    """
    from pytest_mesa.subjects.lc0 import altered
    from pytest_mesa.subjects.lc0.load import load_net

    plants.refuse(params)
    (prepared,) = inputs
    _unchanged(prepared.context)
    (path,) = prepared.context["parts"]
    net = load_net(Path(path), prepared.context["name"])
    net.provenance = Provenance(
        ref=net.label,
        revision="",
        weights_sha=prepared.payload["weights_sha"],
        device="cpu",
        dtype="float32",
        remote_code=False,
        parameters=net.info.parameters,
    )
    if "untrained" in params:
        net = altered.untrained(net, params["untrained"])
    if "plant" in params:
        net = altered.planted(net, params["plant"], params["strength"], params["plant_seed"])
    return net


def _folder(params: Mapping[str, Json]) -> Path:
    if "folder" in params:
        return Path(params["folder"])
    return hub.snapshot(params["repo"], params["commit"], code=bool(params.get("code")))


def _unchanged(context: Mapping[str, Json]) -> None:
    """Stop where a file is no longer the one whose hash the cell has."""
    for name, before in context.get("stamps", {}).items():
        if stamp(Path(name)) != before:
            raise SubjectError(f"{name} changed during the run: run again")


def _check_gguf(name: str, path: Path) -> None:
    header = read_header([path], name)
    need = memory.needed(GGUF_COPIES * header.parameters, torch.float32)
    memory.check(name, need + GGUF_TOKEN_BYTES * header.tokens, torch.device("cpu"))


@contextmanager
def _whole(parts: list[Path]) -> Iterator[Path]:
    """The parts as one file, for as long as it is read."""
    if len(parts) == 1:
        yield parts[0]
        return
    with tempfile.TemporaryDirectory(prefix="mesa-") as name:
        path = Path(name) / "model.gguf"
        with path.open("wb") as whole:
            for part in parts:
                with part.open("rb") as file:
                    while block := file.read(COPY_BLOCK):
                        whole.write(block)
        yield path
