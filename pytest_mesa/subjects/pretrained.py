"""Weights on disk to a model and its tokenizer, through transformers, without pickles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from pytest_mesa.subjects.errors import SubjectError

Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]


def from_folder(
    folder: Path, name: str, dtype: torch.dtype, device: torch.device, *, code: bool
) -> Loaded:
    """A model that `save_pretrained` wrote, or one in its layout.

    ``code`` lets the model's own Python files run. Over several GPUs it is sharded.

    Raises:
        SubjectError: no causal language model, weights that don't fit it, or no tokenizer.
    """
    spread: dict[str, Any] = {}
    # A device with a number was asked for, and is the only one to use.
    if str(device) == "cuda" and torch.cuda.device_count() > 1:
        _need("accelerate", name)
        spread["device_map"] = "auto"
    model = _model(name, folder, dtype, use_safetensors=True, trust_remote_code=code, **spread)
    return model, _tokenizer(name, folder, trust_remote_code=code)


def from_gguf(path: Path, dtype: torch.dtype) -> Loaded:
    """A model in a GGUF file, its packed weights unpacked.

    Raises:
        SubjectError: an architecture that transformers does not read, or a damaged file.
    """
    from transformers import GgufConfig

    for package in ("gguf", "accelerate"):
        _need(package, path.name)
    unpacked = GgufConfig(dequantize=True)
    model = _model(str(path), path.parent, dtype, gguf_file=path.name, quantization_config=unpacked)
    return model, _tokenizer(str(path), path.parent, gguf_file=path.name)


def keep(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a model that was read from GGUF as safetensors, with its tokenizer."""
    # transformers calls it quantized, and would not save it, though its weights are unpacked.
    setattr(model, "hf_quantizer", None)  # noqa: B010  (torch's types know no such attribute)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    with _quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def placed(model: PreTrainedModel, device: torch.device) -> PreTrainedModel:
    """The model on its device, where it was not sharded over several."""
    if getattr(model, "hf_device_map", None):
        return model
    nn.Module.to(model, device)
    return model


def where(model: PreTrainedModel) -> str:
    """The devices that hold the weights, for the record."""
    return ", ".join(sorted({str(weight.device) for weight in model.parameters()}))


def _model(name: str, folder: Path, dtype: torch.dtype, **how: Any) -> PreTrainedModel:
    load: Callable[..., Any] = AutoModelForCausalLM.from_pretrained
    with _explained(name), _quiet():
        model, report = load(
            folder, dtype=dtype, local_files_only=True, output_loading_info=True, **how
        )
    for what, keys in (
        ("lack", report.get("missing_keys")),
        ("do not fit", report.get("mismatched_keys")),
    ):
        if keys:  # those parameters would stay as they were drawn
            first = sorted(map(str, keys))[0]
            raise SubjectError(
                f"cannot load model {name}: its weights {what} {len(keys)} of the parameters that "
                f"its config.json asks for, such as {first}"
            )
    loaded: PreTrainedModel = model
    return loaded


def _tokenizer(name: str, folder: Path, **how: Any) -> PreTrainedTokenizerBase:
    if "gguf_file" not in how and not (folder / "tokenizer.json").is_file():
        raise SubjectError(
            f"{name} has no tokenizer.json: save the tokenizer into the same directory, with "
            "tokenizer.save_pretrained"
        )
    with _explained(f"the tokenizer of {name}"), _quiet():
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, **how
        )
    return tokenizer


def _need(package: str, name: str) -> None:
    if find_spec(package) is None:
        raise SubjectError(f"{name} needs {package}: pip install 'pytest-mesa[models]'")


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what transformers raises into a message that names the model.

    It raises whatever it meets, over hundreds of architectures and their own code.
    """
    try:
        yield
    except SubjectError:
        raise
    except SafetensorError as error:
        raise SubjectError(f"cannot load model {name}: damaged safetensors ({error})") from error
    except Exception as error:
        text = str(error).strip()
        if "trust_remote_code" in text:
            raise SubjectError(
                f"cannot load model {name}: it runs code of its own; where you trust that code, "
                "add --mesa-trust-remote-code"
            ) from error
        line = text.partition("\n")[0][:300]
        raise SubjectError(f"cannot load model {name} ({type(error).__name__}: {line})") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars, and no advice; the GGUF reader's bar heeds nothing but the stream."""
    bars = transformers_logging.is_progress_bar_enabled()
    level = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        with redirect_stderr(StringIO()):
            yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
