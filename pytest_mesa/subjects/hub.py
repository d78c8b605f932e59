"""Hub ids: to which commit a revision leads, and where its files lie on this machine.

What is in the local cache is used without asking the hub. Nothing is fetched while planning.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_mesa.subjects.content import SETTINGS, WEIGHTS, file_sha, joint_sha, refuse_pickled
from pytest_mesa.subjects.errors import SubjectError

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

TIMEOUT_S = 15.0
OFFLINE = "put the model into the local cache, or give a local directory"


def commit_of(repo: str, revision: str) -> str:
    """The commit that a revision (a branch, tag or commit; the main branch if empty) leads to.

    Raises:
        SubjectError: no such model or revision, no access, or no connection and nothing cached.
    """
    from huggingface_hub import try_to_load_from_cache

    try:
        cached = try_to_load_from_cache(repo, "config.json", revision=revision or None)
    except ValueError as error:  # what the hub allows in a name is for its client to say
        raise SubjectError(
            f"cannot load model {named(repo, revision)}: {_first_line(error)}"
        ) from error
    if isinstance(cached, str):
        return Path(cached).parent.name
    return str(_info(repo, revision).sha)


def refuse_unsafe(name: str, files: list[str]) -> None:
    """Stop where a repository has no safetensors weights.

    Raises:
        SubjectError: and what it has instead.
    """
    if any(file.endswith(".safetensors") for file in files):
        return
    refuse_pickled(name, files)
    gguf = [file for file in files if file.endswith(".gguf")]
    hint = f"; download {gguf[0]} and give its path" if gguf else ""
    raise SubjectError(f"cannot load model {name}: it has no .safetensors weights{hint}")


def snapshot(repo: str, commit: str, *, code: bool) -> Path:
    """The folder with a commit's files, fetched where they are not in the local cache.

    Raises:
        SubjectError: they can't be fetched, or there are no safetensors weights among them.
    """
    from huggingface_hub import snapshot_download

    wanted: dict[str, Any] = {"revision": commit}
    wanted["allow_patterns"] = [WEIGHTS, *SETTINGS] + (["*.py"] if code else [])
    try:
        folder = Path(snapshot_download(repo, local_files_only=True, **wanted))
    except FileNotFoundError:
        folder = None
    if folder is not None and _complete(folder):
        return folder
    _info(repo, commit)  # fails at once, where the download would try again for half a minute
    try:
        return Path(snapshot_download(repo, **wanted))
    except Exception as error:
        raise unreachable(named(repo, commit), error) from error


def _complete(folder: Path) -> bool:
    """Whether all weights are there: those of the index, or any where there is none."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return any(folder.glob(WEIGHTS))
    try:
        files = set(json.loads(index.read_bytes())["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    return all((folder / file).is_file() for file in files)


def _info(repo: str, revision: str) -> ModelInfo:
    from huggingface_hub import HfApi

    name = named(repo, revision)
    try:
        info = HfApi().model_info(repo, revision=revision or None, timeout=TIMEOUT_S)
    except Exception as error:  # the client lets the errors of its transport through
        raise unreachable(name, error) from error
    refuse_unsafe(name, [str(file.rfilename) for file in info.siblings or ()])
    return info


def weights_sha(folder: Path) -> str:
    """Hash of a snapshot's weights: its large files are blobs named by their SHA-256."""
    shas = {}
    for path in sorted(folder.glob(WEIGHTS)):
        blob = path.resolve().name
        shas[path.name] = blob if len(blob) == 64 else file_sha([path])
    return joint_sha(shas)


def named(repo: str, revision: str) -> str:
    """A hub id as it is written."""
    return f"{repo}@{revision}" if revision else repo


def unreachable(name: str, error: Exception) -> SubjectError:
    """What a failure of the hub means to the user."""
    from huggingface_hub import errors

    reasons = (
        (errors.GatedRepoError, "access to it is restricted: ask for it on its page, and log in"),
        (errors.RepositoryNotFoundError, "the hub has no such model, or not for you"),
        (errors.RevisionNotFoundError, "the model has no such revision"),
        (
            errors.OfflineModeIsEnabled,
            f"it is not on this machine, and HF_HUB_OFFLINE is set: {OFFLINE}",
        ),
    )
    for kind, reason in reasons:
        if isinstance(error, kind):
            return SubjectError(f"cannot load model {name}: {reason}")
    return SubjectError(
        f"cannot load model {name}: it is not on this machine, and the hub can't be reached "
        f"({type(error).__name__}: {_first_line(error)}): {OFFLINE}"
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
