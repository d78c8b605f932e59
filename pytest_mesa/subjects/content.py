"""What local weights are, by the hash of their bytes: the same wherever they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from pytest_mesa.runs.cells import canonical
from pytest_mesa.subjects.errors import SubjectError

BLOCK = 2**20
WEIGHTS = "*.safetensors"
# What decides a run beside the weights. Generation settings are left out: nothing samples here.
SETTINGS = (
    "config.json",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
)
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")

Stamp = list[int]  # size in bytes and modification time in nanoseconds


def stamp(path: Path) -> Stamp:
    """What tells, without reading it, that a file is still the one that was hashed.

    Raises:
        SubjectError: the file can't be looked at.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise SubjectError(f"{path} can't be read ({error.strerror})") from error
    return [found.st_size, found.st_mtime_ns]


def file_sha(paths: Sequence[Path]) -> str:
    """Hex SHA-256 of files, one after another as if they were one.

    Raises:
        SubjectError: one can't be read.
    """
    return _file_sha(tuple((str(path), *stamp(path)) for path in paths))


@lru_cache(maxsize=1024)
def _file_sha(stamped: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for name, _, _ in stamped:
        try:
            with Path(name).open("rb") as file:
                while block := file.read(BLOCK):
                    digest.update(block)
        except OSError as error:
            raise SubjectError(f"{name} can't be read ({error.strerror})") from error
    return digest.hexdigest()


def joint_sha(shas: Mapping[str, str]) -> str:
    """The one file's SHA-256, or where there are several, that of the map of names to theirs."""
    if len(shas) == 1:
        return next(iter(shas.values()))
    return hashlib.sha256(canonical(dict(shas))).hexdigest()


def model_files(folder: Path, *, code: bool = False) -> tuple[list[Path], list[Path]]:
    """The weight files and the settings files of a Hugging Face directory, by name.

    Python files are settings only where a model may run its own ``code``.

    Raises:
        SubjectError: there is no config.json, or no safetensors weights.
    """
    if not (folder / "config.json").is_file():
        raise SubjectError(
            f"{folder} holds no model: there is no config.json, as save_pretrained writes it"
        )
    weights = sorted(path for path in folder.glob(WEIGHTS) if path.is_file())
    if not weights:
        refuse_pickled(str(folder), (path.name for path in folder.iterdir()))
        raise SubjectError(f"{folder} holds no weights: there is no .safetensors file")
    settings = [folder / name for name in SETTINGS if (folder / name).is_file()]
    if code:
        settings += sorted(folder.rglob("*.py"))
    return weights, settings


def refuse_pickled(model: str, names: Iterable[str]) -> None:
    """Stop at weights that only a pickle holds.

    Raises:
        SubjectError: there is such a file among ``names``, and how to convert it.
    """
    pickled = sorted(name for name in names if any(Path(name).match(kind) for kind in PICKLED))
    if pickled:
        raise SubjectError(
            f"{model} has its weights in {pickled[0]} alone, a format that can run code when it "
            "is read, so it is not loaded. Where you trust it, convert it once: "
            "AutoModelForCausalLM.from_pretrained(MODEL).save_pretrained(DIRECTORY), and name "
            "that directory"
        )
